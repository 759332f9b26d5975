import IPsecDOI
import ISAKMP

// Main and Aggressive Mode as the authentication methods draw them (RFC 2409 §5.1 to §5.3). Main Mode's first two messages
// are the same in all of them: which of the figures is followed is known when the SA is agreed.
extension Exchanges {
    /// Which figure a method follows.
    static func mainMode(_ method: PhaseOneMethod) -> ExchangeDescription {
        if let user = method.hybridUser { return user == .initiator ? mainModeHybrid : mainModeHybridResponder }
        return switch (method.base, method.seed) {
        case (.revisedRSAEncryption, _): mainModeRevisedEncryption
        case (_, .nonces): mainModeEncryption
        case (_, .sharedSecret): mainModeSignatures
        case (_, .preSharedKey): mainMode
        }
    }

    static func aggressiveMode(_ method: PhaseOneMethod) -> ExchangeDescription {
        if let user = method.hybridUser {
            return user == .initiator ? aggressiveModeHybrid : aggressiveModeHybridResponder
        }
        return switch (method.base, method.seed) {
        case (.revisedRSAEncryption, _): aggressiveModeRevisedEncryption
        case (_, .nonces): aggressiveModeEncryption
        case (_, .sharedSecret): aggressiveModeSignatures
        case (_, .preSharedKey): aggressiveMode
        }
    }

    private static let securityAssociations = [
        MessageRule(.initiator, [.securityAssociation], first: .securityAssociation),
        MessageRule(.responder, [.securityAssociation], first: .securityAssociation),
    ]
    private static let certificates: Set<PayloadType> = [.certificate, .certificateRequest]
    private static let besideKeys: Set<PayloadType> = [.natDiscovery, .certificateRequest]

    /// Main Mode with signatures (RFC 2409 §5.1).
    ///
    ///     HDR, SA                     -->
    ///                                 <--  HDR, SA
    ///     HDR, KE, Ni                 -->
    ///                                 <--  HDR, KE, Nr
    ///     HDR*, IDii, [ CERT, ] SIG_I -->
    ///                                 <--  HDR*, IDir, [ CERT, ] SIG_R
    static let mainModeSignatures = ExchangeDescription(
        name: "MAIN_MODE", type: .identityProtection,
        messages: securityAssociations + [
            MessageRule(.initiator, [.keyExchange, .nonce], optional: besideKeys, repeatable: besideKeys),
            MessageRule(.responder, [.keyExchange, .nonce], optional: besideKeys, repeatable: besideKeys),
            MessageRule(
                .initiator, [.identification, .signature], optional: certificates, repeatable: certificates,
                isEncrypted: true),
            MessageRule(
                .responder, [.identification, .signature], optional: certificates, repeatable: certificates,
                isEncrypted: true),
        ])

    /// Main Mode with public-key encryption (RFC 2409 §5.2). The bodies of ID and N are ciphertexts.
    ///
    ///     HDR, SA                     -->
    ///                                 <--  HDR, SA
    ///     HDR, KE, [ HASH(1), ]
    ///       <IDii_b>PubKey_r,
    ///         <Ni_b>PubKey_r          -->
    ///                                      HDR, KE, <IDir_b>PubKey_i,
    ///                                 <--           <Nr_b>PubKey_i
    ///     HDR*, HASH_I                -->
    ///                                 <--  HDR*, HASH_R
    static let mainModeEncryption = ExchangeDescription(
        name: "MAIN_MODE", type: .identityProtection,
        messages: securityAssociations + [
            MessageRule(
                .initiator, [.keyExchange, .identification, .nonce], optional: besideKeys.union([.hash]),
                repeatable: besideKeys),
            MessageRule(
                .responder, [.keyExchange, .identification, .nonce], optional: besideKeys, repeatable: besideKeys),
            MessageRule(.initiator, [.hash], isEncrypted: true),
            MessageRule(.responder, [.hash], isEncrypted: true),
        ])

