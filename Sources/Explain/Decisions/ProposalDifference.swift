package import IPsec

/// Two proposals side by side, kind by kind, and the smallest edit of ours that would let them meet.
package struct ProposalDifference: Hashable, Sendable {
    /// One kind of transform: what either side names, and whether there is something in both.
    package struct Row: Hashable, Sendable {
        package var kind: TransformKind
        package var here: [String]
        package var there: [String]
        package var isClash: Bool
    }

    package var configured: Proposal
    package var offered: Proposal
    package var rows: [Row]

    package var clashes: [Row] { rows.filter(\.isClash) }

    package init(configured: Proposal, offered: Proposal, ignoringKeyExchange: Bool = false) {
        self.configured = configured
        self.offered = offered
        let kinds: [TransformKind] =
            configured.securityProtocol == .ike
            ? [.encryption, .integrity, .prf, .keyExchange]
                + (configured.additionalKeyExchanges.isEmpty && offered.additionalKeyExchanges.isEmpty
                    ? [] : [.additionalKeyExchange])
            : [.encryption, .integrity] + (ignoringKeyExchange ? [] : [.keyExchange]) + [.extendedSequenceNumbers]
        rows = kinds.map { kind in
            let (here, there) = (Self.names(kind, configured), Self.names(kind, offered))
            return Row(kind: kind, here: here, there: there, isClash: Set(here).isDisjoint(with: there))
        }
        // An authenticated cipher brings its integrity along: where the ciphers clash, that is no second clash.
        let isCombined = [configured, offered].contains { $0.encryption.contains { $0.id.isAEAD } }
        if isCombined, rows[0].isClash, let index = rows.firstIndex(where: { $0.kind == .integrity }) {
            rows[index].isClash = false
        }
    }

    /// The pair with the fewest clashes; among equals the earliest of ours.
    package static func closest(_ mismatch: Mismatch) -> ProposalDifference? {
        let groupless = mismatch.clashes.contains { $0.kind == .keyExchange }
        let pairs = mismatch.configured.flatMap { configured in
            mismatch.offered.map { offered in
                // A first child names no group, or ours was left out: then it is none of the reasons.
                ProposalDifference(
                    configured: configured, offered: offered,
                    ignoringKeyExchange: configured.securityProtocol != .ike && !groupless)
            }
        }
        return pairs.min { $0.clashes.count < $1.clashes.count }
    }

    /// Our proposal with the peer's alternatives in the place of those that clash.
    package var repaired: Proposal {
        var proposal = configured
        for row in clashes {
            switch row.kind {
            case .encryption:
                proposal.encryption = offered.encryption
                let isCombined = offered.encryption.contains { $0.id.isAEAD }
                if isCombined {
                    proposal.integrity = []
                } else if Set(proposal.integrity).isDisjoint(with: offered.integrity) {
                    proposal.integrity = offered.integrity
                }
            case .integrity: proposal.integrity = offered.integrity
            case .prf: proposal.prf = offered.prf
            case .keyExchange: proposal.keyExchange = offered.keyExchange
            case .additionalKeyExchange: proposal.additionalKeyExchanges = offered.additionalKeyExchanges
            case .extendedSequenceNumbers: proposal.extendedSequenceNumbers = offered.extendedSequenceNumbers
            }
        }
        return proposal
    }

    private static func names(_ kind: TransformKind, _ proposal: Proposal) -> [String] {
        switch kind {
        case .encryption: return proposal.encryption.map(\.name.keyword)
        case .prf: return proposal.prf.map(\.name.keyword)
        case .integrity:
            let names = proposal.integrity.filter { $0 != .none }.map(\.name.keyword)
            return names.isEmpty ? ["none"] : names
        case .keyExchange:
            return proposal.keyExchange.isEmpty ? ["none"] : proposal.keyExchange.map(\.name.keyword)
        case .additionalKeyExchange:
            // A step that neither names is no difference.
            let names = proposal.additionalKeyExchanges.enumerated().flatMap { index, groups in
                groups.filter { $0 != .none }.map { "ke\(index + 1)_\($0.name.keyword)" }
            }
            return names.isEmpty ? ["none"] : names
        case .extendedSequenceNumbers:
            let numbers = proposal.extendedSequenceNumbers
            return numbers.isEmpty ? ["noesn"] : numbers.map { $0 ? "esn" : "noesn" }
        }
    }

    /// A table of the pair: a line for each kind, clashes marked.
    package var lines: [String] {
        let titles = (kind: "transform", here: "here", there: "the peer")
        func pad(_ text: String, _ width: Int) -> String {
            text + String(repeating: " ", count: max(0, width - text.count))
        }
        let cells = rows.map { row in
            (
                kind: row.kind.words, here: row.here.joined(separator: " "), there: row.there.joined(separator: " "),
                row.isClash
            )
        }
        let first = (cells.map(\.kind.count) + [titles.kind.count]).max() ?? 0
        let second = (cells.map(\.here.count) + [titles.here.count]).max() ?? 0
        let third = (cells.map(\.there.count) + [titles.there.count]).max() ?? 0
        return ["\(pad(titles.kind, first)) | \(pad(titles.here, second)) | \(titles.there)"]
            + cells.map { cell in
                let line = "\(pad(cell.kind, first)) | \(pad(cell.here, second)) | "
                return cell.3 ? line + pad(cell.there, third) + "  <- clash" : line + cell.there
            }
    }
}

extension TransformKind {
    /// The kind in words.
    package var words: String {
        switch self {
        case .encryption: "encryption"
        case .prf: "PRF"
        case .integrity: "integrity"
        case .keyExchange: "key exchange group"
        case .additionalKeyExchange: "additional key exchange"
        case .extendedSequenceNumbers: "extended sequence numbers"
        }
    }
}
