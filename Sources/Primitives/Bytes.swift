/// Why a run of octets from outside could not be read. Every case names the octet where the rule broke, counted from
/// the start of the message that is being parsed.
package enum ParseError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The message ends before a field of `needed` octets at `offset`; only `available` octets are left.
    case truncated(offset: Int, needed: Int, available: Int)
    /// A field at `offset` holds a value that the named rule forbids.
    case invalid(offset: Int, rule: String)

    /// Where the rule broke, in octets from the start of the message.
    package var offset: Int {
        switch self {
        case .truncated(let offset, _, _), .invalid(let offset, _): offset
        }
    }

    package var description: String {
        switch self {
        case .truncated(let offset, let needed, let available):
            "octet \(offset): \(needed) octets needed, \(available) left"
        case .invalid(let offset, let rule): "octet \(offset): \(rule)"
        }
    }
}

/// A bounds-checked, big-endian reader over a slice of a message. Offsets in its errors are the slice's own indices, so
/// a reader over `message[28...]` still reports positions in `message`.
package struct ByteReader: Sendable {
    private var rest: ArraySlice<UInt8>

    package init(_ octets: ArraySlice<UInt8>) { rest = octets }
    package init(_ octets: [UInt8]) { rest = octets[...] }

    /// The index of the next octet in the underlying message.
    package var offset: Int { rest.startIndex }
    /// How many octets are left.
    package var remaining: Int { rest.count }
    package var isAtEnd: Bool { rest.isEmpty }

    private mutating func take(_ count: Int) throws(ParseError) -> ArraySlice<UInt8> {
        guard count >= 0, count <= rest.count else {
            throw .truncated(offset: rest.startIndex, needed: count, available: rest.count)
        }
        defer { rest = rest[(rest.startIndex + count)...] }
        return rest[rest.startIndex..<(rest.startIndex + count)]
    }

    package mutating func readUInt8() throws(ParseError) -> UInt8 {
        let octets = try take(1)
        return octets[octets.startIndex]
    }

    package mutating func readUInt16() throws(ParseError) -> UInt16 {
        let octets = try take(2)
        let start = octets.startIndex
        return UInt16(octets[start]) << 8 | UInt16(octets[start + 1])
    }

    package mutating func readUInt32() throws(ParseError) -> UInt32 {
        UInt32(try readUInt16()) << 16 | UInt32(try readUInt16())
    }

    package mutating func readUInt64() throws(ParseError) -> UInt64 {
        UInt64(try readUInt32()) << 32 | UInt64(try readUInt32())
    }

    /// The next `count` octets, as a slice of the underlying message (no copy).
    package mutating func read(_ count: Int) throws(ParseError) -> ArraySlice<UInt8> { try take(count) }

    /// All octets that are left.
    package mutating func readRest() -> ArraySlice<UInt8> {
        defer { rest = rest[rest.endIndex...] }
        return rest
    }
}

extension Array where Element == UInt8 {
    /// Appends a big-endian integer.
    @inlinable
    package mutating func append<Integer: FixedWidthInteger & UnsignedInteger>(bigEndian value: Integer) {
        var shift = Integer.bitWidth
        while shift > 0 {
            shift -= 8
            append(UInt8(truncatingIfNeeded: value >> Integer(shift)))
        }
    }

    /// Overwrites the two octets at `index` with a big-endian integer. The octets must exist.
    package mutating func overwrite(bigEndian value: UInt16, at index: Int) {
        self[index] = UInt8(truncatingIfNeeded: value >> 8)
        self[index + 1] = UInt8(truncatingIfNeeded: value)
    }

    /// Overwrites the four octets at `index` with a big-endian integer. The octets must exist.
    package mutating func overwrite(bigEndian value: UInt32, at index: Int) {
        overwrite(bigEndian: UInt16(truncatingIfNeeded: value >> 16), at: index)
        overwrite(bigEndian: UInt16(truncatingIfNeeded: value), at: index + 2)
    }

    /// The octets of a string of hexadecimal digits; `nil` where a digit is missing or wrong.
    package init?(hex: some StringProtocol) {
        let digits = Array(hex.utf8)
        guard digits.count.isMultiple(of: 2) else { return nil }
        self = []
        reserveCapacity(digits.count / 2)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = Character(UnicodeScalar(digits[index])).hexDigitValue,
                let low = Character(UnicodeScalar(digits[index + 1])).hexDigitValue
            else { return nil }
            append(UInt8(high << 4 | low))
        }
    }
}

extension Sequence where Element == UInt8 {
    /// Lower-case hexadecimal digits, two an octet.
    package var hex: String {
        let digits: [Character] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"]
        var text = ""
        for octet in self {
            text.append(digits[Int(octet >> 4)])
            text.append(digits[Int(octet & 15)])
        }
        return text
    }
}
