package import Primitives

/// A host behind a tunnel that answers pings and takes in one TCP stream at a time: enough to show traffic where no
/// operating system's stack can be used.
package struct EchoHost: Sendable {
    package let address: IPAddress
    /// The one stream that is open.
    private var stream: Stream?
    /// Octets that streams brought so far, and their running sum, for comparison with what was sent.
    package private(set) var received = 0
    package private(set) var sum: UInt64 = 0

    private struct Stream: Sendable {
        var peer: IPAddress
        var peerPort: UInt16
        var ownPort: UInt16
        /// The next octet that is wanted.
        var next: UInt32
        var own: UInt32
    }

    package init(address: IPAddress) { self.address = address }

    /// What the host sends back for a packet.
    package mutating func receive(_ packet: InternetPacket) -> [InternetPacket] {
        guard packet.destination == address else { return [] }
        switch packet.ipProtocol {
        case 1: return echo(packet).map { [$0] } ?? []
        case 6: return receiveSegment(packet).map { [$0] } ?? []
        default: return []
        }
    }

    /// RFC 792: an echo request comes back as a reply with the same data.
    private func echo(_ packet: InternetPacket) -> InternetPacket? {
        var body = packet.body
        guard body.count >= 8, body[0] == 8, Checksum.of(body[...]) == 0 else { return nil }
        body[0] = 0
        body.overwrite(bigEndian: UInt16(0), at: 2)
        body.overwrite(bigEndian: Checksum.of(body[...]), at: 2)
        return InternetPacket(source: address, destination: packet.source, ipProtocol: 1, body: body)
    }

    /// The receiving half of RFC 9293: in order only; whatever comes out of order is answered with what is wanted.
    private mutating func receiveSegment(_ packet: InternetPacket) -> InternetPacket? {
        guard let segment = Segment(packet) else { return nil }
        if segment.flags.contains(.syn) {
            stream = Stream(
                peer: packet.source, peerPort: segment.sourcePort, ownPort: segment.destinationPort,
                next: segment.sequence &+ 1, own: 1)
            return answer([.syn, .ack], sequence: 0)
        }
        guard let open = stream, open.peer == packet.source, open.peerPort == segment.sourcePort,
            open.ownPort == segment.destinationPort
        else { return nil }
        if segment.sequence == open.next {
            stream?.next &+= UInt32(truncatingIfNeeded: segment.payload.count)
            received += segment.payload.count
            for octet in segment.payload { sum = sum &* 31 &+ UInt64(octet) }
            if segment.flags.contains(.fin) {
                stream?.next &+= 1
                let last = answer([.fin, .ack], sequence: open.own)
                stream?.own &+= 1
                return last
            }
        }
        if segment.flags.contains(.fin), segment.sequence &+ 1 == open.next {
            // Our own FIN was lost.
            return answer([.fin, .ack], sequence: open.own &- 1)
        }
        return segment.payload.isEmpty ? nil : answer([.ack], sequence: open.own)
    }

    private func answer(_ flags: Segment.Flags, sequence: UInt32) -> InternetPacket? {
        stream.map { stream in
            Segment(
                sourcePort: stream.ownPort, destinationPort: stream.peerPort, sequence: sequence,
                acknowledgement: stream.next, flags: flags, payload: []
            ).packet(from: address, to: stream.peer)
        }
    }
}
