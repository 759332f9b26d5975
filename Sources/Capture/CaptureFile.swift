package import Primitives

/// One captured frame.
package struct Frame: Hashable, Sendable {
    /// Counted from 1, as other tools do.
    package var number: Int
    /// Nanoseconds since 1970.
    package var time: UInt64
    /// The link layer's registered number (LINKTYPE_…).
    package var linkType: UInt32
    package var octets: [UInt8]
    /// Octets on the wire that were not captured.
    package var missing: Int
}

/// A capture in pcap's or pcapng's format, read whole.
package struct CaptureFile: Sendable {
    package private(set) var frames: [Frame] = []
    /// What ends the file early, where something does: everything before it was read.
    package private(set) var problem: ParseError?

    /// More than this is not read: the rest of a damaged file is no capture.
    package static let maximumFrameOctets = 1 << 18

    /// - Throws: where the octets do not begin like a capture.
    package init(_ octets: [UInt8]) throws(ParseError) {
        var reader = ByteReader(octets)
        let magic = try reader.readUInt32()
        switch magic {
        case 0xA1B2_C3D4, 0xA1B2_3C4D: readPcap(octets, isLittle: false, isNano: magic == 0xA1B2_3C4D)
        case 0xD4C3_B2A1, 0x4D3C_B2A1: readPcap(octets, isLittle: true, isNano: magic == 0x4D3C_B2A1)
        case 0x0A0D_0D0A: readPcapNG(octets)
        default: throw .invalid(offset: 0, rule: "a capture begins with the magic number of pcap or pcapng")
        }
    }

    // MARK: pcap

    private mutating func readPcap(_ octets: [UInt8], isLittle: Bool, isNano: Bool) {
        var reader = EndianReader(octets[...], isLittle: isLittle)
        do throws(ParseError) {
            _ = try reader.read(20)
            let linkType = try reader.readUInt32() & 0x0FFF_FFFF
            while !reader.isAtEnd {
                let seconds = try reader.readUInt32()
                let fraction = try reader.readUInt32()
                let captured = try reader.readLength()
                let original = try reader.readUInt32()
                let frame = try reader.read(captured)
                frames.append(
                    Frame(
                        number: frames.count + 1,
                        time: UInt64(seconds) * 1_000_000_000 + UInt64(fraction) * (isNano ? 1 : 1000),
                        linkType: linkType, octets: Array(frame), missing: max(0, Int(original) - captured)))
            }
        } catch {
            problem = error
        }
    }

    // MARK: pcapng

    private struct Interface {
        var linkType: UInt32
        /// Units of a timestamp in a second.
        var unitsPerSecond: UInt64 = 1_000_000
    }

    private mutating func readPcapNG(_ octets: [UInt8]) {
        var reader = EndianReader(octets[...], isLittle: true)
        var interfaces: [Interface] = []
        do throws(ParseError) {
            while !reader.isAtEnd {
                let offset = reader.offset
                let type = try reader.readUInt32()
                if type == 0x0A0D_0D0A {
                    // The byte order may change with every section.
                    try reader.adoptByteOrder()
                    interfaces = []
                }
                let length = try reader.readLength()
                guard length >= 12, length.isMultiple(of: 4) else {
                    throw .invalid(offset: offset + 4, rule: "a block has whole words and room for its own length")
                }
                var body = EndianReader(try reader.read(length - 12), isLittle: reader.isLittle)
                let behind = reader.offset
                guard try reader.readUInt32() == UInt32(length) else {
                    throw .invalid(offset: behind, rule: "a block ends with the length that it begins with")
                }
                switch type {
                case 1: interfaces.append(try CaptureFile.interface(&body))
                case 3: try addSimple(&body, interfaces)
                case 6: try addEnhanced(&body, interfaces)
                default: break
                }
            }
        } catch {
            problem = error
        }
    }

    private static func interface(_ body: inout EndianReader) throws(ParseError) -> Interface {
        var interface = Interface(linkType: UInt32(try body.readUInt16()))
        _ = try body.read(6)
        while body.remaining >= 4 {
            let code = try body.readUInt16()
            let length = Int(try body.readUInt16())
            if code == 0 { break }
            let value = try body.read(length)
            _ = try body.read(min(body.remaining, (4 - length % 4) % 4))
            // if_tsresol: a power of ten, or of two where the high bit is set.
            if code == 9, let resolution = value.first {
                let exponent = Int(resolution & 0x7F)
                let base: UInt64 = resolution & 0x80 == 0 ? 10 : 2
                guard exponent <= (base == 10 ? 18 : 62) else { continue }
                interface.unitsPerSecond = (0..<exponent).reduce(1) { product, _ in product * base }
            }
        }
        return interface
    }

    private mutating func addEnhanced(_ body: inout EndianReader, _ interfaces: [Interface]) throws(ParseError) {
        let offset = body.offset
        let index = Int(try body.readUInt32())
        guard interfaces.indices.contains(index) else {
            throw .invalid(offset: offset, rule: "a packet's interface was described before it")
        }
        let high = try body.readUInt32()
        let units = UInt64(high) << 32 | UInt64(try body.readUInt32())
        let captured = try body.readLength()
        let original = try body.readUInt32()
        let frame = try body.read(captured)
        let (seconds, rest) = units.quotientAndRemainder(dividingBy: interfaces[index].unitsPerSecond)
        let fraction = rest.multipliedFullWidth(by: 1_000_000_000)
        let nanoseconds = interfaces[index].unitsPerSecond.dividingFullWidth(fraction).quotient
        frames.append(
            Frame(
                number: frames.count + 1, time: seconds &* 1_000_000_000 &+ nanoseconds,
                linkType: interfaces[index].linkType, octets: Array(frame),
                missing: max(0, Int(original) - captured)))
    }

    private mutating func addSimple(_ body: inout EndianReader, _ interfaces: [Interface]) throws(ParseError) {
        guard let interface = interfaces.first else {
            throw .invalid(offset: body.offset, rule: "a packet's interface was described before it")
        }
        let original = Int(try body.readUInt32())
        let frame = try body.read(min(original, body.remaining))
        frames.append(
            Frame(
                number: frames.count + 1, time: 0, linkType: interface.linkType, octets: Array(frame),
                missing: original - frame.count))
    }
}

