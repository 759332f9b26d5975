/// What notifications say. A notification that has a name and no sentence of its own is explained by its range: numbers
/// below 16384 report errors, the others a status (RFC 7296 §3.10.1, RFC 2408 §3.14.1).
enum NotificationMeanings {
    /// The sentence, who sends it, and what helps.
    private struct Text {
        let means: String
        let sender: String
        let remedy: String?

        init(_ means: String, _ sender: String, _ remedy: String? = nil) {
            self.means = means
            self.sender = sender
            self.remedy = remedy
        }
    }

    static let version2: [Meaning] = NotificationNames.all(isVersion2: true).map {
        meaning($0, $1, version: "IKEv2", texts2, reference: "RFC 7296 §3.10.1")
    }

    static let version1: [Meaning] = NotificationNames.all(isVersion2: false).map {
        meaning($0, $1, version: "IKEv1", texts1, reference: $0 >= 24_576 ? "RFC 2407 §4.6.3" : "RFC 2408 §3.14.1")
    }

    private static func meaning(
        _ number: UInt16, _ name: String, version: String, _ texts: [UInt16: Text], reference: String
    ) -> Meaning {
        let isError = number < 16_384
        let text =
            texts[number]
            ?? (isError
                ? Text(
                    "the sender could not go on", "whoever found the error", "look in the sender's log for the cause")
                : Text("says what the sender can do or has done; nothing is wrong", "an end that knows the extension"))
        return Meaning(
            name, number: Int(number), kind: "\(version) notification, \(isError ? "an error" : "a status")",
            means: text.means, sender: text.sender, remedy: text.remedy,
            reference: registeredElsewhere[number].flatMap { version == "IKEv2" ? $0 : nil } ?? reference)
    }

    private static let sameProposals =
        "let proposals (for IKE) or esp_proposals (for a child) name the same algorithms and groups on both sides; "
        + "the refusing end's log shows both lists"
    private static let sameKeys =
        "compare the secret in secrets.ike* and the identities (local.id, remote.id) on both sides"
    private static let sameSelectors = "let local_ts here fit remote_ts on the peer, and the other way round"

