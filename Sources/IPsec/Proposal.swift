package import Cryptography

/// One algorithm of each kind: what two ends agreed on for an IKE SA or an IPsec SA.
package struct Suite: Hashable, Sendable {
    /// `.null` for AH, which has no encryption (RFC 4302).
    package var encryption: Encryption
    /// `nil` with an AEAD.
    package var integrity: IntegrityID?
    /// For IKE SAs only.
    package var prf: PRFID?
    /// The group of an IKE SA, or of a child's perfect forward secrecy; `nil` without.
    package var keyExchange: KeyExchangeID?
    /// The key exchanges that follow the first one, in order; `.none` for one that is left out (RFC 9370 §2.2.1).
    package var additionalKeyExchanges: [KeyExchangeID] = []
    /// Extended sequence numbers, for IPsec SAs (RFC 4304).
    package var extendedSequenceNumbers: Bool
    /// AH around this ESP SA, where both were agreed on together (RFC 2408 §4.2).
    package var header: Header?

    /// What AH does around ESP.
    package struct Header: Hashable, Sendable {
        package var integrity: IntegrityID
        package var extendedSequenceNumbers: Bool

        package init(integrity: IntegrityID, extendedSequenceNumbers: Bool) {
            self.integrity = integrity
            self.extendedSequenceNumbers = extendedSequenceNumbers
        }
    }

    package init(
        encryption: Encryption, integrity: IntegrityID? = nil, prf: PRFID? = nil, keyExchange: KeyExchangeID? = nil,
        extendedSequenceNumbers: Bool = false
    ) {
        self.encryption = encryption
        self.integrity = integrity
        self.prf = prf
        self.keyExchange = keyExchange
        self.extendedSequenceNumbers = extendedSequenceNumbers
    }

    /// Octets of key material that one direction of an IPsec SA takes.
    package var keyMaterialOctets: Int { encryption.keyMaterialOctets + (integrity?.keyOctets ?? 0) }

    /// The key exchanges behind the first one that take place.
    package var furtherKeyExchanges: [KeyExchangeID] { additionalKeyExchanges.filter { $0 != .none } }
}

extension Suite: CustomStringConvertible {
    /// Keywords joined by hyphens, as `swanctl.conf` writes them.
    package var description: String {
        var parts = [encryption.name.keyword]
        if let integrity { parts.append(integrity.name.keyword) }
        if let prf { parts.append(prf.name.keyword) }
        if let keyExchange { parts.append(keyExchange.name.keyword) }
        for (index, group) in additionalKeyExchanges.enumerated() where group != .none {
            parts.append("ke\(index + 1)_\(group.name.keyword)")
        }
        if extendedSequenceNumbers { parts.append("esn") }
        let text = parts.joined(separator: "-")
        guard let header else { return text }
        return "\(text) in AH \(header.integrity.name.keyword)\(header.extendedSequenceNumbers ? "-esn" : "")"
    }
}

