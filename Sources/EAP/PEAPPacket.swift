import Primitives

/// EAP inside PEAP version 0 (draft-kamath-pppext-peapv0 §1.1): packets go without code, identifier and length, which the packet
/// around them has; those of type 33, which tell the result, have all.
enum PEAPPacket {
    enum Result: UInt8, Sendable {
        case success = 1
        case failure = 2
    }

    /// EAP-TLV, which Microsoft calls EAP Extensions.
    private static let extensionsType: UInt8 = 33
    /// The Result TLV (§2.1.2): mandatory bit and type, length, value.
    private static let resultType: UInt16 = 3
    private static let mandatory: UInt16 = 0x8000
    private static let headOctets = 4

    /// A packet as it goes inside.
    static func inside(_ packet: [UInt8]) -> [UInt8] { Array(packet.dropFirst(headOctets)) }

    /// What came from inside as a whole packet.
    ///
    /// - Parameter identifier: the one that the packet would have.
    static func outside(
        _ octets: [UInt8], _ code: EAPPacket.Code, identifier: UInt8
    ) throws(ParseError) -> [UInt8] {
        if isWhole(octets, code) {
            var packet = octets
            packet[1] = identifier
            return packet
        }
        guard let type = octets.first else {
            throw .invalid(offset: 0, rule: "a packet inside PEAP has a type")
        }
        return EAPPacket(
            code, identifier: identifier, type: EAPPacket.MethodType(rawValue: type),
            data: Array(octets.dropFirst())
        ).octets
    }

    private static func isWhole(_ octets: [UInt8], _ code: EAPPacket.Code) -> Bool {
        octets.count > headOctets && octets[0] == code.rawValue
            && Int(octets[2]) << 8 | Int(octets[3]) == octets.count
    }

    /// Whether it is a packet of type 33.
    static func isExtension(_ octets: [UInt8], _ code: EAPPacket.Code) -> Bool {
        isWhole(octets, code) && octets[headOctets] == extensionsType
    }

    /// The packet that tells a result.
    ///
    /// - Parameter binding: the crypto-binding TLV behind it, or nothing.
    static func result(
        _ result: Result, _ code: EAPPacket.Code, identifier: UInt8, binding: [UInt8] = []
    ) -> [UInt8] {
        var data: [UInt8] = []
        data.append(bigEndian: mandatory | resultType)
        data.append(bigEndian: UInt16(2))
        data.append(bigEndian: UInt16(result.rawValue))
        return EAPPacket(
            code, identifier: identifier, type: EAPPacket.MethodType(rawValue: extensionsType), data: data + binding
        ).octets
    }

    /// The result that a packet tells; `nil` where it tells none. TLVs that are no result are optional.
    static func result(_ octets: [UInt8], _ code: EAPPacket.Code) -> Result? {
        guard let value = value(of: resultType, octets, code) else { return nil }
        return value.count == 2 && value.first == 0 ? value.last.flatMap { Result(rawValue: $0) } : nil
    }

    /// The value of a packet's crypto-binding TLV; `nil` where it has none.
    static func binding(_ octets: [UInt8], _ code: EAPPacket.Code) -> [UInt8]? {
        value(of: PEAPBinding.type, octets, code)
    }

    private static func value(of type: UInt16, _ octets: [UInt8], _ code: EAPPacket.Code) -> [UInt8]? {
        guard isExtension(octets, code) else { return nil }
        var reader = ByteReader(Array(octets.dropFirst(headOctets + 1)))
        while let head = try? reader.readUInt16(), let length = try? reader.readUInt16(),
            let value = try? reader.read(Int(length))
        {
            if head & 0x3FFF == type { return Array(value) }
        }
        return nil
    }
}
