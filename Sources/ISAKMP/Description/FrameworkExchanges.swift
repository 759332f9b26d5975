/// The exchanges of RFC 2408 §4 as data, complete: with what is proved and what key is left, which RFC 2408 leaves to
/// the key exchange. Here it is what DOI 0 says, and any key exchange whose functions are handed to the engine:
///
///     SEED = prf(Ni | Nr, g^xy | CKY-I | CKY-R)          as RFC 2412 §2.4 makes its sKEYID
///     HDR* is encrypted with prf(SEED, 1), the key that is left is prf(SEED, 2)
///     AUTH is prf(prf(K, Ni | Nr), data) with a key K that both hold, or a signature over the same data; the data are 1 or
///     2 for the role, the cookies, and everything that has been said, each behind its length
package enum FrameworkExchanges {
    private static let seed = Symbol("SEED")
    private static let authenticationKey = Expression.prf(
        .symbol(.sharedKey), .symbols(.initiatorNonce, .responderNonce))
    private static let definitions = [
        ExchangeDescription.Definition(
            seed,
            .prf(
                .symbols(.initiatorNonce, .responderNonce),
                .symbols(.sharedSecret, .initiatorCookie, .responderCookie)))
    ]
    private static let protection = Expression.prf(.symbol(seed), .octets([1]))
    private static let result = Expression.prf(.symbol(seed), .octets([2]))
    private static let keyName = Expression.symbols(.initiatorCookie, .responderCookie)

    private static func proof(by role: Role, over symbols: Symbol...) -> Element {
        let head: [Expression] = [
            .octets([role == .initiator ? 1 : 2]), .symbol(.initiatorCookie), .symbol(.responderCookie),
        ]
        return .authentication(
            by: role, key: authenticationKey,
            over: .join(head + ([.offer, .choice, .initiatorNonce, .responderNonce] + symbols).map { .framed($0) }))
    }

    private static let offer = Element.own(.securityAssociation, .offer)
    private static let choice = Element.own(.securityAssociation, .choice)
    private static let initiatorValue = Element.own(.keyExchange, .initiatorValue)
    private static let responderValue = Element.own(.keyExchange, .responderValue)
    private static let initiatorNonce = Element.own(.nonce, .initiatorNonce)
    private static let responderNonce = Element.own(.nonce, .responderNonce)
    private static let initiatorIdentity = Element.own(.identification, .initiatorIdentity)
    private static let responderIdentity = Element.own(.identification, .responderIdentity)

    /// Base (RFC 2408 §4.4): no identity protection, and little to do before the peer has returned its cookie.
    ///
    ///     (1)  HDR; SA; NONCE         =>
    ///     (2)                         <=    HDR; SA; NONCE
    ///     (3)  HDR; KE; IDii; AUTH    =>
    ///     (4)                         <=    HDR; KE; IDir; AUTH
    package static let base = ExchangeDescription(
        name: "Base", type: .base,
        messages: [
            MessageRule(.initiator, [offer, initiatorNonce]),
            MessageRule(.responder, [choice, responderNonce]),
            MessageRule(
                .initiator,
                [
                    initiatorValue, initiatorIdentity,
                    proof(by: .initiator, over: .initiatorValue, .initiatorIdentity),
                ]),
            MessageRule(
                .responder,
                [
                    responderValue, responderIdentity,
                    proof(
                        by: .responder, over: .initiatorValue, .responderValue, .initiatorIdentity, .responderIdentity),
                ]),
        ], definitions: definitions, protection: protection, result: result, resultName: keyName)

    /// Identity Protection (RFC 2408 §4.5).
    ///
    ///     (1)  HDR; SA             =>
    ///     (2)                      <=    HDR; SA
    ///     (3)  HDR; KE; NONCE      =>
    ///     (4)                      <=    HDR; KE; NONCE
    ///     (5)  HDR*; IDii; AUTH    =>
    ///     (6)                      <=    HDR*; IDir; AUTH
    package static let identityProtection = ExchangeDescription(
        name: "Identity Protection", type: .identityProtection,
        messages: [
            MessageRule(.initiator, [offer]),
            MessageRule(.responder, [choice]),
            MessageRule(.initiator, [initiatorValue, initiatorNonce]),
            MessageRule(.responder, [responderValue, responderNonce]),
            MessageRule(
                .initiator, isEncrypted: true,
                [
                    initiatorIdentity,
                    proof(by: .initiator, over: .initiatorValue, .responderValue, .initiatorIdentity),
                ]),
            MessageRule(
                .responder, isEncrypted: true,
                [
                    responderIdentity,
                    proof(
                        by: .responder, over: .initiatorValue, .responderValue, .initiatorIdentity, .responderIdentity),
                ]),
        ], definitions: definitions, protection: protection, result: result, resultName: keyName)

    /// Authentication Only (RFC 2408 §4.6): no key comes of it. In the second phase the SA of the first encrypts it.
    ///
    ///     (1)  HDR; SA; NONCE      =>
    ///     (2)                      <=    HDR; SA; NONCE; IDir; AUTH
    ///     (3)  HDR; IDii; AUTH     =>
    package static let authenticationOnly = ExchangeDescription(
        name: "Authentication Only", type: .authenticationOnly,
        messages: [
            MessageRule(.initiator, [offer, initiatorNonce]),
            MessageRule(
                .responder,
                [choice, responderNonce, responderIdentity, proof(by: .responder, over: .responderIdentity)]),
            MessageRule(
                .initiator,
                [initiatorIdentity, proof(by: .initiator, over: .responderIdentity, .initiatorIdentity)]),
        ], definitions: [])

    /// Aggressive (RFC 2408 §4.7): one proposal and one transform, since the group is chosen before the answer.
    ///
    ///     (1)  HDR; SA; KE; NONCE; IDii    =>
    ///     (2)                              <=    HDR; SA; KE; NONCE; IDir; AUTH
    ///     (3)  HDR*; AUTH                  =>
    package static let aggressive = ExchangeDescription(
        name: "Aggressive", type: .aggressive,
        messages: [
            MessageRule(.initiator, [offer, initiatorValue, initiatorNonce, initiatorIdentity]),
            MessageRule(
                .responder,
                [
                    choice, responderValue, responderNonce, responderIdentity,
                    proof(
                        by: .responder, over: .initiatorValue, .responderValue, .initiatorIdentity, .responderIdentity),
                ]),
            MessageRule(
                .initiator, isEncrypted: true,
                [
                    proof(
                        by: .initiator, over: .initiatorValue, .responderValue, .initiatorIdentity, .responderIdentity)
                ]),
        ], definitions: definitions, protection: protection, result: result, resultName: keyName)

    /// Informational (RFC 2408 §4.8): one message under the protection of an SA. What stands in clear is not believed.
    ///
    ///     (1)  HDR*; N/D    =>
    package static let informational = ExchangeDescription(
        name: "Informational", type: .informational,
        messages: [
            MessageRule(
                .initiator, [], optional: [.notification, .delete], repeatable: [.notification, .delete],
                isEncrypted: true)
        ])

    /// All five, by number.
    package static let all = [base, identityProtection, authenticationOnly, aggressive, informational]
}
