package import Primitives

/// A host that pings an ``EchoHost`` and sends it one TCP stream. It keeps a window of segments under way and goes back
/// to the first unacknowledged one when told that time has passed.
package struct TransferClient: Sendable {
    package let address: IPAddress
    package let peer: IPAddress
    private let data: [UInt8]
    private var state = State.idle
    /// The sequence number after the last octet that the peer has.
    private var acknowledged: UInt32 = 1
    private var sent: UInt32 = 1
    package private(set) var pingsAnswered = 0

    private enum State: Sendable { case idle, opening, sending, closing, closed }

    /// Octets of data a segment: fits a 1,400-octet path with the headers of IP and TCP.
    private static let segmentOctets = 1_300
    private static let windowSegments = 32

    package init(address: IPAddress, peer: IPAddress, data: [UInt8]) {
        self.address = address
        self.peer = peer
        self.data = data
    }

    package var isFinished: Bool { state == .closed }
    /// The running sum over the data, as ``EchoHost/sum`` makes it.
    package var sum: UInt64 { data.reduce(0) { $0 &* 31 &+ UInt64($1) } }

    /// An echo request with 56 octets of data.
    package func ping(number: UInt16) -> InternetPacket {
        var body: [UInt8] = [8, 0, 0, 0, 0x50, 0x61]
        body.append(bigEndian: number)
        body += (0..<56).map { UInt8($0) }
        body.overwrite(bigEndian: Checksum.of(body[...]), at: 2)
        return InternetPacket(source: address, destination: peer, ipProtocol: 1, body: body)
    }

    /// Opens the stream.
    package mutating func start() -> [InternetPacket] {
        state = .opening
        return [segment([.syn], sequence: 0, payload: [])]
    }

    /// Says again what may have been lost.
    package mutating func repeatUnacknowledged() -> [InternetPacket] {
        switch state {
        case .idle, .closed: return []
        case .opening: return start()
        case .sending, .closing:
            sent = acknowledged
            return advance()
        }
    }

    package mutating func receive(_ packet: InternetPacket) -> [InternetPacket] {
        guard packet.destination == address, packet.source == peer else { return [] }
        if packet.ipProtocol == 1, packet.body.first == 0 {
            pingsAnswered += 1
            return []
        }
        guard let segment = Segment(packet), segment.flags.contains(.ack) else { return [] }
        if state == .opening, segment.flags.contains(.syn) { state = .sending }
        if segment.acknowledgement > acknowledged { acknowledged = segment.acknowledgement }
        if segment.flags.contains(.fin) {
            state = .closed
            return []
        }
        return advance()
    }

    /// Sends what the window lets through.
    private mutating func advance() -> [InternetPacket] {
        var packets: [InternetPacket] = []
        let end = UInt32(data.count) + 1
        let limit = min(end, acknowledged + UInt32(TransferClient.windowSegments * TransferClient.segmentOctets))
        sent = max(sent, acknowledged)
        while state == .sending || state == .closing, sent < limit {
            let start = Int(sent - 1)
            let count = min(TransferClient.segmentOctets, data.count - start)
            packets.append(segment([.ack], sequence: sent, payload: data[start..<start + count]))
            sent += UInt32(count)
        }
        if sent == end, acknowledged == end, state == .sending || state == .closing {
            state = .closing
            packets.append(segment([.fin, .ack], sequence: end, payload: []))
        }
        return packets
    }

    private func segment(_ flags: Segment.Flags, sequence: UInt32, payload: ArraySlice<UInt8>) -> InternetPacket {
        Segment(
            sourcePort: 40_000, destinationPort: 7, sequence: sequence, acknowledgement: 1, flags: flags,
            payload: payload
        ).packet(from: address, to: peer)
    }
}
