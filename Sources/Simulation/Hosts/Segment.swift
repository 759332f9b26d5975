import Primitives

/// A TCP segment without options (RFC 9293 §3.1).
struct Segment: Hashable, Sendable {
    struct Flags: OptionSet, Hashable, Sendable {
        let rawValue: UInt8
        static let fin = Flags(rawValue: 1)
        static let syn = Flags(rawValue: 2)
        static let ack = Flags(rawValue: 16)
    }

    var sourcePort: UInt16
    var destinationPort: UInt16
    var sequence: UInt32
    var acknowledgement: UInt32
    var flags: Flags
    var payload: ArraySlice<UInt8>

    init(
        sourcePort: UInt16, destinationPort: UInt16, sequence: UInt32, acknowledgement: UInt32, flags: Flags,
        payload: ArraySlice<UInt8>
    ) {
        self.sourcePort = sourcePort
        self.destinationPort = destinationPort
        self.sequence = sequence
        self.acknowledgement = acknowledgement
        self.flags = flags
        self.payload = payload
    }

    /// `nil` where the packet holds no segment with a good checksum.
    init?(_ packet: InternetPacket) {
        guard packet.body.count >= 20, Checksum.of((packet.pseudoHeader + packet.body)[...]) == 0 else { return nil }
        var reader = ByteReader(packet.body)
        guard let sourcePort = try? reader.readUInt16(), let destinationPort = try? reader.readUInt16(),
            let sequence = try? reader.readUInt32(), let acknowledgement = try? reader.readUInt32(),
            let offset = try? reader.readUInt8(), let flags = try? reader.readUInt8()
        else { return nil }
        let headerOctets = Int(offset >> 4) * 4
        guard headerOctets >= 20, headerOctets <= packet.body.count else { return nil }
        self.init(
            sourcePort: sourcePort, destinationPort: destinationPort, sequence: sequence,
            acknowledgement: acknowledgement, flags: Flags(rawValue: flags), payload: packet.body[headerOctets...])
    }

    func packet(from source: IPAddress, to destination: IPAddress) -> InternetPacket {
        var body: [UInt8] = []
        body.append(bigEndian: sourcePort)
        body.append(bigEndian: destinationPort)
        body.append(bigEndian: sequence)
        body.append(bigEndian: acknowledgement)
        body += [0x50, flags.rawValue]
        body.append(bigEndian: UInt16.max)
        body += [0, 0, 0, 0]
        body += payload
        var packet = InternetPacket(source: source, destination: destination, ipProtocol: 6, body: body)
        packet.body.overwrite(bigEndian: Checksum.of((packet.pseudoHeader + body)[...]), at: 16)
        return packet
    }
}
