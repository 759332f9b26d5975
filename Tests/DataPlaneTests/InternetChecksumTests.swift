import DataPlane
import Testing

/// The sum of RFC 1071 against one that adds word by word.
@Suite struct InternetChecksumTests {
    /// 16 bits at a time, in network order.
    private func plain(_ octets: some Collection<UInt8>) -> UInt16 {
        var sum = 0
        for (index, octet) in octets.enumerated() { sum += Int(octet) << (index.isMultiple(of: 2) ? 8 : 0) }
        while sum >> 16 != 0 { sum = sum & 0xFFFF + sum >> 16 }
        return UInt16(sum)
    }

    private static let memory: [UInt8] = (0..<70_000).map { UInt8(truncatingIfNeeded: $0 &* 151 ^ $0 >> 5) }

    @Test func everyLengthAndPlace() {
        for (count, place) in (0..<300).map({ ($0, $0 % 17) }) + [(1_406, 3), (65_535, 1)] {
            let octets = Self.memory[place..<place + count]
            octets.withUnsafeBytes { octets in
                // SAFETY: `count` octets; an empty slice is not read.
                let start = octets.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
                #expect(InternetChecksum.fold(InternetChecksum.sum(start, count: count)).bigEndian == plain(octets))
                let more = InternetChecksum.fold(InternetChecksum.sum(start, count: count, initial: 0xFFFF))
                // Adding 0xFFFF changes no sum but that of nothing.
                #expect(more.bigEndian == (count == 0 ? 0xFFFF : plain(octets)))
            }
        }
    }

    /// Sums that could run over in 32 bits.
    @Test func largestWords() {
        for count in [64, 128, 1_500, 65_534] {
            let octets = [UInt8](repeating: 0xFF, count: count)
            octets.withUnsafeBytes {
                #expect(InternetChecksum.fold(InternetChecksum.sum($0.baseAddress!, count: count)) == 0xFFFF)
            }
        }
    }

    @Test func copiesWhatItAdds() {
        for (count, place) in (0..<200).map({ ($0, $0 % 13) }) + [(1_406, 5)] {
            var target = [UInt8](repeating: 0xA5, count: count + 64)
            let source = Array(Self.memory[place..<place + count + 1])
            let sum = source.withUnsafeBytes { source in
                target.withUnsafeMutableBytes { target in
                    InternetChecksum.copy(source.baseAddress!, to: target.baseAddress! + 32, count: count, initial: 7)
                }
            }
            #expect(Array(target[32..<32 + count]) == source.dropLast())
            #expect(target[..<32].allSatisfy { $0 == 0xA5 } && target[(32 + count)...].allSatisfy { $0 == 0xA5 })
            let expected = source.withUnsafeBytes { InternetChecksum.sum($0.baseAddress!, count: count, initial: 7) }
            #expect(InternetChecksum.fold(sum) == InternetChecksum.fold(expected))
        }
    }
}
