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
    /// Extended sequence numbers, for IPsec SAs (RFC 4304).
    package var extendedSequenceNumbers: Bool

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
}

extension Suite: CustomStringConvertible {
    /// Keywords joined by hyphens, as `swanctl.conf` writes them.
    package var description: String {
        var parts = [encryption.name.keyword]
        if let integrity { parts.append(integrity.name.keyword) }
        if let prf { parts.append(prf.name.keyword) }
        if let keyExchange { parts.append(keyExchange.name.keyword) }
        if extendedSequenceNumbers { parts.append("esn") }
        return parts.joined(separator: "-")
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
        return proposal
    }
}

extension Proposal: CustomStringConvertible {
    /// All alternatives, joined by hyphens: `aes256-aes128-sha256-modp2048`.
    package var description: String {
        var parts = encryption.map(\.name.keyword) + integrity.filter { $0 != .none }.map(\.name.keyword)
        parts += prf.map(\.name.keyword) + keyExchange.map(\.name.keyword)
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
}

/// Why no offered proposal matched: both columns and, for each pair of proposals, the first kind of transform that
/// had nothing in common.
package struct Mismatch: Hashable, Sendable {
    package struct Clash: Hashable, Sendable {
        /// Index into `configured` and into `offered`.
        package var configured: Int
        package var offered: Int
        package var kind: TransformKind
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
                    other.encryption.contains($0) && (securityProtocol != .ike || $0.id.isConfidential)
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
}
