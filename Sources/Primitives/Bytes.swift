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
    // The position moves and the slice stays: a slice cut anew for each field would be retained and released each time.
    @usableFromInline let slice: ArraySlice<UInt8>
    /// The index of the next octet in the underlying message.
    @usableFromInline package private(set) var offset: Int

    @inlinable
    package init(_ octets: ArraySlice<UInt8>) {
        slice = octets
        offset = octets.startIndex
    }
    @inlinable
    package init(_ octets: [UInt8]) { self.init(octets[...]) }

    /// How many octets are left.
    @inlinable package var remaining: Int { slice.endIndex - offset }
    @inlinable package var isAtEnd: Bool { offset == slice.endIndex }

    /// Moves on by `count` octets and gives the index where they begin.
    @inlinable
    mutating func advance(_ count: Int) throws(ParseError) -> Int {
        guard count >= 0, count <= remaining else {
            throw .truncated(offset: offset, needed: count, available: remaining)
        }
        defer { offset += count }
        return offset
    }

    @inlinable
    package mutating func readUInt8() throws(ParseError) -> UInt8 { slice[try advance(1)] }

    @inlinable
    package mutating func readUInt16() throws(ParseError) -> UInt16 {
        let start = try advance(2)
        return UInt16(slice[start]) << 8 | UInt16(slice[start + 1])
    }

    @inlinable
    package mutating func readUInt32() throws(ParseError) -> UInt32 {
        let start = try advance(4)
        return UInt32(slice[start]) << 24 | UInt32(slice[start + 1]) << 16 | UInt32(slice[start + 2]) << 8
            | UInt32(slice[start + 3])
    }

    @inlinable
    package mutating func readUInt64() throws(ParseError) -> UInt64 {
        guard remaining >= 8 else { throw .truncated(offset: offset, needed: 8, available: remaining) }
        return UInt64(try readUInt32()) << 32 | UInt64(try readUInt32())
    }

    /// The next `count` octets, as a slice of the underlying message (no copy).
    @inlinable
    package mutating func read(_ count: Int) throws(ParseError) -> ArraySlice<UInt8> {
        let start = try advance(count)
        return slice[start..<(start + count)]
    }

    /// All octets that are left.
    @inlinable
    package mutating func readRest() -> ArraySlice<UInt8> {
        defer { offset = slice.endIndex }
        return slice[offset...]
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
