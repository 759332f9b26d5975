import IPsec
import ISAKMP
import Primitives

/// Repeated authentication (RFC 4478): a responder says how long it takes an initiator for who it is.
extension IKESession {
    /// Whatever the peer says, we do not authenticate again sooner.
    static let shortestAuthentication = Duration.seconds(10)

    /// N(AUTH_LIFETIME), in the response to IKE_AUTH.
    var authenticationLifetimePayloads: [Payload] {
        let times = [connection?.reauthenticationTime, grant?.sessionTimeout].compactMap { $0 }.filter { $0 > .zero }
        guard let time = times.min() else { return [] }
        var data: [UInt8] = []
        data.append(bigEndian: UInt32(clamping: time.wholeSeconds))
        return [NotifyPayload(.authenticationLifetime, data: data).payload]
    }

    /// Begins again before the peer would end the SA: a tenth of the time, or a minute, ahead of it.
    mutating func noteAuthenticationLifetime(_ content: MessageContent, _ context: inout Context) {
        guard isInitiator, let data = content.notification(.authenticationLifetime)?.data, data.count == 4 else {
            return
        }
        let lifetime = Duration.seconds(Int64(data.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }))
        let margin = min(lifetime / 10, .seconds(60))
        let latest = max(lifetime - margin, IKESession.shortestAuthentication)
        guard let time = context.jittered(latest, by: margin) else { return }
        if let own = reauthenticateAt, own <= context.now + time { return }
        reauthenticateAt = context.now + time
        context.set(.reauthenticate, after: time)
    }
}
