import IPsec
import ISAKMP

/// N(USE_AGGFRAG): inner packets share the payloads of a child in tunnel mode, and are cut over them (RFC 9347 §5.1). It is so
/// where both ends say it; otherwise the child is an ordinary tunnel.
///
/// Its one octet of data says what the sender asks for: that the peer tell it of congestion, and that no fragments come.
extension ChildPolicy {
    private static let congestionFlag: UInt8 = 0x02
    private static let wholeFlag: UInt8 = 0x01

    /// What an offer says, or the answer to one.
    var aggregationPayloads: [Payload] {
        guard let aggregation, mode == .tunnel else { return [] }
        let flags =
            (aggregation.takesFragments ? 0 : Self.wholeFlag)
            | (aggregation.controlsCongestion ? Self.congestionFlag : 0)
        return [NotifyPayload(.useAggregation, data: [flags]).payload]
    }

    /// How a child with what the peer says shares payloads; `nil` where it does not.
    func agreedAggregation(_ content: MessageContent, _ mode: SecurityMode, _ kind: SecurityProtocol) -> Aggregation? {
        guard var agreed = aggregation, mode == .tunnel, kind == .esp,
            let theirs = content.notification(.useAggregation), let flags = theirs.data.first
        else { return nil }
        agreed.reportsCongestion = flags & Self.congestionFlag != 0
        if flags & Self.wholeFlag != 0 { agreed.keepsWhole = true }
        return agreed
    }
}
