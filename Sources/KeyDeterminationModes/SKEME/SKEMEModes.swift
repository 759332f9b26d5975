package import ISAKMP

/// SKEME's four modes (Krawczyk 1996 §3.3) on the framework, in the form of three messages. Each is a choice of phases:
///
///     SHARE    A -> B: {id_A, K_A}K_B     B -> A: {K_B}K_A     K0 = prf(0, K_A | K_B)
///     EXCH     A -> B: g^x                B -> A: g^y
///     AUTH     A -> B: prf(K0, g^y | g^x | id_A | id_B)        B -> A: prf(K0, g^x | g^y | id_B | id_A)
///
/// `K0` is `prf(0, K_A | K_B)` after SHARE, a key from before where SHARE is left out. Without Diffie-Hellman, nonces take the
/// places of g^x and g^y. An SA payload goes with each mode of the first phase, since ISAKMP agrees on algorithms so, and a
/// clear ID payload names whose key A encrypts with, where B has several. Identities, which do not say where they end, are
/// hashed behind their length.
package enum SKEMEModes {
    private static let initiatorShare = Symbol("K_A", .share)
    private static let responderShare = Symbol("K_B", .share)
    private static let shareKey = Symbol("K0")
    private static let sessionKey = Symbol("SK")

    private static let offer = Element.own(.securityAssociation, .offer)
    private static let choice = Element.own(.securityAssociation, .choice)
    private static let initiatorValue = Element.own(.keyExchange, .initiatorValue)
    private static let responderValue = Element.own(.keyExchange, .responderValue)
    private static let initiatorNonce = Element.own(.nonce, .initiatorNonce)
    private static let responderNonce = Element.own(.nonce, .responderNonce)
    private static let initiator = Expression.framed(.initiatorIdentity)
    private static let responder = Expression.framed(.responderIdentity)

    /// SHARE, first half: {id_A, K_A}K_B.
    private static let initiatorHalf = Element(
        .nonce,
        .sealed(Element.Sealed(to: .responderIdentity, [.own(.initiatorIdentity), .own(initiatorShare)])))
    /// SHARE, second half: {K_B}K_A.
    private static let responderHalf = Element(
        .nonce, .sealed(Element.Sealed(to: .initiatorIdentity, [.own(responderShare)])))
    private static let shareDefinition = ExchangeDescription.Definition(
        shareKey, .hash(.symbols(initiatorShare, responderShare)))
    private static func given(_ key: Symbol) -> ExchangeDescription.Definition {
        ExchangeDescription.Definition(shareKey, .symbol(key))
    }

    /// AUTH of A: over what B said last, then what A said.
    private static func initiatorProof(_ own: Symbol, _ peers: Symbol) -> Expression {
        .join([.symbol(peers), .symbol(own), initiator, responder])
    }
    private static func responderProof(_ own: Symbol, _ peers: Symbol) -> Expression {
        .join([.symbol(peers), .symbol(own), responder, initiator])
    }
    private static func authentication(_ over: Expression) -> Element {
        .proof(key: .symbol(shareKey), over: over)
    }

    /// SK = prf(0, g^xy)
    private static let exponentialKey = ExchangeDescription.Definition(
        sessionKey, .hash(.symbol(.sharedSecret)))
    /// Without Diffie-Hellman: SK = prf(K0, AUTH of A). AUTH itself goes over the wire, so it is not the key; its image
    /// under K0 is known to nobody else.
    private static let nonceKey = ExchangeDescription.Definition(
        sessionKey,
        .prf(.symbol(shareKey), .prf(.symbol(shareKey), initiatorProof(.initiatorNonce, .responderNonce))))
    private static let protection = Expression.prf(.symbol(sessionKey), .octets([1]))
    private static let keyName = Expression.symbols(.initiatorCookie, .responderCookie)

    /// Basic: SHARE, EXCH, AUTH.
    ///
    ///     A -> B: {id_A, K_A}K_B, g^x
    ///     B -> A: {K_B}K_A, g^y, prf(K0, g^x | g^y | id_B | id_A)
    ///     A -> B: prf(K0, g^y | g^x | id_A | id_B)
    ///     SK = prf(0, g^xy)
    package static let basic = ExchangeDescription(
        name: "SKEME basic", type: .skemeBasic,
        messages: [
            MessageRule(
                .initiator,
                [offer, .own(.identification, .responderIdentity), initiatorHalf, initiatorValue]),
            MessageRule(
                .responder,
                [
                    choice, responderHalf, responderValue,
                    authentication(responderProof(.responderValue, .initiatorValue)),
                ]),
            MessageRule(.initiator, [authentication(initiatorProof(.initiatorValue, .responderValue))]),
        ], definitions: [shareDefinition, exponentialKey], protection: protection, result: .symbol(sessionKey),
        resultName: keyName)

    /// Share only: no Diffie-Hellman, so no perfect forward secrecy.
    ///
    ///     A -> B: {id_A, K_A}K_B, N_A
    ///     B -> A: {K_B}K_A, N_B, prf(K0, N_A | N_B | id_B | id_A)
    ///     A -> B: prf(K0, N_B | N_A | id_A | id_B)
    ///     SK = prf(K0, prf(K0, N_B | N_A | id_A | id_B))
    package static let shareOnly = ExchangeDescription(
        name: "SKEME share only", type: .skemeShareOnly,
        messages: [
            MessageRule(
                .initiator,
                [offer, .own(.identification, .responderIdentity), initiatorHalf, initiatorNonce]),
            MessageRule(
                .responder,
                [
                    choice, responderHalf, responderNonce,
                    authentication(responderProof(.responderNonce, .initiatorNonce)),
                ]),
            MessageRule(.initiator, [authentication(initiatorProof(.initiatorNonce, .responderNonce))]),
        ], definitions: [shareDefinition, nonceKey], protection: protection, result: .symbol(sessionKey),
        resultName: keyName)

    /// Pre-shared key with perfect forward secrecy: SHARE is left out, K0 is the key. The identities say which.
    ///
    ///     A -> B: id_A, id_B, g^x
    ///     B -> A: g^y, prf(K0, g^x | g^y | id_B | id_A)
    ///     A -> B: prf(K0, g^y | g^x | id_A | id_B)
    ///     SK = prf(0, g^xy)
    package static let preSharedKey = ExchangeDescription(
        name: "SKEME pre-shared key", type: .skemePreSharedKey,
        messages: [
            MessageRule(
                .initiator,
                [
                    offer, .own(.identification, .initiatorIdentity), .own(.identification, .responderIdentity),
                    initiatorValue,
                ]),
            MessageRule(
                .responder,
                [choice, responderValue, authentication(responderProof(.responderValue, .initiatorValue))]),
            MessageRule(.initiator, [authentication(initiatorProof(.initiatorValue, .responderValue))]),
        ], definitions: [given(.sharedKey), exponentialKey], protection: protection, result: .symbol(sessionKey),
        resultName: keyName)

    /// Fast re-key: neither SHARE nor Diffie-Hellman; K0 is the key of an SA, whose ends are id_A and id_B.
    ///
    ///     A -> B: N_A
    ///     B -> A: N_B, prf(K0, N_A | N_B | id_B | id_A)
    ///     A -> B: prf(K0, N_B | N_A | id_A | id_B)
    ///     SK = prf(K0, prf(K0, N_B | N_A | id_A | id_B))
    package static let fastRekey = ExchangeDescription(
        name: "SKEME fast re-key", type: .skemeFastRekey,
        messages: [
            MessageRule(.initiator, [initiatorNonce]),
            MessageRule(
                .responder,
                [responderNonce, authentication(responderProof(.responderNonce, .initiatorNonce))]),
            MessageRule(.initiator, [authentication(initiatorProof(.initiatorNonce, .responderNonce))]),
        ], definitions: [given(.parentKey), nonceKey], result: .symbol(sessionKey),
        resultName: .symbols(.initiatorNonce, .responderNonce)
    ).protectingItself()
}