    /// Main Mode with the revised mode of public-key encryption (RFC 2409 §5.3). The nonce, or the HASH before it, comes
    /// first; what follows the nonce is encrypted with Ke_i or Ke_r.
    ///
    ///     HDR, SA                     -->
    ///                                 <--  HDR, SA
    ///     HDR, [ HASH(1), ]
    ///       <Ni_b>Pubkey_r,
    ///       <KE_b>Ke_i,
    ///       <IDii_b>Ke_i,
    ///       [<<Cert-I_b>Ke_i]         -->
    ///                                      HDR, <Nr_b>PubKey_i,
    ///                                           <KE_b>Ke_r,
    ///                                 <--       <IDir_b>Ke_r,
    ///     HDR*, HASH_I                -->
    ///                                 <--  HDR*, HASH_R
    static let mainModeRevisedEncryption = ExchangeDescription(
        name: "MAIN_MODE", type: .identityProtection,
        messages: securityAssociations + [
            MessageRule(
                .initiator, [.nonce, .keyExchange, .identification], optional: revisedInitiator,
                repeatable: besideKeys),
            MessageRule(
                .responder, [.nonce, .keyExchange, .identification], optional: [.natDiscovery],
                repeatable: [.natDiscovery], first: .nonce),
            MessageRule(.initiator, [.hash], isEncrypted: true),
            MessageRule(.responder, [.hash], isEncrypted: true),
        ])
    private static let revisedInitiator: Set<PayloadType> = [.hash, .certificate, .natDiscovery, .certificateRequest]

    /// Aggressive Mode with signatures (RFC 2409 §5.1). Message 3 may be encrypted, since both ends have the keys by then.
    ///
    ///     HDR, SA, KE, Ni, IDii       -->
    ///                                 <--  HDR, SA, KE, Nr, IDir, [ CERT, ] SIG_R
    ///     HDR, [ CERT, ] SIG_I        -->
    static let aggressiveModeSignatures = ExchangeDescription(
        name: "AGGRESSIVE_MODE", type: .aggressive,
        messages: [
            MessageRule(
                .initiator, [.securityAssociation, .keyExchange, .nonce, .identification],
                optional: [.certificateRequest], repeatable: [.certificateRequest], first: .securityAssociation),
            MessageRule(
                .responder, [.securityAssociation, .keyExchange, .nonce, .identification, .signature],
                optional: certificates.union([.natDiscovery]), repeatable: certificates.union([.natDiscovery]),
                first: .securityAssociation),
            MessageRule(
                .initiator, [.signature], optional: [.certificate, .natDiscovery],
                repeatable: [.certificate, .natDiscovery], isEncryptionOptional: true),
        ])

    /// Aggressive Mode with public-key encryption (RFC 2409 §5.2), which protects identities here too.
    ///
    ///     HDR, SA, [ HASH(1),] KE,
    ///       <IDii_b>Pubkey_r,
    ///        <Ni_b>Pubkey_r           -->
    ///                                      HDR, SA, KE, <IDir_b>PubKey_i,
    ///                                 <--       <Nr_b>PubKey_i, HASH_R
    ///     HDR, HASH_I                 -->
    static let aggressiveModeEncryption = ExchangeDescription(
        name: "AGGRESSIVE_MODE", type: .aggressive, messages: encryptedAggressive)

    /// Aggressive Mode with the revised mode of public-key encryption (RFC 2409 §5.3).
    ///
    ///     HDR, SA, [ HASH(1),]
    ///       <Ni_b>Pubkey_r,
    ///       <KE_b>Ke_i, <IDii_b>Ke_i
    ///       [, <Cert-I_b>Ke_i ]       -->
    ///                                      HDR, SA, <Nr_b>PubKey_i,
    ///                                           <KE_b>Ke_r, <IDir_b>Ke_r,
    ///                                 <--       HASH_R
    ///     HDR, HASH_I                 -->
    static let aggressiveModeRevisedEncryption = ExchangeDescription(
        name: "AGGRESSIVE_MODE", type: .aggressive, messages: encryptedAggressive)

    private static let encryptedAggressive = [
        MessageRule(
            .initiator, [.securityAssociation, .keyExchange, .nonce, .identification], optional: [.hash, .certificate],
            first: .securityAssociation),
        MessageRule(
            .responder, [.securityAssociation, .keyExchange, .nonce, .identification, .hash],
            optional: [.natDiscovery], repeatable: [.natDiscovery], first: .securityAssociation),
        MessageRule(
            .initiator, [.hash], optional: [.natDiscovery], repeatable: [.natDiscovery], isEncryptionOptional: true),
    ]
}