    private static let texts2: [UInt16: Text] = [
        1: Text(
            "a payload is marked critical and its type is unknown", "the responder of the request that held it",
            "one end uses an extension that the other lacks; turn it off"),
        4: Text(
            "a message came for an IKE SA that does not exist", "an end that has restarted or given the SA up",
            "nothing: dead peer detection finds out and negotiates anew"),
        5: Text(
            "the major version of IKE is not spoken", "the responder of the first message",
            "set version to 1 or 2, the same on both sides"),
        7: Text(
            "a message could not be read, or what it says is against the rules", "the responder of a request",
            "look in the sender's log for the octet; parley decode --strict on a capture shows it too"),
        9: Text("a message number is outside the window", "the receiver", "nothing: one message was late"),
        11: Text(
            "an ESP packet came for an SA that does not exist", "the receiver of the packet",
            "nothing: the pair is negotiated anew; if it stays, restart the connection on both sides"),
        14: Text("none of the offered proposals is acceptable", "the responder of an offer", sameProposals),
        17: Text(
            "the group of the KE payload is not the one the responder chose",
            "the responder; it names the group it wants",
            "nothing: the initiator tries again with that group; to save the round, name it first in proposals"),
        24: Text(
            "the proof of identity does not hold, or the identity is not wanted", "either end, at IKE_AUTH", sameKeys),
        34: Text(
            "only single addresses are accepted as selectors", "the responder of a child's request",
            "name one address each in local_ts and remote_ts"),
        35: Text(
            "the responder makes no more SAs under this IKE SA", "the responder of CREATE_CHILD_SA",
            "raise the responder's limit, or let the connection begin anew"),
        36: Text(
            "no address can be given out", "the responder of a configuration request",
            "check the responder's pool: it is empty, or none is configured"),
        37: Text(
            "the responder wants the initiator to ask for an address", "the responder of IKE_AUTH",
            "set vips on the initiator, or remove pools on the responder"),
        38: Text("the traffic selectors have nothing in common", "the responder of a child's request", sameSelectors),
        39: Text(
            "a packet came that is outside its SA's selectors", "the receiver of the packet",
            "let the selectors cover the traffic; the notification holds the packet's beginning"),
        40: Text("none of the new addresses is acceptable", "the responder of a MOBIKE update", nil),
        41: Text("a NAT stands where none was announced", "the responder of a MOBIKE exchange", nil),
        43: Text(
            "the request collides with something under way", "the responder of a request",
            "nothing: the request is repeated after a while"),
        44: Text(
            "the child SA that a rekeying names does not exist", "the responder of a rekeying",
            "nothing: the initiator sets the child up afresh"),
        45: Text("the group is not known to the group controller", "a group controller", nil),
        46: Text("the identity may not join the group", "a group controller", nil),
        47: Text("the state that a message refers to is gone", "the responder of an intermediate exchange", nil),
        16384: Text(
            "this is the only IKE SA between the two identities", "either end, at its first IKE_AUTH after a restart"),
        16385: Text("how many requests may be under way at once", "either end"),
        16386: Text(
            "the selectors were narrowed, and the rest could be had in another SA", "the responder of a child's request"
        ),
        16387: Text("IPComp may be used", "either end of a child's negotiation"),
        16388: Text(
            "a hash of the address and port that the sender sends from: if it differs, a NAT stands before the sender",
            "both ends, at IKE_SA_INIT"),
        16389: Text(
            "a hash of the address and port that the sender sends to: if it differs, a NAT stands before the receiver",
            "both ends, at IKE_SA_INIT"),
        16390: Text(
            "a token that the initiator must return before the responder keeps any state",
            "the responder, when many negotiations are half-open"),
        16391: Text("the child SA is wanted in transport mode", "both ends of a child's negotiation"),
        16392: Text("certificates may be named by URL", "either end"),
        16393: Text("the new child SA replaces the one that is named", "the initiator of a rekeying"),
        16394: Text("padding that hides traffic is not removed", "either end of a child's negotiation"),
        16395: Text("fragments other than first ones may travel in the SA", "either end of a child's negotiation"),
        16396: Text("addresses may change under the SA", "either end, at IKE_AUTH"),
        16400: Text("the sender has moved to the addresses of this message", "the initiator"),
        16403: Text("reauthenticate within this time", "the responder"),
        16404: Text("more than one authentication may be asked for", "either end"),
        16405: Text("another authentication follows", "the end that authenticates"),
        16406: Text("the initiator can be sent to another gateway", "the initiator, at IKE_SA_INIT"),
        16407: Text("the gateway to go to instead", "the responder"),
        16417: Text("EAP alone may authenticate both ends", "the initiator"),
        16418: Text("an IKE SA may be set up without a child", "the responder, at IKE_SA_INIT"),
        16419: Text("a token that proves later that its sender has restarted", "either end"),
        16430: Text("messages may be split into encrypted fragments", "both ends, at IKE_SA_INIT"),
        16431: Text("hashes with which signatures may be made", "both ends, at IKE_SA_INIT"),
        16434: Text("a puzzle to solve before the responder goes on", "the responder, when attacked"),
        16435: Text("a post-quantum pre-shared key may be mixed in", "either end, at IKE_SA_INIT"),
        16436: Text("which post-quantum pre-shared key", "the initiator, at IKE_AUTH"),
        16437: Text("a proof that holds without the post-quantum key", "the initiator, at IKE_AUTH"),
        16438: Text("messages may stand between IKE_SA_INIT and IKE_AUTH", "both ends, at IKE_SA_INIT"),
        16441: Text("another key exchange follows", "the responder of a rekeying"),
    ]

    /// Where IANA says that a number of version 2 is described, when that is not RFC 7296.
    private static let registeredElsewhere: [UInt16: String] = {
        let ranges: [(ClosedRange<UInt16>, String)] = [
            (40...41, "RFC 4555 §3"), (42...42, "RFC 5026"), (45...46, "RFC 9838"), (47...47, "RFC 9370 §2.2.4"),
            (48...48, "RFC 9611"), (16396...16402, "RFC 4555 §3"), (16403...16403, "RFC 4478"),
            (16404...16405, "RFC 4739"), (16406...16408, "RFC 5685"), (16409...16413, "RFC 5723"),
            (16414...16414, "RFC 5739"), (16415...16415, "RFC 5840"), (16416...16416, "RFC 5857"),
            (16417...16417, "RFC 5998"), (16418...16418, "RFC 6023"), (16419...16419, "RFC 6290"),
            (16420...16423, "RFC 6311"), (16424...16424, "RFC 6467"), (16425...16426, "RFC 6631"),
            (16427...16427, "RFC 6867"), (16428...16428, "3GPP TS 24.303"),
            (16429...16429, "RFC 9838"), (16430...16430, "RFC 7383"), (16431...16431, "RFC 7427"),
            (16432...16433, "RFC 7791"), (16434...16434, "RFC 8019"), (16435...16437, "RFC 8784"),
            (16438...16438, "RFC 9242"), (16439...16440, "RFC 8983"), (16441...16441, "RFC 9370"),
            (16442...16442, "RFC 9347"), (16443...16443, "RFC 9593"), (16444...16444, "RFC 9611"),
            (16445...16446, "RFC 9867"),
        ]
        return ranges.reduce(into: [:]) { result, entry in entry.0.forEach { result[$0] = entry.1 } }
    }()

