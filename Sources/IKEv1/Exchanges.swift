import ISAKMP

/// IKE's exchanges as data on the framework (RFC 2409 §5).
enum Exchanges {
    private static let natDiscovery: Set<PayloadType> = [.natDiscovery]

    /// Main Mode with a pre-shared key (RFC 2409 §5.4): ISAKMP's Identity Protection exchange.
    ///
    ///     Initiator                    Responder
    ///     HDR, SA                 -->
    ///                             <--  HDR, SA
    ///     HDR, KE, Ni             -->
    ///                             <--  HDR, KE, Nr
    ///     HDR*, IDii, HASH_I      -->
    ///                             <--  HDR*, IDir, HASH_R
    static let mainMode = ExchangeDescription(
        name: "MAIN_MODE", type: .identityProtection,
        messages: [
            MessageRule(.initiator, [.securityAssociation], first: .securityAssociation),
            MessageRule(.responder, [.securityAssociation], first: .securityAssociation),
            MessageRule(
                .initiator, [.keyExchange, .nonce], optional: natDiscovery.union([.certificateRequest]),
                repeatable: natDiscovery.union([.certificateRequest])),
            MessageRule(
                .responder, [.keyExchange, .nonce], optional: natDiscovery.union([.certificateRequest]),
                repeatable: natDiscovery.union([.certificateRequest])),
            MessageRule(.initiator, [.identification, .hash], isEncrypted: true),
            MessageRule(.responder, [.identification, .hash], isEncrypted: true),
        ])

    /// Aggressive Mode with a pre-shared key (RFC 2409 §5.4): ISAKMP's Aggressive exchange. Identities are seen by whoever
    /// watches. Message 3 may be encrypted, since both ends have the keys by then.
    ///
    ///     HDR, SA, KE, Ni, IDii   -->
    ///                             <--  HDR, SA, KE, Nr, IDir, HASH_R
    ///     HDR, HASH_I             -->
    static let aggressiveMode = ExchangeDescription(
        name: "AGGRESSIVE_MODE", type: .aggressive,
        messages: [
            MessageRule(
                .initiator, [.securityAssociation, .keyExchange, .nonce, .identification],
                optional: [.certificateRequest], repeatable: [.certificateRequest], first: .securityAssociation),
            MessageRule(
                .responder, [.securityAssociation, .keyExchange, .nonce, .identification, .hash],
                optional: natDiscovery.union([.certificateRequest]),
                repeatable: natDiscovery.union([.certificateRequest]), first: .securityAssociation),
            MessageRule(
                .initiator, [.hash], optional: natDiscovery, repeatable: natDiscovery, isEncryptionOptional: true),
        ])

    /// Base Mode with a pre-shared key (draft-ietf-ipsec-ike-base-mode-02): ISAKMP's Base exchange, with the identities in
    /// front, since they name the key.
    ///
    ///     HDR, SA, IDii, Ni   -->
    ///                         <--  HDR, SA, IDir, Nr
    ///     HDR, KE, HASH_I     -->
    ///                         <--  HDR, KE, HASH_R
    static let baseMode = ExchangeDescription(
        name: "BASE_MODE", type: .base,
        messages: [
            MessageRule(
                .initiator, [.securityAssociation, .identification, .nonce], first: .securityAssociation),
            MessageRule(
                .responder, [.securityAssociation, .identification, .nonce], first: .securityAssociation),
            MessageRule(.initiator, [.keyExchange, .hash], optional: natDiscovery, repeatable: natDiscovery),
            MessageRule(.responder, [.keyExchange, .hash], optional: natDiscovery, repeatable: natDiscovery),
        ])

    /// Quick Mode (RFC 2409 §5.5). The first two messages may carry a KE for perfect forward secrecy, and the identities
    /// for which the SA is.
    ///
    ///     HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr]  -->
    ///                                                  <--  HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]
    ///     HDR*, HASH(3)                                -->
    ///
    /// Several SA payloads negotiate several SAs at once.
    static let quickMode = ExchangeDescription(
        name: "QUICK_MODE", type: .quickMode,
        messages: [
            MessageRule(
                .initiator, [.hash, .securityAssociation, .nonce], optional: quickOptional,
                repeatable: quickRepeatable, first: .hash, isEncrypted: true),
            MessageRule(
                .responder, [.hash, .securityAssociation, .nonce], optional: quickOptional,
                repeatable: quickRepeatable, first: .hash, isEncrypted: true),
            MessageRule(.initiator, [.hash], first: .hash, isEncrypted: true),
        ])

    private static let quickOptional: Set<PayloadType> = [.keyExchange, .identification, .natOriginalAddress]
    private static let quickRepeatable: Set<PayloadType> = [
        .securityAssociation, .identification, .natOriginalAddress,
    ]

    /// New Group Mode (RFC 2409 §5.6): the responder repeats the group that it takes.
    ///
    ///     HDR*, HASH(1), SA   -->
    ///                         <--  HDR*, HASH(2), SA
    static let newGroupMode = ExchangeDescription(
        name: "NEW_GROUP_MODE", type: .newGroupMode,
        messages: [
            MessageRule(.initiator, [.hash, .securityAssociation], first: .hash, isEncrypted: true),
            MessageRule(.responder, [.hash, .securityAssociation], first: .hash, isEncrypted: true),
        ])

    /// A Transaction exchange under an ISAKMP SA (draft-dukes-ike-mode-cfg-02 §3.1.1): a request and its reply, or a setting
    /// and its acknowledgement. Either end may begin one.
    ///
    ///     HDR*, HASH, ATTR  -->
    ///                       <--  HDR*, HASH, ATTR
    static func transaction(sender: Role) -> ExchangeDescription {
        ExchangeDescription(
            name: "TRANSACTION", type: .transaction,
            messages: [
                MessageRule(sender, [.hash, .attributes], first: .hash, isEncrypted: true),
                MessageRule(sender.other, [.hash, .attributes], first: .hash, isEncrypted: true),
            ])
    }

    /// A protected Informational message (RFC 2409 §5.7): notifications and deletions of which nothing is acknowledged.
    static func informational(sender: Role) -> ExchangeDescription {
        ExchangeDescription(
            name: "INFORMATIONAL", type: .informational,
            messages: [
                MessageRule(
                    sender, [.hash], optional: [.delete], repeatable: [.delete], first: .hash, isEncrypted: true)
            ])
    }
}
