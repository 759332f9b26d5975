internal import IPsec
internal import Primitives

/// Writes DER from the inside out (X.690 §10).
enum Encoding {
    static let objectIdentifier: UInt8 = 0x06

    static func element(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var length: [UInt8] = []
        if content.count < 0x80 {
            length = [UInt8(content.count)]
        } else {
            var octets: [UInt8] = []
            octets.append(bigEndian: UInt64(content.count))
            octets.removeFirst(octets.firstIndex { $0 != 0 } ?? 7)
            length = [0x80 | UInt8(octets.count)] + octets
        }
        return [tag] + length + content
    }

    static func sequence(_ parts: [UInt8]...) -> [UInt8] { element(0x30, parts.flatMap { $0 }) }
    static func sequence(of parts: [[UInt8]]) -> [UInt8] { element(0x30, parts.flatMap { $0 }) }

    /// `[number] EXPLICIT`, or an IMPLICIT constructed value.
    static func tagged(_ number: UInt8, _ content: [UInt8]) -> [UInt8] { element(0xA0 | number, content) }
    /// `[number] IMPLICIT` of a primitive value.
    static func primitive(_ number: UInt8, _ content: [UInt8]) -> [UInt8] { element(0x80 | number, content) }

    /// An INTEGER that is not negative.
    static func integer(_ magnitude: [UInt8]) -> [UInt8] {
        var octets = Array(magnitude.drop { $0 == 0 })
        if octets.first ?? 0x80 >= 0x80 { octets.insert(0, at: 0) }
        return element(0x02, octets)
    }

    static func integer(_ value: Int) -> [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: UInt64(max(0, value)))
        return integer(octets)
    }

    static func bits(_ octets: [UInt8]) -> [UInt8] { element(0x03, [0] + octets) }
    static func octets(_ octets: [UInt8]) -> [UInt8] { element(0x04, octets) }
    static let null: [UInt8] = [0x05, 0x00]
    static let yes: [UInt8] = [0x01, 0x01, 0xFF]

    /// - Parameter dotted: an identifier from our own tables or one that was read; another becomes 0.0.
    static func identifier(_ dotted: String) -> [UInt8] {
        element(objectIdentifier, ObjectIdentifierText(dotted: dotted)?.content ?? [0])
    }

    /// UTCTime through 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5).
    static func time(_ time: WallTime) -> [UInt8] {
        let (year, month, day, hours, minutes, seconds) = time.components
        func digits(_ value: Int, _ count: Int = 2) -> String {
            String(repeating: "0", count: max(0, count - String(value).count)) + String(value)
        }
        let rest = [month, day, hours, minutes, seconds].map { digits($0) }.joined() + "Z"
        return (1950..<2050).contains(year)
            ? element(0x17, Array((digits(year % 100) + rest).utf8))
            : element(0x18, Array((digits(year, 4) + rest).utf8))
    }

    /// GeneralizedTime whatever the year, as OCSP has it.
    static func generalizedTime(_ time: WallTime) -> [UInt8] {
        element(0x18, Array(time.description.filter { $0.isNumber || $0 == "Z" }.utf8))
    }
}
