import Cryptography
import Primitives

/// An attribute-value pair inside EAP-TTLS (RFC 5281 §10.1): Diameter's form.
///
///     AVP Code (4) | V M r r r r r r (1) | AVP Length (3) | Vendor-ID (4, where V is set) | Data, padded to four octets
struct TunnelAttribute: Sendable {
    struct Code: Hashable, Sendable {
        var vendor: UInt32 = 0
        var number: UInt32

        /// RADIUS's numbers (RFC 2865 §5, RFC 3579 §3.1).
        static let userName = Code(number: 1)
        static let userPassword = Code(number: 2)
        static let chapPassword = Code(number: 3)
        static let chapChallenge = Code(number: 60)
        static let eapMessage = Code(number: 79)
        /// Microsoft's (RFC 2548 §2).
        static let msCHAPChallenge = Code(vendor: 311, number: 11)
        static let msCHAP2Response = Code(vendor: 311, number: 25)
        static let msCHAP2Success = Code(vendor: 311, number: 26)
    }

    /// Pairs in one message.
    static let maximumCount = 32
    private static let vendorFlag: UInt8 = 0x80
    private static let mandatoryFlag: UInt8 = 0x40

    var code: Code
    var data: [UInt8]
    /// Whoever does not know it must fail (RFC 5281 §10.1).
    var isMandatory = true

    init(_ code: Code, _ data: [UInt8]) {
        self.code = code
        self.data = data
    }

    /// All that a message holds.
    static func parse(_ octets: [UInt8]) throws(ParseError) -> [TunnelAttribute] {
        var reader = ByteReader(octets)
        var attributes: [TunnelAttribute] = []
        while !reader.isAtEnd {
            guard attributes.count < maximumCount else {
                throw .invalid(
                    offset: reader.offset, rule: "an EAP-TTLS message has \(maximumCount) AVPs at most")
            }
            let start = reader.offset
            var code = Code(number: try reader.readUInt32())
            let second = try reader.readUInt32()
            let flags = UInt8(truncatingIfNeeded: second >> 24)
            let length = Int(second & 0xFF_FFFF)
            if flags & vendorFlag != 0 { code.vendor = try reader.readUInt32() }
            let head = flags & vendorFlag != 0 ? 12 : 8
            guard length >= head else {
                throw .invalid(offset: start, rule: "an AVP is as long as its head (RFC 5281 §10.1)")
            }
            var attribute = TunnelAttribute(code, Array(try reader.read(length - head)))
            attribute.isMandatory = flags & mandatoryFlag != 0
            attributes.append(attribute)
            // Some leave the last one's padding away.
            _ = try reader.read(min((4 - length % 4) % 4, reader.remaining))
        }
        return attributes
    }

    var octets: [UInt8] {
        let isVendors = code.vendor != 0
        let length = (isVendors ? 12 : 8) + data.count
        func number(_ value: UInt32) -> [UInt8] {
            [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
        }
        let flags = (isVendors ? Self.vendorFlag : 0) | (isMandatory ? Self.mandatoryFlag : 0)
        return number(code.number) + number(UInt32(flags) << 24 | UInt32(truncatingIfNeeded: length))
            + (isVendors ? number(code.vendor) : []) + data
            + [UInt8](repeating: 0, count: (4 - length % 4) % 4)
    }

    /// The octets of the pairs of one code, one after another; `nil` where there is none.
    static func joined(_ code: Code, in attributes: [TunnelAttribute]) -> [UInt8]? {
        let found = attributes.filter { $0.code == code }
        return found.isEmpty ? nil : found.flatMap(\.data)
    }
}
