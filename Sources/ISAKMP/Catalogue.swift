/// An exchange type as the standards write it.
package struct ExchangeTypeEntry: Hashable, Sendable {
    package let type: ExchangeType
    package let name: String
    /// Where it is defined.
    package let reference: String
}

extension ExchangeTypeEntry {
    /// Whether the framework itself defines it (RFC 2408 §3.1: 0 to 31 are ISAKMP's, 32 to 239 a DOI's). What RFC 2408
    /// left for later is not the framework's own.
    package var isFramework: Bool { (1...5).contains(type.rawValue) }
    /// Whether only version 2 of IKE knows it (RFC 7296 §3.1).
    package var isVersion2: Bool { type.rawValue >= 34 }
}

extension ExchangeType {
    /// Every exchange type that has a name here, by number.
    package static let all: [ExchangeTypeEntry] = [
        ExchangeTypeEntry(type: .base, name: "Base", reference: "RFC 2408 §4.4"),
        ExchangeTypeEntry(type: .identityProtection, name: "Identity Protection", reference: "RFC 2408 §4.5"),
        ExchangeTypeEntry(type: .authenticationOnly, name: "Authentication Only", reference: "RFC 2408 §4.6"),
        ExchangeTypeEntry(type: .aggressive, name: "Aggressive", reference: "RFC 2408 §4.7"),
        ExchangeTypeEntry(type: .informational, name: "Informational", reference: "RFC 2408 §4.8"),
        ExchangeTypeEntry(
            type: .transaction, name: "Transaction", reference: "draft-ietf-ipsec-isakmp-mode-cfg-05 §3"),
        ExchangeTypeEntry(type: .quickMode, name: "Quick Mode", reference: "RFC 2409 §5.5"),
        ExchangeTypeEntry(type: .newGroupMode, name: "New Group Mode", reference: "RFC 2409 §5.6"),
        ExchangeTypeEntry(type: .ikeSAInit, name: "IKE_SA_INIT", reference: "RFC 7296 §1.2"),
        ExchangeTypeEntry(type: .ikeAuth, name: "IKE_AUTH", reference: "RFC 7296 §1.2"),
        ExchangeTypeEntry(type: .createChildSA, name: "CREATE_CHILD_SA", reference: "RFC 7296 §1.3"),
        ExchangeTypeEntry(type: .informationalV2, name: "INFORMATIONAL", reference: "RFC 7296 §1.4"),
        ExchangeTypeEntry(type: .ikeSessionResume, name: "IKE_SESSION_RESUME", reference: "RFC 5723 §4.3"),
        ExchangeTypeEntry(type: .ikeIntermediate, name: "IKE_INTERMEDIATE", reference: "RFC 9242 §3"),
        ExchangeTypeEntry(type: .ikeFollowUpKE, name: "IKE_FOLLOWUP_KE", reference: "RFC 9370 §2.2.4"),
    ]
}

/// A payload type as the standards write it.
package struct PayloadTypeEntry: Hashable, Sendable {
    package let type: PayloadType
    /// As the figures of the RFCs abbreviate it: `SA`, `KE`.
    package let symbol: String
    package let name: String
    package let reference: String

    /// Whether RFC 2408 defines it; the others came with what was built on the framework.
    package var isFramework: Bool { (1...13).contains(type.rawValue) }
}

extension PayloadType {
    /// Every payload type of version 1 that has a name here, by number.
    package static let all: [PayloadTypeEntry] = [
        entry(.securityAssociation, "SA", "Security Association", "RFC 2408 §3.4"),
        entry(.proposal, "P", "Proposal", "RFC 2408 §3.5"),
        entry(.transform, "T", "Transform", "RFC 2408 §3.6"),
        entry(.keyExchange, "KE", "Key Exchange", "RFC 2408 §3.7"),
        entry(.identification, "ID", "Identification", "RFC 2408 §3.8"),
        entry(.certificate, "CERT", "Certificate", "RFC 2408 §3.9"),
        entry(.certificateRequest, "CR", "Certificate Request", "RFC 2408 §3.10"),
        entry(.hash, "HASH", "Hash", "RFC 2408 §3.11"),
        entry(.signature, "SIG", "Signature", "RFC 2408 §3.12"),
        entry(.nonce, "NONCE", "Nonce", "RFC 2408 §3.13"),
        entry(.notification, "N", "Notification", "RFC 2408 §3.14"),
        entry(.delete, "D", "Delete", "RFC 2408 §3.15"),
        entry(.vendorID, "VID", "Vendor ID", "RFC 2408 §3.16"),
        entry(.attributes, "ATTR", "Attributes", "draft-ietf-ipsec-isakmp-mode-cfg-05 §3.2"),
        entry(.natDiscovery, "NAT-D", "NAT Discovery", "RFC 3947 §3.2"),
        entry(.natOriginalAddress, "NAT-OA", "NAT Original Address", "RFC 3947 §5.2"),
        entry(.natDiscoveryDraft, "dNAT-D", "Draft NAT Discovery", "nat-t-ike-03 §3.2"),
        entry(
            .natOriginalAddressDraft, "dNAT-OA", "Draft NAT Address",
            "nat-t-ike-03 §5.2"),
        entry(.fragment, "FRAG", "Fragment", "vendors' practice"),
        entry(.echo, "ECHO", "Echo of Message 1", "private use: RFC 2408 §3.1, §2.5.3"),
    ]

    private static func entry(
        _ type: PayloadType, _ symbol: String, _ name: String, _ reference: String
    ) -> PayloadTypeEntry {
        PayloadTypeEntry(type: type, symbol: symbol, name: name, reference: reference)
    }

    /// The abbreviation that figures use; the number where there is none.
    package var symbol: String { PayloadType.all.first { $0.type == self }?.symbol ?? "\(rawValue)" }
}
