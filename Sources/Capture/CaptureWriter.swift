package import Primitives

/// Writes UDP datagrams as pcapng: a section, one interface of raw IP, and a packet block for each. The IP and UDP headers are
/// made up around the payload.
package enum CaptureWriter {
    /// LINKTYPE_RAW: packets begin with their IP header.
    private static let rawIP: UInt16 = 101

    /// What a file begins with. Little endian throughout, as the section says.
    package static var beginning: [UInt8] {
        var section: [UInt8] = []
        append(0x1A2B_3C4D as UInt32, to: &section)
        append(1 as UInt16, to: &section)
        append(0 as UInt16, to: &section)
        append(UInt64.max, to: &section)
        var interface: [UInt8] = []
        append(rawIP, to: &interface)
        append(0 as UInt16, to: &interface)
        append(0 as UInt32, to: &interface)
        // if_tsresol: times are nanoseconds.
        append(9 as UInt16, to: &interface)
        append(1 as UInt16, to: &interface)
        interface += [9, 0, 0, 0]
        append(0 as UInt32, to: &interface)
        return block(0x0A0D_0D0A, section) + block(1, interface)
    }

    /// One datagram.
    ///
    /// - Parameters:
    ///   - time: nanoseconds since 1970.
    ///   - comment: shown beside the packet; empty for none.
    package static func packet(
        from source: Endpoint, to destination: Endpoint, _ payload: [UInt8], time: UInt64, comment: String = ""
    ) -> [UInt8] {
        packet(internetPacket(source, destination, payload), time: time, comment: comment)
    }

    /// One packet, from its IP header on. `time`: nanoseconds since 1970.
    package static func packet(_ octets: [UInt8], time: UInt64, comment: String = "") -> [UInt8] {
        var body: [UInt8] = []
        append(0 as UInt32, to: &body)
        append(UInt32(truncatingIfNeeded: time >> 32), to: &body)
        append(UInt32(truncatingIfNeeded: time), to: &body)
        append(UInt32(octets.count), to: &body)
        append(UInt32(octets.count), to: &body)
        body += padded(octets)
        if !comment.isEmpty {
            let text = Array(comment.utf8.prefix(1000))
            append(1 as UInt16, to: &body)
            append(UInt16(text.count), to: &body)
            body += padded(text)
            append(0 as UInt32, to: &body)
        }
        return block(6, body)
    }

    // MARK: Blocks

    private static func append(_ value: some FixedWidthInteger & UnsignedInteger, to octets: inout [UInt8]) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            octets.append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    private static func padded(_ octets: [UInt8]) -> [UInt8] {
        octets + [UInt8](repeating: 0, count: (4 - octets.count % 4) % 4)
    }

    private static func block(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
        let length = UInt32(body.count + 12)
        var octets: [UInt8] = []
        append(type, to: &octets)
        append(length, to: &octets)
        octets += body
        append(length, to: &octets)
        return octets
    }

    // MARK: Packets

    /// A message may be larger than IP allows; more than this is cut off.
    private static let payloadMaximum = 65_000

    private static func internetPacket(_ source: Endpoint, _ destination: Endpoint, _ payload: [UInt8]) -> [UInt8] {
        let payload = payload.prefix(payloadMaximum)
        let (from, to) = (source.address.octets, destination.address.octets)
        var datagram: [UInt8] = []
        datagram.append(bigEndian: source.port)
        datagram.append(bigEndian: destination.port)
        datagram.append(bigEndian: UInt16(payload.count + 8))
        datagram.append(bigEndian: 0 as UInt16)
        datagram += payload
        var pseudo = from + to
        pseudo.append(bigEndian: UInt32(datagram.count))
        pseudo.append(bigEndian: 17 as UInt32)
        let sum = InternetSum.of((pseudo + datagram)[...])
        datagram.overwrite(bigEndian: sum == 0 ? 0xFFFF : sum, at: 6)
        if source.address.family == .v6 {
            var header: [UInt8] = [0x60, 0, 0, 0]
            header.append(bigEndian: UInt16(datagram.count))
            header += [17, 64]
            return header + from + to + datagram
        }
        var header: [UInt8] = [0x45, 0]
        header.append(bigEndian: UInt16(datagram.count + 20))
        header += [0, 0, 0x40, 0, 64, 17, 0, 0]
        header += from + to
        header.overwrite(bigEndian: InternetSum.of(header[...]), at: 10)
        return header + datagram
    }
}
