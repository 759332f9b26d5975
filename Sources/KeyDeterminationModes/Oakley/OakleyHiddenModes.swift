package import ISAKMP

/// Modes that hide the identities behind public-key encryption. Nonces are secret here: reading one proves an identity.
extension OakleyModes {
    /// A well-known identity of the responder, whose key hides the real one: ID(R').
    package static let publicIdentity = Symbol("ID(R')", .identity)
    private static let initiatorSecret = Symbol("Ni", .share)
    private static let responderSecret = Symbol("Nr", .share)
    private static let authenticationKey = Symbol("Kir")

    /// Kir = prf(0, a | b)
    private static func authenticationKey(_ parts: Symbol...) -> ExchangeDescription.Definition {
        ExchangeDescription.Definition(authenticationKey, .hash(.join(parts.map { .symbol($0) })))
    }

    private static func proof(_ parts: [Expression]) -> Element {
        .proof(key: .symbol(authenticationKey), over: over(parts))
    }

    /// An aggressive example with hidden identities (RFC 2412 §2.4.2). The third message's GRP and its null fields say
    /// nothing, and have no payloads.
    ///
    ///     -> CKY-I, 0,     OK_KEYX, GRP, g^x, EHAO, NIDP, ID(R'), E{ID(I), ID(R), E{Ni}Kr}Kr'    ->
    ///     <- CKY-R, CKY-I, OK_KEYX, GRP, g^y, EHAS, NIDP, E{ID(R), ID(I), Nr}Ki,
    ///        prf(Kir, ID(R) | ID(I) | GRP | g^y | g^x | EHAS)                                    <-
    ///     -> CKY-I, CKY-R, OK_KEYX, GRP, 0, 0, NIDP,
    ///        prf(Kir, ID(I) | ID(R) | GRP | g^x | g^y | EHAS)                                    ->
    ///     Kir = prf(0, Ni | Nr)
    package static let hiddenIdentities = ExchangeDescription(
        name: "Oakley with hidden identities", type: .oakleyHiddenIdentities,
        messages: [
            MessageRule(
                .initiator,
                [
                    offer, initiatorValue, .own(.identification, publicIdentity),
                    Element(
                        .nonce,
                        .sealed(
                            Element.Sealed(
                                to: publicIdentity,
                                [
                                    .own(.initiatorIdentity), .own(.responderIdentity),
                                    .sealed(Element.Sealed(to: .responderIdentity, [.own(initiatorSecret)])),
                                ]))),
                ]),
            MessageRule(
                .responder,
                [
                    choice, responderValue,
                    Element(
                        .nonce,
                        .sealed(
                            Element.Sealed(
                                to: .initiatorIdentity,
                                [.known(.responderIdentity), .known(.initiatorIdentity), .own(responderSecret)]))),
                    proof(
                        identities.reversed() + symbols(.group, .responderValue, .initiatorValue, .choice)),
                ]),
            MessageRule(
                .initiator, [proof(identities + symbols(.group, .initiatorValue, .responderValue, .choice))]),
        ],
        definitions: [
            authenticationKey(initiatorSecret, responderSecret), definition(initiatorSecret, responderSecret),
        ],
        protection: protection, result: .symbol(key), resultName: keyName, integers: .words)

    private static let initiatorShare = Symbol("sKi", .share)
    private static let responderShare = Symbol("sKr", .share)

    /// An aggressive example with private identities and without Diffie-Hellman (RFC 2412 §2.4.3, the first of that
    /// number): GRP is 0.
    ///
    ///     -> CKY-I, 0,     OK_KEYX, 0, 0, EHAO, NIDP, ID(R'), E{ID(I), ID(R), sKi}Kr', Ni        ->
    ///     <- CKY-R, CKY-I, OK_KEYX, 0, 0, EHAS, NIDP, E{ID(R), ID(I), sKr}Ki, Nr,
    ///        prf(Kir, ID(R) | ID(I) | Nr | Ni | EHAS)                                            <-
    ///     -> CKY-I, CKY-R, OK_KEYX, EHAS, NIDP, prf(Kir, ID(I) | ID(R) | Ni | Nr | EHAS)         ->
    ///     Kir = prf(0, sKi | sKr), sKEYID = prf(Kir, CKY-I | CKY-R)
    package static let withoutExponentials = ExchangeDescription(
        name: "Oakley without Diffie-Hellman", type: .oakleyWithoutExponentials,
        messages: [
            MessageRule(
                .initiator,
                [
                    offer, .own(.identification, publicIdentity),
                    Element(
                        .nonce,
                        .sealed(
                            Element.Sealed(
                                to: publicIdentity,
                                [.own(.initiatorIdentity), .own(.responderIdentity), .own(initiatorShare)]))),
                    .own(.nonce, .initiatorNonce),
                ]),
            MessageRule(
                .responder,
                [
                    choice,
                    Element(
                        .nonce,
                        .sealed(
                            Element.Sealed(
                                to: .initiatorIdentity,
                                [.known(.responderIdentity), .known(.initiatorIdentity), .own(responderShare)]))),
                    .own(.nonce, .responderNonce),
                    proof(identities.reversed() + symbols(.responderNonce, .initiatorNonce, .choice)),
                ]),
            MessageRule(
                .initiator,
                [
                    Element(.securityAssociation, .known(.symbol(.choice))),
                    proof(identities + symbols(.initiatorNonce, .responderNonce, .choice)),
                ]),
        ],
        definitions: [
            authenticationKey(initiatorShare, responderShare),
            ExchangeDescription.Definition(key, .prf(.symbol(authenticationKey), keyName)),
        ], protection: protection, result: .symbol(key), resultName: keyName, integers: .words)

