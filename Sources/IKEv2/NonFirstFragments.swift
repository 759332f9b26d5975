import IPsec
import ISAKMP

/// N(NON_FIRST_FRAGMENTS_ALSO): later fragments, which show no ports, go over a tunnel whose selectors have ports. It is so
/// where both ends say it, for the one child (RFC 7296 §1.3.1, RFC 4301 §7.3).
extension ChildPolicy {
    /// What an offer says; transport mode carries no fragments (RFC 4301 §4.1).
    var fragmentPayloads: [Payload] {
        carriesFragments && mode == .tunnel ? [NotifyPayload(.nonFirstFragmentsAlso).payload] : []
    }

    /// Whether a child with what the peer says carries them.
    func agreesOnFragments(_ content: MessageContent, _ mode: SecurityMode) -> Bool {
        carriesFragments && mode == .tunnel && content.notification(.nonFirstFragmentsAlso) != nil
    }
}
