import ISAKMP

/// What payloads are for, by their names and by the abbreviations of the RFCs' figures.
enum PayloadMeanings {
    static let all: [Meaning] = version1 + version2

    private static let version1: [Meaning] = PayloadNames.all(isVersion2: false).flatMap { number, name in
        let entry = PayloadType.all.first { $0.type.rawValue == number }
        let text = texts1[number] ?? (means: "carries \(name)", sender: "an end that knows the extension")
        return both(
            number, [name, entry?.symbol], kind: "IKEv1 payload\(entry?.isFramework == true ? ", ISAKMP's" : "")", text,
            reference: entry?.reference)
    }

    private static let version2: [Meaning] = PayloadNames.all(isVersion2: true).flatMap { number, name in
        let text = texts2[number]
        return both(
            number, [name, text?.symbol], kind: "IKEv2 payload",
            (means: text?.means ?? "carries \(name)", sender: text?.sender ?? "an end that knows the extension"),
            reference: (33...48).contains(number) ? "RFC 7296 §3" : number == 53 ? "RFC 7383 §2.5" : nil)
    }

    /// A sense under the name, and the same under the abbreviation.
    private static func both(
        _ number: UInt8, _ names: [String?], kind: String, _ text: (means: String, sender: String), reference: String?
    ) -> [Meaning] {
        let distinct = names.compactMap { $0 }.reduce(into: [String]()) { if !$0.contains($1) { $0.append($1) } }
        return distinct.enumerated().map { index, name in
            Meaning(
                name, number: index == 0 ? Int(number) : nil, kind: "\(kind) \(number)", means: text.means,
                sender: text.sender, reference: reference)
        }
    }

    private static let texts1: [UInt8: (means: String, sender: String)] = [
        1: (
            "offers or chooses what an SA is to be: the domain, the situation, and proposals inside", "both ends first"
        ),
        2: ("a protocol with the SPI under which its SA will be received; stands inside an SA payload", "both ends"),
        3: ("one set of algorithms with its lifetimes; stands inside a proposal", "both ends"),
        4: ("the public value of Oakley's key exchange", "both ends"),
        5: ("in phase 1 who the sender is; in phase 2 a side of the tunnel", "both ends, encrypted in Main Mode"),
        6: ("a certificate of the sender", "an end that signs"),
        7: ("which authority's certificate is wanted", "either end"),
        8: ("proves the identity in phase 1, authenticates the message in phase 2", "both ends"),
        9: ("proves the identity with a signature", "both ends, where they sign"),
        10: ("random octets, for the keys and against replay", "both ends"),
        11: ("an error or a status, as a number with data", "either end"),
        12: ("says that SAs of the sender are gone; nothing answers it", "either end"),
        13: ("names an implementation or an extension of the sender", "either end, in the first messages"),
        14: ("configuration attributes: XAUTH's questions and answers, addresses, DNS", "either end of Transaction"),
        15: (
            "the key-encryption key of a group (RFC 6407); in a first exchange, NAT-D of the drafts 4 to 8",
            "a group's key server; in a first exchange both ends"
        ),
        16: (
            "the traffic keys of a group (RFC 6407); in Quick Mode, NAT-OA of the drafts 4 to 8",
            "a group's key server; in Quick Mode both ends"
        ),
        20: ("hash of an address and port as the sender sees them: if it differs, a NAT is between", "both ends"),
        21: ("the address before translation, which transport mode needs for checksums", "both ends of Quick Mode"),
        132: ("a piece of a message that would not fit into one datagram", "an end that knows the extension"),
    ]

    private static let texts2: [UInt8: (symbol: String, means: String, sender: String)] = [
        33: ("SA", "offers or chooses what an SA is to be: proposals with transforms", "both ends"),
        34: ("KE", "the public value of the key exchange, with the number of its group", "both ends"),
        35: ("IDi", "who the initiator is", "the initiator, encrypted"),
        36: ("IDr", "who the responder is; from the initiator, whom it wants", "both ends, encrypted"),
        37: ("CERT", "a certificate of the sender", "an end that signs"),
        38: ("CERTREQ", "which authorities' certificates are wanted", "either end"),
        39: ("AUTH", "proves the identity over the sender's first message and the peer's nonce", "both ends"),
        40: ("Ni", "random octets, for the keys and against replay; Nr from the responder", "both ends"),
        41: ("N", "an error or a status, as a number with data", "either end"),
        42: ("D", "says that SAs of the sender are gone; the peer answers with the other halves", "either end"),
        43: ("V", "names an implementation or an extension of the sender", "either end"),
        44: ("TSi", "the initiator's side of the traffic", "both ends"),
        45: ("TSr", "the responder's side of the traffic", "both ends"),
        46: ("SK", "all other payloads, encrypted and authenticated", "both ends, after IKE_SA_INIT"),
        47: ("CP", "asks for an address and the like, or gives it", "both ends"),
        48: ("EAP", "a message of the extensible authentication protocol", "both ends, where EAP authenticates"),
        53: ("SKF", "a piece of a message, encrypted and authenticated for itself", "both ends, after IKE_SA_INIT"),
        54: ("PS", "shows work that the responder wanted (RFC 8019)", "the initiator, under attack"),
    ]
}
