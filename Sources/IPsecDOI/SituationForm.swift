import IPsec
import Primitives

/// The situation at the start of an SA payload of the IPsec DOI (RFC 2407 §4.2, §4.6.1): a bitmap, and where that wants labels,
/// the labelled domain, then secrecy's level and categories, then integrity's, each padded with zeros to 32 bits.
enum SituationForm {
    private static let identityOnly: UInt32 = 1
    private static let secrecy: UInt32 = 2
    private static let integrity: UInt32 = 4

    /// - Throws: for bits that mean nothing, reserved octets and padding that are not zero, and labels that are too long.
    static func read(_ reader: inout ByteReader) throws(ParseError) -> SecuritySituation {
        let offset = reader.offset
        let bits = try reader.readUInt32()
        guard bits & ~(identityOnly | secrecy | integrity) == 0, bits != 0 else {
            throw .invalid(offset: offset, rule: "a situation has known bits only (RFC 2407 §4.2)")
        }
        guard bits & (secrecy | integrity) != 0 else { return .identityOnly }
        let domain = try reader.readUInt32()
        let first = bits & secrecy == 0 ? nil : try label(&reader)
        let second = bits & integrity == 0 ? nil : try label(&reader)
        return SecuritySituation(labelledDomain: domain, secrecy: first, integrity: second)
    }

    private static func label(_ reader: inout ByteReader) throws(ParseError) -> SecurityLabel {
        let level = try field(&reader, octets: { $0 }, limit: SecurityLabel.maximumLevelOctets)
        let map = try field(
            &reader, octets: { ($0 + 7) / 8 }, limit: Int(SecurityLabel.maximumCategoryBits) / 8)
        var categories: Set<UInt16> = []
        for index in 0..<map.octets.count * 8 where map.octets[index / 8] & 0x80 >> UInt8(index % 8) != 0 {
            guard index < map.count else {
                throw .invalid(offset: map.offset, rule: "the bitmap is padded with zeros (RFC 2407 §4.6.1)")
            }
            categories.insert(UInt16(index))
        }
        return SecurityLabel(level: level.octets, categories: categories, categoryBits: UInt16(map.count))
    }

    /// A length, two reserved octets, and as many octets, padded.
    private static func field(
        _ reader: inout ByteReader, octets: (Int) -> Int, limit: Int
    ) throws(ParseError) -> (octets: [UInt8], count: Int, offset: Int) {
        let offset = reader.offset
        let count = Int(try reader.readUInt16())
        guard try reader.readUInt16() == 0 else {
            throw .invalid(offset: offset + 2, rule: "two octets are reserved (RFC 2407 §4.6.1)")
        }
        let length = octets(count)
        guard length <= limit else { throw .invalid(offset: offset, rule: "a label has at most \(limit) octets") }
        let value = Array(try reader.read(length))
        guard try reader.read(padding(length)).allSatisfy({ $0 == 0 }) else {
            throw .invalid(offset: offset, rule: "a label is padded with zeros (RFC 2407 §4.6.1)")
        }
        return (value, count, offset)
    }

    private static func padding(_ length: Int) -> Int { (4 - length % 4) % 4 }

    static func write(_ situation: SecuritySituation) -> [UInt8] {
        var octets: [UInt8] = []
        // "All IPSEC DOI implementations MUST support SIT_IDENTITY_ONLY" (RFC 2407 §4.2.1): the ends are identified always.
        octets.append(
            bigEndian: identityOnly | (situation.secrecy == nil ? 0 : secrecy)
                | (situation.integrity == nil ? 0 : integrity))
        guard situation.isLabelled else { return octets }
        octets.append(bigEndian: situation.labelledDomain)
        for label in [situation.secrecy, situation.integrity].compactMap({ $0 }) { write(label, to: &octets) }
        return octets
    }

    private static func write(_ label: SecurityLabel, to octets: inout [UInt8]) {
        append(UInt16(truncatingIfNeeded: label.level.count), label.level, to: &octets)
        var map = [UInt8](repeating: 0, count: (Int(label.categoryBits) + 7) / 8)
        for category in label.categories { map[Int(category) / 8] |= 0x80 >> UInt8(category % 8) }
        append(label.categoryBits, map, to: &octets)
    }

    private static func append(_ count: UInt16, _ value: [UInt8], to octets: inout [UInt8]) {
        octets.append(bigEndian: count)
        octets += [0, 0] + value + [UInt8](repeating: 0, count: padding(value.count))
    }
}