/// A reader of either byte order.
private struct EndianReader {
    private var reader: ByteReader
    private(set) var isLittle: Bool

    init(_ octets: ArraySlice<UInt8>, isLittle: Bool) {
        reader = ByteReader(octets)
        self.isLittle = isLittle
    }

    var isAtEnd: Bool { reader.isAtEnd }
    var offset: Int { reader.offset }
    var remaining: Int { reader.remaining }

    mutating func readUInt16() throws(ParseError) -> UInt16 {
        let value = try reader.readUInt16()
        return isLittle ? value.byteSwapped : value
    }

    mutating func readUInt32() throws(ParseError) -> UInt32 {
        let value = try reader.readUInt32()
        return isLittle ? value.byteSwapped : value
    }

    /// A length that this program is ready to hold.
    mutating func readLength() throws(ParseError) -> Int {
        let offset = reader.offset
        let length = try readUInt32()
        guard length <= CaptureFile.maximumFrameOctets else {
            throw .invalid(offset: offset, rule: "a length of \(length) octets is more than a frame has")
        }
        return Int(length)
    }

    mutating func read(_ count: Int) throws(ParseError) -> ArraySlice<UInt8> { try reader.read(count) }

    /// Looks at a section's byte-order magic, which stands behind the block's length.
    mutating func adoptByteOrder() throws(ParseError) {
        var ahead = reader
        _ = try ahead.readUInt32()
        let offset = ahead.offset
        switch try ahead.readUInt32() {
        case 0x1A2B_3C4D: isLittle = false
        case 0x4D3C_2B1A: isLittle = true
        default: throw .invalid(offset: offset, rule: "a section says its byte order")
        }
    }
}
