import Control
import IPsec
import KeyManagement

/// What went wrong, by the names of charon's alerts.
enum Alerts {
    /// That the daemon was told to end.
    static let shutdown = "shutdown-signal"
    /// That no RADIUS server answered a request.
    static let silentServers = "radius-not-responding"

    /// The one that says most closely what it was comes first.
    static func types(of event: Event) -> [String] {
        switch event.kind {
        case .session(.refused(_, let refusal)), .closed(.refused(let refusal)): types(of: refusal)
        case .session(.retransmitting): ["retransmit-send"]
        case .session(.noticed(let notice)): [type(of: notice)]
        case .noticed(.malformedHeader): ["parse-error-header"]
        case .noticed(.unknownSPI): ["invalid-ike-spi"]
        case .noticed(.noRemoteAddress): ["peer-addr-failed"]
        case .closed(.peerUnresponsive): ["retransmit-send-timeout"]
        case .closed(.expired): ["ike-sa-expired"]
        case .session, .closed, .dropped: []
        }
    }

    private static func type(of notice: SessionNotice) -> String {
        switch notice {
        case .repeatedRequest: "retransmit-receive"
        case .answeredLate: "retransmit-send-cleared"
        case .selectorsNarrowed: "ts-narrowed"
        case .keptWithoutChild: "keep-on-child-sa-failure"
        case .olderKept: "unique-keep"
        case .olderReplaced: "unique-replace"
        }
    }

    static func types(of refusal: Refusal) -> [String] {
        switch refusal {
        case .noProposal(.ike, _): ["proposal-mismatch-ike"]
        case .noProposal: ["proposal-mismatch-child"]
        case .selectors: ["ts-mismatch"]
        case .certificate(let report): [type(of: report), "peer-auth-failed"].compactMap { $0 }
        case .identity, .authentication, .method, .noCredential, .userAuthentication, .rounds, .groups:
            ["peer-auth-failed"]
        // AUTHENTICATION_FAILED
        case .peer(24, _), .userRefused: ["local-auth-failed"]
        // INTERNAL_ADDRESS_FAILURE
        case .peer(36, _): ["vip-failure"]
        case .protocolViolation: ["parse-error-body"]
        case .timeout: ["half-open-timeout"]
        case .noConnection: ["peer-init-unreachable"]
        case .peer, .peerWithKey, .policy: []
        }
    }

    /// What is wrong with a certificate path; `nil` where it is good and names somebody else.
    private static func type(of report: ChainReport) -> String? {
        let problems = report.links.flatMap(\.problems).map(\.problem).filter { $0 != .identityAbsent }
        guard let problem = problems.first else { return nil }
        switch problem {
        case .expired, .notYetValid: return "cert-expired"
        case .revoked: return "cert-revoked"
        case .pathTooLong: return "cert-exceeded-path-len"
        case .issuerMissing, .otherIssuerKey: return "cert-no-issuer"
        case .untrusted, .authorityNotNamed, .authorityIdentityAbsent: return "cert-untrusted-root"
        case .nameNotPermitted, .nameExcluded, .keyUsageLacks, .purposes, .notAuthority, .policiesAbsent,
            .policyMissing:
            return "cert-policy-violation"
        case .unknownKey, .weakKey, .unknownAlgorithm, .weakAlgorithm, .badSignature, .unknownCriticalExtensions,
            .keyNotAdmitted, .algorithmNotAdmitted, .revocationUnknown, .identityAbsent:
            return "cert-validation-failed"
        }
    }

    /// `type`, and the SA that it is about where there is one.
    static func message(_ type: String, _ event: Event, _ loop: ControlLoop) -> ViciMessage {
        message(type, event.snapshot ?? event.session.flatMap { loop.manager.snapshot(of: $0) }, loop)
    }

    static func message(_ type: String, _ session: SessionSnapshot?, _ loop: ControlLoop) -> ViciMessage {
        var message: ViciMessage = ["type": type]
        if let session { message.add("ike-sa", section: ViciEvents.withoutChildren(session, loop)) }
        return message
    }
}