    private static let cookieRequest = [MessageRule(.initiator, []), MessageRule(.responder, [])]
    /// IDP: what follows is encrypted with prf(0, g^xy).
    private static let identityProtection = Expression.hash(.symbol(.sharedSecret))

    /// A conservative example (RFC 2412 §2.4.3, the second of that number): a cookie first, for which the responder keeps
    /// nothing, and perfect forward secrecy for the identities.
    ///
    ///     ->     0, 0, OK_KEYX                                                          ->
    ///     <-     0, CKY-R, OK_KEYX                                                      <-
    ///     ->     CKY-I, CKY-R, OK_KEYX, GRP, g^x, EHAO                                  ->
    ///     <-     CKY-R, CKY-I, OK_KEYX, GRP, g^y, EHAS                                  <-
    ///     ->     CKY-I, CKY-R, OK_KEYX, GRP, g^x, IDP*, ID(I), ID(R), E{Ni}Kr           ->
    ///     <-     CKY-R, CKY-I, OK_KEYX, GRP, 0, 0, IDP, E{Nr, Ni}Ki, ID(R), ID(I),
    ///            prf(Kir, ID(R) | ID(I) | GRP | g^y | g^x | EHAS)                       <-
    ///     ->     CKY-I, CKY-R, OK_KEYX, GRP, 0, 0, IDP,
    ///            prf(Kir, ID(I) | ID(R) | GRP | g^x | g^y | EHAS)                       ->
    ///     Kir = prf(0, Ni | Nr)
    package static let conservative = ExchangeDescription(
        name: "Oakley conservative", type: .oakleyConservative,
        messages: cookieRequest + [
            MessageRule(.initiator, [offer, initiatorValue]),
            MessageRule(.responder, [choice, responderValue]),
            MessageRule(
                .initiator, isEncrypted: true,
                [
                    Element(.keyExchange, .known(.symbol(.initiatorValue))),
                    .own(.identification, .initiatorIdentity), .own(.identification, .responderIdentity),
                    Element(
                        .nonce, .sealed(Element.Sealed(to: .responderIdentity, [.own(initiatorSecret)]))),
                ]),
            MessageRule(
                .responder, isEncrypted: true,
                [
                    Element(
                        .nonce,
                        .sealed(
                            Element.Sealed(to: .initiatorIdentity, [.own(responderSecret), .known(initiatorSecret)]))),
                    Element(.identification, .known(.symbol(.responderIdentity))),
                    Element(.identification, .known(.symbol(.initiatorIdentity))),
                    proof(identities.reversed() + symbols(.group, .responderValue, .initiatorValue, .choice)),
                ]),
            MessageRule(
                .initiator, isEncrypted: true,
                [proof(identities + symbols(.group, .initiatorValue, .responderValue, .choice))]),
        ],
        definitions: [
            authenticationKey(initiatorSecret, responderSecret), definition(initiatorSecret, responderSecret),
        ],
        protection: identityProtection, result: .symbol(key), resultName: keyName, integers: .words
    ).beginningWithCookies()

    /// The conservative example with signatures or a shared key ("can also be used, as illustrated previously"): nonces in
    /// place of E{}, and S{} of §2.4.1 in place of the prf.
    package static let conservativeWithSignatures = ExchangeDescription(
        name: "Oakley conservative, signed", type: .oakleyConservativeWithSignatures,
        messages: cookieRequest + [
            MessageRule(.initiator, [offer, initiatorValue]),
            MessageRule(.responder, [choice, responderValue]),
            MessageRule(
                .initiator, isEncrypted: true,
                [
                    Element(.keyExchange, .known(.symbol(.initiatorValue))),
                    .own(.identification, .initiatorIdentity), .own(.identification, .responderIdentity),
                    .own(.nonce, .initiatorNonce),
                ]),
            MessageRule(
                .responder, isEncrypted: true,
                [
                    .own(.nonce, .responderNonce), Element(.nonce, .known(.symbol(.initiatorNonce))),
                    Element(.identification, .known(.symbol(.responderIdentity))),
                    Element(.identification, .known(.symbol(.initiatorIdentity))),
                    .authentication(
                        by: .responder, key: .symbol(.sharedKey),
                        over: over(
                            identities.reversed()
                                + symbols(
                                    .responderNonce, .initiatorNonce, .group, .responderValue, .initiatorValue, .choice)
                        )
                    ),
                ]),
            MessageRule(
                .initiator, isEncrypted: true,
                [
                    .authentication(
                        by: .initiator, key: .symbol(.sharedKey),
                        over: over(
                            identities
                                + symbols(
                                    .initiatorNonce, .responderNonce, .group, .initiatorValue, .responderValue, .choice)
                        )
                    )
                ]),
        ], definitions: [definition(.initiatorNonce, .responderNonce)], protection: identityProtection,
        result: .symbol(key), resultName: keyName, integers: .words
    ).beginningWithCookies()
}
