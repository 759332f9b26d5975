package import ISAKMP

/// Oakley's own modes (RFC 2412 §2.4), as data for the framework's engine. The fields of RFC 2412 stand in payloads as its
/// §2.3.2 suggests: GRP, EHAO (`SAi`) and EHAS (`SAr`) in the SA payload, powers in KE, nonces in NONCE, identities in ID,
/// and what an AUTH payload would hold in HASH or SIG. OK_KEYX and NIDP are said by the exchange type. Public values and
/// nonces are variable precision integers (Appendix C), and are hashed as they stand in the payload; identities, which do not
/// say where they end, are hashed behind their length.
package enum OakleyModes {
    /// A field that says nothing: an integer of no words.
    static let null = Expression.octets([0, 0, 0, 0])
    static let identities = [Symbol.initiatorIdentity, .responderIdentity].map { Expression.framed($0) }
    static let key = Symbol("sKEYID")

    /// sKEYID = prf(Ni | Nr, g^xy | CKY-I | CKY-R)
    static func definition(_ initiator: Symbol, _ responder: Symbol) -> ExchangeDescription.Definition {
        ExchangeDescription.Definition(
            key,
            .prf(.symbols(initiator, responder), .symbols(.sharedSecret, .initiatorCookie, .responderCookie)))
    }

    /// The conversion of keying material to a key for messages (RFC 2412 §2.6) is one more prf.
    static let protection = Expression.prf(.symbol(key), .octets([1]))
    /// KEYID = CKY-I | CKY-R
    static let keyName = Expression.symbols(.initiatorCookie, .responderCookie)

    static let offer = Element.own(.securityAssociation, .offer)
    static let choice = Element.own(.securityAssociation, .choice)
    static let initiatorValue = Element.own(.keyExchange, .initiatorValue)
    static let responderValue = Element.own(.keyExchange, .responderValue)

    private static func known(_ type: PayloadType, _ symbol: Symbol) -> Element {
        Element(type, .known(.symbol(symbol)))
    }

    static func over(_ parts: [Expression]) -> Expression { .join(parts) }

    static func symbols(_ symbols: Symbol...) -> [Expression] { symbols.map { .symbol($0) } }

    /// An aggressive example (RFC 2412 §2.4.1): three messages, identities in clear, perfect forward secrecy for the key.
    /// With a shared key, the prf takes the signature's place (§2.4.1.2). That section's example has g^y in the first
    /// signature, which nobody knows then; §2.4.1 has 0 there, and so has this.
    ///
    ///     -> CKY-I, 0,     OK_KEYX, GRP, g^x, EHAO, NIDP, ID(I), ID(R), Ni, 0,
    ///        S{ID(I) | ID(R) | Ni | 0 | GRP | g^x | 0 | EHAO}Ki                       ->
    ///     <- CKY-R, CKY-I, OK_KEYX, GRP, g^y, EHAS, NIDP, ID(R), ID(I), Nr, Ni,
    ///        S{ID(R) | ID(I) | Nr | Ni | GRP | g^y | g^x | EHAS}Kr                    <-
    ///     -> CKY-I, CKY-R, OK_KEYX, GRP, g^x, EHAS, NIDP, ID(I), ID(R), Ni, Nr,
    ///        S{ID(I) | ID(R) | Ni | Nr | GRP | g^x | g^y | EHAS}Ki                    ->
    package static let aggressive = ExchangeDescription(
        name: "Oakley aggressive", type: .oakleyAggressive,
        messages: [
            MessageRule(
                .initiator,
                [
                    offer, initiatorValue, .own(.identification, .initiatorIdentity),
                    .own(.identification, .responderIdentity), .own(.nonce, .initiatorNonce),
                    .authentication(
                        by: .initiator, key: .symbol(.sharedKey),
                        over: over(
                            identities + symbols(.initiatorNonce) + [null] + symbols(.group, .initiatorValue)
                                + [null, .symbol(.offer)])),
                ]),
            MessageRule(
                .responder,
                [
                    choice, responderValue, known(.identification, .responderIdentity),
                    known(.identification, .initiatorIdentity), .own(.nonce, .responderNonce),
                    known(.nonce, .initiatorNonce),
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
                .initiator,
                [
                    known(.securityAssociation, .choice), known(.keyExchange, .initiatorValue),
                    known(.identification, .initiatorIdentity), known(.identification, .responderIdentity),
                    known(.nonce, .initiatorNonce), known(.nonce, .responderNonce),
                    .authentication(
                        by: .initiator, key: .symbol(.sharedKey),
                        over: over(
                            identities
                                + symbols(
                                    .initiatorNonce, .responderNonce, .group, .initiatorValue, .responderValue, .choice)
                        )
                    ),
                ]),
        ], definitions: [definition(.initiatorNonce, .responderNonce)], protection: protection,
        result: .symbol(key), resultName: keyName, integers: .words)
}
