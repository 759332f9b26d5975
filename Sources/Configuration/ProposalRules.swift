import Cryptography
import IPsec

/// What the versions of IKE can say of proposals: each has algorithms that it gave no number.
enum ProposalRules {
    /// RFC 2409 Appendix A: ciphers of phase 1, and hashes that are prf and integrity check at once.
    private static let phaseOneCiphers: Set<EncryptionID> = [.aesCBC, .tripleDES, .camelliaCBC]
    private static let phaseOneHashes: [(PRFID, IntegrityID)] = [
        (.hmacMD5, .hmacMD5_96), (.hmacSHA1, .hmacSHA1_96), (.hmacSHA256, .hmacSHA256_128),
        (.hmacSHA384, .hmacSHA384_192), (.hmacSHA512, .hmacSHA512_256),
    ]
    /// RFC 7296 §3.3.2 leaves their numbers unused.
    private static let versionOneGroups: Set<KeyExchangeID> = [.ec2n155, .ec2n185]

    /// Why the proposals do not go with the version of IKE; `nil` where they do. A proposal that cannot be said is no
    /// fault where another can.
    static func refusal(
        _ proposals: [Proposal], _ securityProtocol: SecurityProtocol, _ version: IKEVersion
    ) -> String? {
        guard !proposals.isEmpty else { return nil }
        if version != .v1 {
            let group = proposals.flatMap(\.keyExchange).first {
                versionOneGroups.contains($0) || $0.isPrivate
            }
            return group.map { "'\($0.name.keyword)' is a group of IKE version 1 alone: it needs version = 1" }
        }
        if let group = proposals.flatMap({ $0.keyExchange + $0.additionalKeyExchanges.joined() }).first(
            where: \.isEncapsulation)
        {
            return "'\(group.name.keyword)' is a key exchange of IKE version 2 alone: it needs version = 2"
        }
        if proposals.contains(where: { !$0.additionalKeyExchanges.isEmpty }) {
            return "IKE version 1 has one key exchange: additional ones need version = 2"
        }
        if securityProtocol == .ike {
            return proposals.contains(where: fitsPhaseOne)
                ? nil
                : "IKE version 1 has no authenticated ciphers and one hash for all: it needs a proposal such as "
                    + "aes256-sha256-modp2048"
        }
        return proposals.contains(where: fitsPhaseTwo)
            ? nil : "IKE version 1 has no numbers for these: it needs a proposal such as aes256-sha256"
    }

    private static func fitsPhaseOne(_ proposal: Proposal) -> Bool {
        proposal.encryption.contains { phaseOneCiphers.contains($0.id) }
            && phaseOneHashes.contains { proposal.prf.contains($0.0) && proposal.integrity.contains($0.1) }
    }

    /// RFC 2407 §4.4.4, §4.5 and what was added: no ChaCha20-Poly1305, no AES-CMAC, no implicit IV.
    private static func fitsPhaseTwo(_ proposal: Proposal) -> Bool {
        if proposal.securityProtocol == .ah { return proposal.integrity.contains { $0 != .aesCMAC_96 } }
        return proposal.encryption.contains {
            $0.id.isAEAD && $0.id != .chacha20Poly1305 && !$0.id.hasImplicitIV
        }
            || proposal.encryption.contains { !$0.id.isAEAD } && proposal.integrity.contains { $0 != .aesCMAC_96 }
    }
}