/// Alternatives of each kind, in order of preference (RFC 7296 §3.3). A configured proposal may mix; an AEAD and a
/// cipher that needs integrity stand in different proposals (RFC 7296 §3.3.3).
package struct Proposal: Hashable, Sendable {
    package var securityProtocol: SecurityProtocol
    /// Empty for AH (RFC 7296 §3.3.3).
    package var encryption: [Encryption]
    /// Empty, or `.none` alone, with an AEAD.
    package var integrity: [IntegrityID]
    package var prf: [PRFID]
    /// Empty: no key exchange. `.none` among others: it may be left out (RFC 7296 §3.3.6).
    package var keyExchange: [KeyExchangeID]
    /// The alternatives for each key exchange that follows the first (RFC 9370 §2.2.1: transform types 6 to 12); an empty
    /// list for one that does not take place, and `.none` in a list for one that may be left out.
    package var additionalKeyExchanges: [[KeyExchangeID]] = []
    /// How many of them there may be.
    package static let maximumAdditional = 7
    /// For IPsec SAs: which sequence numbers are acceptable, `true` for extended. Empty for IKE SAs.
    package var extendedSequenceNumbers: [Bool]

    package init(
        _ securityProtocol: SecurityProtocol, encryption: [Encryption], integrity: [IntegrityID] = [],
        prf: [PRFID] = [], keyExchange: [KeyExchangeID] = [], extendedSequenceNumbers: [Bool] = []
    ) {
        self.securityProtocol = securityProtocol
        self.encryption = encryption
        self.integrity = integrity
        self.prf = prf
        self.keyExchange = keyExchange
        self.extendedSequenceNumbers = extendedSequenceNumbers
    }

    /// The same proposal without key exchange: for the first child SA, whose keys come from IKE_AUTH's parent
    /// (RFC 7296 §1.2).
    package var withoutKeyExchange: Proposal {
        var proposal = self
        proposal.keyExchange = []
        proposal.additionalKeyExchanges = []
        return proposal
    }

    /// The same proposal for a peer that cannot do more than one key exchange; `nil` where it cannot be said so.
    package var withoutAdditionalKeyExchanges: Proposal? {
        guard additionalKeyExchanges.allSatisfy({ $0.isEmpty || $0.contains(.none) }) else { return nil }
        var proposal = self
        proposal.additionalKeyExchanges = []
        return proposal
    }
}

extension Proposal: CustomStringConvertible {
    /// All alternatives, joined by hyphens: `aes256-aes128-sha256-modp2048`.
    package var description: String {
        var parts = encryption.map(\.name.keyword) + integrity.filter { $0 != .none }.map(\.name.keyword)
        parts += prf.map(\.name.keyword) + keyExchange.map(\.name.keyword)
        for (index, groups) in additionalKeyExchanges.enumerated() {
            parts += groups.map { "ke\(index + 1)_\($0.name.keyword)" }
        }
        if extendedSequenceNumbers.contains(true) { parts.append("esn") }
        if extendedSequenceNumbers.contains(true) && extendedSequenceNumbers.contains(false) { parts.append("noesn") }
        return parts.joined(separator: "-")
    }
}

/// A kind of transform, by its IKEv2 transform type (RFC 7296 §3.3.2).
package enum TransformKind: UInt8, Hashable, Sendable, CaseIterable {
    case encryption = 1
    case prf = 2
    case integrity = 3
    case keyExchange = 4
    case extendedSequenceNumbers = 5
    /// Types 6 to 12, of which this is the first (RFC 9370 §3.1).
    case additionalKeyExchange = 6
}

/// Why no offered proposal matched: both columns and, for each pair of proposals, the first kind of transform that
/// had nothing in common.
package struct Mismatch: Hashable, Sendable {
    package struct Clash: Hashable, Sendable {
        /// Index into `configured` and into `offered`.
        package var configured: Int
        package var offered: Int
        package var kind: TransformKind

        package init(configured: Int, offered: Int, kind: TransformKind) {
            self.configured = configured
            self.offered = offered
            self.kind = kind
        }
    }
    package var configured: [Proposal]
    package var offered: [Proposal]
    package var clashes: [Clash]

    package init(configured: [Proposal], offered: [Proposal], clashes: [Clash]) {
        self.configured = configured
        self.offered = offered
        self.clashes = clashes
    }
}

/// The outcome of a negotiation: which offer was taken, and the one algorithm of each kind.
package struct Selection: Hashable, Sendable {
    /// Index into the offered proposals.
    package var offer: Int
    /// Index into the configured proposals.
    package var configured: Int
    package var suite: Suite
}

