import ISAKMP
package import Oakley
import Primitives

/// A group's descriptor for Oakley's New Group exchange (RFC 2412 §2.8.1, Appendix A): the attributes of RFC 2409
/// Appendix A one after another, since RFC 2412 leaves its own constants open and their form is the same.
package enum GroupDescriptor {
    /// More attributes than any group has.
    private static let maximumAttributes = 16

    package static func write(_ group: GroupDescription) -> [UInt8] {
        group.attributes.reduce(into: []) { octets, attribute in
            let number = attribute.number.suffix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
            let written =
                GroupAttribute.isBasic(attribute.type)
                ? DataAttribute(attribute.type, number) : DataAttribute(attribute.type, octets: attribute.number)
            written.write(to: &octets)
        }
    }

    /// `nil` where the octets describe no group.
    package static func read(_ octets: [UInt8]) -> GroupDescription? {
        var reader = ByteReader(octets)
        var attributes: [GroupAttribute] = []
        while !reader.isAtEnd {
            guard attributes.count < maximumAttributes, let attribute = try? DataAttribute(from: &reader) else {
                return nil
            }
            attributes.append(GroupAttribute(type: attribute.type, number: attribute.value))
        }
        return (try? GroupDescription.read(attributes)).flatMap { $0 }
    }

    /// The 32 bits that name the group: the upper 16 of each nonce (RFC 2412 §2.8.1: trunc16).
    ///
    /// - Parameter keyName: Na | Nb, each a variable precision integer.
    package static func name(_ keyName: [UInt8]) -> UInt32? {
        var reader = ByteReader(keyName)
        var name: UInt32 = 0
        for _ in 0..<2 {
            guard let words = try? reader.readUInt32(), let padded = try? reader.read(Int(clamping: words) * 4) else {
                return nil
            }
            let digits = padded.drop { $0 == 0 }
            guard digits.count >= 2 else { return nil }
            name = name << 16 | digits.prefix(2).reduce(0) { $0 << 8 | UInt32($1) }
        }
        return reader.isAtEnd ? name : nil
    }
}
