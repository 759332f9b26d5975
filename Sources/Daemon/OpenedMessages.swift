import Control
import IPsec
import ISAKMP
import KeyManagement
import Primitives

/// IKE messages as they crossed the wire, but opened: the payloads that travelled encrypted stand behind the header as if they
/// had not. For captures that everybody may read without keys; the keys themselves are no part of them.
enum OpenedMessages {
    /// The event `ike-message` of the control socket.
    static func message(_ event: Event, _ trace: MessageTrace) -> ViciMessage? {
        guard let octets = octets(trace) else { return nil }
        var message = ViciMessage()
        message.add("connection", event.connection)
        message.add("uniqueid", optional: event.session)
        message.add("outgoing", flag: trace.isOutgoing)
        message.add("protected", flag: trace.parts.contains(where: \.isProtected))
        message.add("local-host", trace.local.address)
        message.add("local-port", trace.local.port)
        message.add("remote-host", trace.remote.address)
        message.add("remote-port", trace.remote.port)
        message.add("octets", octets.hex)
        return message
    }

    /// Header and payloads; `nil` where the trace has no whole header.
    static func octets(_ trace: MessageTrace) -> [UInt8]? {
        var reader = ByteReader(trace.header)
        guard var header = try? Header(from: &reader) else { return nil }
        header.nextPayload = PayloadType(rawValue: trace.parts.first?.type ?? 0)
        if header.majorVersion == 1 { header.flags.remove(.encryption) }
        var body: [UInt8] = []
        for (index, part) in trace.parts.enumerated() {
            // What the peer sent is at most a datagram long; our own is not longer.
            guard part.body.count <= 65_531 else { return nil }
            body.append(index + 1 < trace.parts.count ? trace.parts[index + 1].type : 0)
            body.append(0)
            body.append(bigEndian: UInt16(part.body.count + 4))
            body += part.body
        }
        header.length = UInt32(Header.octetCount + body.count)
        var octets: [UInt8] = []
        header.write(to: &octets)
        return octets + body
    }
}