extension Proposal {
    /// Chooses the first configured proposal that some offer satisfies (our order of preference first, as charon's
    /// `prefer_configured_proposals` does; within a kind, the configured order decides too).
    ///
    /// - Parameter ignoringKeyExchange: leaves groups out of the comparison, for the first child SA of an IKE SA.
    package static func select(
        configured: [Proposal], offered: [Proposal], ignoringKeyExchange: Bool = false
    ) -> Result<Selection, Refused> {
        var clashes: [Mismatch.Clash] = []
        for (index, own) in configured.enumerated() {
            for (offer, other) in offered.enumerated() {
                switch own.match(other, ignoringKeyExchange: ignoringKeyExchange) {
                case .success(let suite):
                    return .success(Selection(offer: offer, configured: index, suite: suite))
                case .failure(let clash):
                    clashes.append(Mismatch.Clash(configured: index, offered: offer, kind: clash.kind))
                }
            }
        }
        return .failure(Refused(mismatch: Mismatch(configured: configured, offered: offered, clashes: clashes)))
    }

    /// The failure of ``select(configured:offered:ignoringKeyExchange:)``.
    package struct Refused: Error, Hashable, Sendable {
        package var mismatch: Mismatch
    }

    private struct KindClash: Error { var kind: TransformKind }

    private func match(_ other: Proposal, ignoringKeyExchange: Bool) -> Result<Suite, KindClash> {
        guard securityProtocol == other.securityProtocol,
            let encryption = securityProtocol == .ah
                ? Encryption(.null)
                : encryption.first(where: {
                    other.encryption.contains($0) && (securityProtocol != .ike || $0.id.protectsIKE)
                })
        else { return .failure(KindClash(kind: .encryption)) }

        var suite = Suite(encryption: encryption)
        if encryption.id.isAEAD {
            let refused = other.integrity.contains { $0 != .none } && !other.integrity.contains(.none)
            if refused { return .failure(KindClash(kind: .integrity)) }
        } else {
            guard let integrity = integrity.first(where: { $0 != .none && other.integrity.contains($0) }) else {
                return .failure(KindClash(kind: .integrity))
            }
            suite.integrity = integrity
        }
        if securityProtocol == .ike {
            guard let prf = prf.first(where: other.prf.contains) else { return .failure(KindClash(kind: .prf)) }
            suite.prf = prf
        }
        if !ignoringKeyExchange {
            let own = keyExchange.isEmpty ? [.none] : keyExchange
            let others = other.keyExchange.isEmpty ? [.none] : other.keyExchange
            guard let group = own.first(where: others.contains) else {
                return .failure(KindClash(kind: .keyExchange))
            }
            suite.keyExchange = group == .none ? nil : group
            guard let further = matchFurther(other, taken: [group]) else {
                return .failure(KindClash(kind: .additionalKeyExchange))
            }
            suite.additionalKeyExchanges = further
        }
        if securityProtocol != .ike {
            let own = extendedSequenceNumbers.isEmpty ? [false] : extendedSequenceNumbers
            let others = other.extendedSequenceNumbers.isEmpty ? [false] : other.extendedSequenceNumbers
            guard let extended = own.first(where: others.contains) else {
                return .failure(KindClash(kind: .extendedSequenceNumbers))
            }
            suite.extendedSequenceNumbers = extended
        }
        return .success(suite)
    }

    /// One method for each additional key exchange, from `slot` on, in our order of preference; no method twice
    /// (RFC 9370 §2.2.1). Ours are few, so that trying all is cheap whatever the peer offers.
    private func matchFurther(_ other: Proposal, slot: Int = 0, taken: [KeyExchangeID]) -> [KeyExchangeID]? {
        guard slot < max(additionalKeyExchanges.count, other.additionalKeyExchanges.count) else { return [] }
        func alternatives(_ proposal: Proposal) -> [KeyExchangeID] {
            let lists = proposal.additionalKeyExchanges
            return slot < lists.count && !lists[slot].isEmpty ? lists[slot] : [.none]
        }
        let theirs = alternatives(other)
        for group in alternatives(self) where theirs.contains(group) && (group == .none || !taken.contains(group)) {
            if let rest = matchFurther(other, slot: slot + 1, taken: taken + [group]) {
                return group == .none && rest.isEmpty ? [] : [group] + rest
            }
        }
        return nil
    }
}
