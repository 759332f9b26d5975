package import Primitives

/// A packet of the vici protocol: what one length-framed segment holds.
package enum ViciPacket: Hashable, Sendable {
    case request(command: String, ViciMessage)
    case response(ViciMessage)
    /// The answer to a request for a command that nobody knows.
    case unknownCommand
    case register(event: String)
    case unregister(event: String)
    /// The answer to `register` and `unregister`.
    case eventConfirmed
    /// The answer to `register` and `unregister` of an event that nobody knows, or that was not registered.
    case unknownEvent
    case event(String, ViciMessage)

    private var type: UInt8 {
        switch self {
        case .request: 0
        case .response: 1
        case .unknownCommand: 2
        case .register: 3
        case .unregister: 4
        case .eventConfirmed: 5
        case .unknownEvent: 6
        case .event: 7
        }
    }

    /// Reads the contents of a segment.
    package init(parsing octets: ArraySlice<UInt8>) throws(ParseError) {
        var reader = ByteReader(octets)
        let offset = reader.offset
        switch try reader.readUInt8() {
        case 0:
            let name = try ViciMessage.readName(&reader)
            self = .request(command: name, try ViciMessage(parsing: reader.readRest()))
        case 1: self = .response(try ViciMessage(parsing: reader.readRest()))
        case 2: self = .unknownCommand
        case 3: self = .register(event: try ViciMessage.readName(&reader))
        case 4: self = .unregister(event: try ViciMessage.readName(&reader))
        case 5: self = .eventConfirmed
        case 6: self = .unknownEvent
        case 7:
            let name = try ViciMessage.readName(&reader)
            self = .event(name, try ViciMessage(parsing: reader.readRest()))
        default: throw .invalid(offset: offset, rule: "a packet's type is 0 to 7")
        }
        // Only requests, responses and events carry a message.
        if !reader.isAtEnd { throw .invalid(offset: reader.offset, rule: "nothing follows the packet") }
    }

    /// The contents of a segment.
    package var octets: [UInt8] {
        var octets = [type]
        switch self {
        case .request(let name, let message), .event(let name, let message):
            ViciMessage.write(name: name, to: &octets)
            octets += message.octets
        case .register(let name), .unregister(let name): ViciMessage.write(name: name, to: &octets)
        case .response(let message): octets += message.octets
        case .unknownCommand, .eventConfirmed, .unknownEvent: break
        }
        return octets
    }

    /// The packet with its length in front, as it goes on the wire; `nil` where it is larger than a segment may be.
    package var segment: [UInt8]? {
        let octets = octets
        guard octets.count <= ViciSegments.maximumOctets else { return nil }
        var segment: [UInt8] = []
        segment.reserveCapacity(octets.count + 4)
        segment.append(bigEndian: UInt32(octets.count))
        return segment + octets
    }
}

/// Why a vici connection must be closed: its peer broke the framing or the format.
package enum ViciError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A segment announces more octets than ``ViciSegments/maximumOctets``.
    case oversized(UInt32)
    case malformed(ParseError)
    /// A packet that the other side never sends.
    case unexpected(String)

    package var description: String {
        switch self {
        case .oversized(let count): "a segment of \(count) octets is larger than \(ViciSegments.maximumOctets)"
        case .malformed(let error): "malformed vici packet: \(error)"
        case .unexpected(let what): "unexpected vici packet: \(what)"
        }
    }
}

/// Cuts a stream of octets into segments. Each has its length in front, 32 bits big-endian, which does not count
/// itself.
package struct ViciSegments: Sendable {
    /// strongSwan's limit. A larger segment is refused before a single octet of it is kept.
    package static let maximumOctets = 512 * 1024

    private var buffer: [UInt8] = []
    /// Where the next segment starts in `buffer`.
    private var start = 0

    package init() {}

    /// Octets that arrived and are not yet a whole segment.
    package var pendingOctets: Int { buffer.count - start }

    package mutating func append(_ octets: some Sequence<UInt8>) { buffer.append(contentsOf: octets) }

    /// The next packet, or `nil` where more octets must come first. After an error the stream cannot be read further.
    package mutating func next() throws(ViciError) -> ViciPacket? {
        guard pendingOctets >= 4 else { return nil }
        let count = buffer[start..<(start + 4)].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard count <= ViciSegments.maximumOctets else { throw .oversized(count) }
        let end = start + 4 + Int(count)
        guard end <= buffer.count else { return nil }
        defer {
            start = end
            // Moved seldom, so that many small segments cost little.
            if start == buffer.count || start > ViciSegments.maximumOctets {
                buffer.removeFirst(start)
                start = 0
            }
        }
        do {
            return try ViciPacket(parsing: buffer[(start + 4)..<end])
        } catch {
            throw .malformed(error)
        }
    }
}
