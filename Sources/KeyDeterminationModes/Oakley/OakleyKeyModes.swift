package import ISAKMP

/// Modes on a key that has a name already (RFC 2412 §2.8 to §2.11): new keys, new groups, keys from elsewhere.
extension OakleyModes {
    private static let parent = Expression.symbol(.parentKey)
    private static let initiatorNonce = Element.own(.nonce, .initiatorNonce)
    private static let responderNonce = Element.own(.nonce, .responderNonce)

    private static func proof(_ over: Expression, key: Expression = parent) -> Element { .proof(key: key, over: over) }

    private static let one = Expression.octets([1])
    private static let zero = Expression.octets([0])

    /// Quick Mode, new keys from old (RFC 2412 §2.9). Hashes protect it; it needs no encryption, and works on a key that was
    /// distributed by hand as well (§2.10).
    ///
    ///     -> KEYID, INEWKRQ, Ni, prf(sKEYID, Ni)             ->
    ///     <- KEYID, INEWKRS, Nr, prf(sKEYID, 1 | Nr | Ni)    <-
    ///     -> KEYID, INEWKRP, 0, prf(sKEYID, 0 | Ni | Nr)     ->
    ///     NKEYID = Ni | Nr, sNKEYID = prf(sKEYID, Ni | Nr)
    package static let quick = ExchangeDescription(
        name: "Oakley quick", type: .oakleyQuick,
        messages: [
            MessageRule(.initiator, [initiatorNonce, proof(.symbol(.initiatorNonce))]),
            MessageRule(
                .responder, [responderNonce, proof(one | .responderNonce | .initiatorNonce)]),
            MessageRule(.initiator, [proof(zero | .initiatorNonce | .responderNonce)]),
        ], definitions: [], result: .prf(parent, .symbols(.initiatorNonce, .responderNonce)),
        resultName: .symbols(.initiatorNonce, .responderNonce), integers: .words
    ).protectingItself()

    /// Keying material from elsewhere: sNEWKEYID.
    package static let externalKey = Symbol("sNEWKEYID")
    private static let mask = Symbol("Kir")

    /// Distribution of an external key (RFC 2412 §2.11), no longer than what the prf yields (§2.11.1).
    ///
    ///     -> KEYID, IEXTKEY, Ni, prf(sKEYID, Ni)                                     ->
    ///     <- KEYID, IEXTKEY, Nr, prf(sKEYID, 1 | Nr | Ni)                            <-
    ///     -> KEYID, IEXTKEY, Kir xor sNEWKEYID, prf(Kir, sNEWKEYID | Ni | Nr)        ->
    ///     Kir = prf(sKEYID, Ni | Nr); the new key's name is prf(sKEYID, 1 | Ni | Nr)
    package static let externalKeyDistribution = ExchangeDescription(
        name: "Oakley external key", type: .oakleyExternalKey,
        messages: [
            MessageRule(.initiator, [initiatorNonce, proof(.symbol(.initiatorNonce))]),
            MessageRule(
                .responder, [responderNonce, proof(one | .responderNonce | .initiatorNonce)]),
            MessageRule(
                .initiator,
                [
                    Element(.keyExchange, .masked(externalKey, with: .symbol(mask))),
                    proof(.symbols(externalKey, .initiatorNonce, .responderNonce), key: .symbol(mask)),
                ]),
        ],
        definitions: [
            ExchangeDescription.Definition(mask, .prf(parent, .symbols(.initiatorNonce, .responderNonce)))
        ], result: .symbol(externalKey), resultName: .prf(parent, one | .initiatorNonce | .responderNonce),
        integers: .words
    ).protectingItself()

    /// A group's descriptor: Desc(New Group), as ``GroupDescriptor`` writes it.
    package static let groupDescriptor = Symbol("Desc(New Group)")

    /// Defining a new group (RFC 2412 §2.8.1), encrypted under the SA so that nobody else knows it. The descriptor stands in
    /// a KE payload.
    ///
    ///     -> KEYID, INEWGRP, Desc(New Group), Na, prf(sKEYID, Desc(New Group) | Na)           ->
    ///     <- KEYID, INEWGRPRS, Na, Nb, prf(sKEYID, Na | Nb | Desc(New Group))                 <-
    ///     -> KEYID, INEWGRPACK, prf(sKEYID, Nb | Na | Desc(New Group))                        ->
    ///     GRP = trunc16(Na) | trunc16(Nb)
    package static let newGroup = ExchangeDescription(
        name: "Oakley new group", type: .oakleyNewGroup,
        messages: [
            MessageRule(
                .initiator,
                [
                    .own(.keyExchange, groupDescriptor), initiatorNonce,
                    proof(.symbols(groupDescriptor, .initiatorNonce)),
                ]),
            MessageRule(
                .responder,
                [
                    Element(.nonce, .known(.symbol(.initiatorNonce))), responderNonce,
                    proof(.symbols(.initiatorNonce, .responderNonce, groupDescriptor)),
                ]),
            MessageRule(.initiator, [proof(.symbols(.responderNonce, .initiatorNonce, groupDescriptor))]),
        ], definitions: [], result: nil, resultName: .symbols(.initiatorNonce, .responderNonce), integers: .words)
}
