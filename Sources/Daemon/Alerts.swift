import Control
import IPsec
import KeyManagement

/// What went wrong, by the names of charon's alerts.
enum Alerts {
    static func type(of event: Event) -> String? {
        switch event.kind {
        case .session(.refused(_, let refusal)), .closed(.refused(let refusal)): type(of: refusal)
        case .session(.retransmitting): "retransmit-send"
        case .closed(.peerUnresponsive): "retransmit-send-timeout"
        case .closed(.expired): "ike-sa-expired"
        case .session, .closed, .dropped: nil
        }
    }

    private static func type(of refusal: Refusal) -> String? {
        switch refusal {
        case .noProposal(.ike, _): "proposal-mismatch-ike"
        case .noProposal: "proposal-mismatch-child"
        case .selectors: "ts-mismatch"
        case .identity, .authentication, .noCredential: "peer-auth-failed"
        case .peer(24, _): "local-auth-failed"
        case .protocolViolation: "parse-error-body"
        case .timeout: "half-open-timeout"
        case .noConnection: "peer-init-unreachable"
        default: nil
        }
    }

    /// `type`, and the SA that it is about where there is one.
    static func message(_ type: String, _ event: Event, _ loop: ControlLoop) -> ViciMessage {
        var message: ViciMessage = ["type": type]
        let snapshot = event.snapshot ?? event.session.flatMap { loop.manager.snapshot(of: $0) }
        if let snapshot {
            message.add("ike-sa", section: ViciEvents.withoutChildren(snapshot, loop))
        }
        return message
    }
}
