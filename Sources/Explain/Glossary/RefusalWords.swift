import Cryptography
import IPsec
import Primitives

/// Parley's own refusals as words: the same sentences as in the log, with placeholders for what a log line fills in.
enum RefusalWords {
    static let all: [Meaning] = samples.map { name, refusal in
        Meaning(
            name, kind: "refusal of Parley's", means: RefusalText.explain(refusal), sender: sender(refusal),
            remedy: remedy(refusal))
    }

    /// What the sentences are made with: addresses and names for documentation (RFC 5737, RFC 2606).
    private static let samples: [(String, Refusal)] = {
        let here = Identity(.fqdn, octets: Array("left.example".utf8))
        let there = Identity(.fqdn, octets: Array("right.example".utf8))
        let local = IPAddress(family: .v4, value: 0xC000_0201)
        let remote = IPAddress(family: .v4, value: 0xC000_0202)
        return [
            ("no-connection", .noConnection(local: local, remote: remote)),
            ("no-proposal", .noProposal(.ike, Mismatch(configured: [], offered: [], clashes: []))),
            (
                "selectors",
                .selectors(offeredLocal: [], offeredRemote: [], configuredLocal: [], configuredRemote: [])
            ),
            ("identity", .identity(wanted: [.exactly(there)], seen: here)),
            ("authentication", .authentication(peer: there)),
            ("method", .method(peer: there, wanted: ["pubkey"], seen: ["psk"])),
            ("no-credential", .noCredential(local: here, remote: there)),
            ("user-authentication", .userAuthentication(user: there)), ("user-refused", .userRefused(user: here)),
            ("groups", .groups(user: there, wanted: ["staff"], has: ["guests"])),
            (
                "certificate",
                .certificate(
                    ChainReport(
                        wanted: there, present: [.dns("left.example")],
                        links: [
                            ChainReport.Link(
                                subject: DistinguishedName("O=Example, CN=left.example") ?? DistinguishedName(),
                                issuer: DistinguishedName("O=Example, CN=Root") ?? DistinguishedName(),
                                serialNumber: [1],
                                findings: [.init(check: .identity, outcome: .failed(.identityAbsent))])
                        ]))
            ),
            ("rounds", .rounds(RoundFault(.missing, isOurs: false, number: 2, method: "eap-mschapv2"))),
            ("peer", .peer(notification: 14, name: "NO_PROPOSAL_CHOSEN")),
            ("peer-with-key", .peerWithKey(notification: 1, name: "INVALID-PAYLOAD-TYPE")),
            ("protocol-violation", .protocolViolation("the rule, with its section")),
            ("timeout", .timeout), ("policy", .policy("a limit of our own, in words")),
        ]
    }()

    /// Exhaustive, so that a refusal that is added gets its words here.
    private static func sender(_ refusal: Refusal) -> String {
        switch refusal {
        case .noConnection: "this end, to a peer's first message; the peer sees NO_PROPOSAL_CHOSEN"
        case .noProposal: "this end, to an offer; the peer sees NO_PROPOSAL_CHOSEN"
        case .selectors: "this end, to a child's request; the peer sees TS_UNACCEPTABLE or INVALID-ID-INFORMATION"
        case .identity, .authentication, .method, .noCredential, .certificate, .rounds:
            "this end, when the peer authenticates; the peer sees AUTHENTICATION_FAILED"
        case .userAuthentication:
            "this end, when the peer's user authenticates (XAUTH, EAP); the peer sees STATUS=FAIL or EAP-Failure"
        case .groups:
            "this end, when the peer's user is known; the peer sees STATUS=FAIL or AUTHENTICATION_FAILED"
        case .userRefused: "the peer, when our user authenticates (XAUTH, EAP)"
        case .peer, .peerWithKey: "the peer; its own log says why"
        case .protocolViolation: "this end, to a message against the rules"
        case .timeout: "nobody: answers did not come"
        case .policy: "this end"
        }
    }

    private static func remedy(_ refusal: Refusal) -> String {
        switch refusal {
        case .noConnection, .identity, .authentication, .method, .noCredential, .userAuthentication, .userRefused,
            .rounds,
            .groups:
            RefusalText.lines(refusal).joined(separator: "; ")
        case .certificate: "look at each check: parley pki verify, or parley log"
        case .noProposal: "name the same algorithms on both sides; the log shows both lists and the smallest edit"
        case .selectors: "let local_ts here fit remote_ts on the peer, and the other way round"
        case .peer, .peerWithKey: "explain the notification that it names, and look in the peer's log"
        case .protocolViolation: "look at the message: parley trace, or parley decode on a capture"
        case .timeout: "check the way to the peer: UDP ports 500 and 4500 both ways, and that its daemon runs"
        case .policy: "the sentence names the limit or the rule"
        }
    }
}
