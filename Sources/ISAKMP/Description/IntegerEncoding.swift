import Primitives

/// How an exchange writes public values and nonces.
package enum IntegerEncoding: Hashable, Sendable {
    /// As octets of the value's own length, as IKE does.
    case octets
    /// As a variable precision integer of RFC 2412 Appendix C: 32 bits that count words, then that many words of 32
    /// bits, with zeros in front.
    case words

    package func encode(_ octets: [UInt8]) -> [UInt8] {
        guard self == .words else { return octets }
        let digits = octets.drop { $0 == 0 }
        let words = (digits.count + 3) / 4
        var encoded: [UInt8] = []
        encoded.append(bigEndian: UInt32(truncatingIfNeeded: words))
        encoded += [UInt8](repeating: 0, count: words * 4 - digits.count)
        return encoded + digits
    }

    /// The octets of a value, in `count` octets where that is said, with zeros in front.
    ///
    /// - Throws: where the value is not encoded in the one shortest way, or is longer.
    package func decode(_ encoded: [UInt8], count: Int? = nil) throws(FunctionFailure) -> [UInt8] {
        guard self == .words else { return encoded }
        var reader = ByteReader(encoded)
        guard let words = try? reader.readUInt32(), reader.remaining.isMultiple(of: 4),
            reader.remaining / 4 == Int(words)
        else { throw FunctionFailure() }
        let padded = Array(reader.readRest())
        guard padded.isEmpty || padded.prefix(4).contains(where: { $0 != 0 }) else { throw FunctionFailure() }
        let digits = Array(padded.drop { $0 == 0 })
        guard let count else { return digits }
        guard digits.count <= count else { throw FunctionFailure() }
        return [UInt8](repeating: 0, count: count - digits.count) + digits
    }
}