    private static let update = "one end uses an extension that the other lacks; turn it off"
    private static let unreadable =
        "compare the pre-shared keys first: with a wrong one the peer decrypts to nonsense; then look in its log"
    private static let certificates = "check the certificate and its authorities on the end that was refused"

    private static let texts1: [UInt16: Text] = [
        1: Text("a payload's type is unknown, or out of place", "whoever read the message", unreadable),
        2: Text("the domain of interpretation is not IPsec's", "the responder", "the peer does not speak IPsec's IKE"),
        3: Text(
            "the situation asks for labels that are not known", "the responder", "set no security labels on the peer"),
        4: Text(
            "a message came for an ISAKMP SA that does not exist", "an end that has restarted or given the SA up",
            "nothing: dead peer detection finds out and negotiates anew"),
        5: Text("the major version is not spoken", "the responder", "set version to 1 or 2, the same on both sides"),
        6: Text("the minor version is not spoken", "the responder", nil),
        7: Text(
            "the exchange is not spoken, or not allowed", "the responder",
            "most often Aggressive Mode against an end that allows Main Mode only: set aggressive alike on both sides"),
        8: Text("flags of the header contradict each other", "whoever read the message", unreadable),
        9: Text("a message number is not expected", "whoever read the message", "nothing: one message was late"),
        10: Text("the protocol is neither ISAKMP, AH nor ESP", "the responder of an offer", sameProposals),
        11: Text("an SPI is not known, or has the wrong length", "whoever was to use it", "negotiate the child anew"),
        12: Text("a transform is not known", "the responder of an offer", sameProposals),
        13: Text("an attribute of a transform is not known", "the responder of an offer", sameProposals),
        14: Text("none of the offered proposals is acceptable", "the responder of an offer", sameProposals),
        15: Text("a proposal could not be read", "the responder of an offer", update),
        16: Text("a payload could not be read", "whoever read the message", unreadable),
        17: Text("the public value does not fit the group", "the end that received it", sameProposals),
        18: Text(
            "no policy for the networks that Quick Mode names, or the identity is not wanted",
            "the responder of Quick Mode or of the last messages of Main Mode",
            sameSelectors + "; with IKEv1 both sides must name exactly the same networks"),
        19: Text("the certificate's encoding is not known", "the end that received it", certificates),
        20: Text("the certificate does not hold", "the end that received it", certificates),
        21: Text("certificates of this type are not used here", "the end that received it", certificates),
        22: Text("the authority is not trusted here", "the end that received it", certificates),
        23: Text("a hash does not hold", "the end that checked it", sameKeys),
        24: Text("the proof of identity does not hold", "the end that checked it", sameKeys),
        25: Text("a signature does not hold", "the end that checked it", certificates),
        26: Text("an address is reported", "whoever noticed it", nil),
        27: Text("the lifetime of an SA is reported", "the responder", nil),
        28: Text("no certificate can be had", "the end that was asked for one", certificates),
        29: Text("the exchange type is not spoken", "the responder", update),
        30: Text("lengths in a message contradict each other", "whoever read the message", unreadable),
        16384: Text("the SA is ready: after this an SA with the commit bit may be used", "the end that set the bit"),
        24576: Text("the responder's lifetime is shorter than the offered one, and holds", "the responder"),
        24577: Text("whether the receiver checks for replay", "the responder"),
        24578: Text("this is the only SA between the two identities", "either end, after a restart"),
        36136: Text("are you there?", "an end that has heard nothing for a while"),
        36137: Text("yes, still here", "the end that was asked"),
    ]
}
