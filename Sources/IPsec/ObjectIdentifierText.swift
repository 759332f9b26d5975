/// An object identifier as dotted numbers (RFC 4512 §1.4) and in DER (X.690 §8.19). Each number has 32 bits at most.
package struct ObjectIdentifierText: Hashable, Sendable {
    private var numbers: [UInt64]

    private static let maximumNumbers = 64

    /// Reads dotted numbers: two at least, the first up to 2, the second up to 39 below 0 and 1, none of them with zeros in front.
    package init?(dotted: String) {
        let parts = dotted.split(separator: ".", omittingEmptySubsequences: false)
        guard (2...ObjectIdentifierText.maximumNumbers).contains(parts.count) else { return nil }
        numbers = parts.compactMap { part in UInt32(part).flatMap { "\($0)" == part ? UInt64($0) : nil } }
        guard numbers.count == parts.count, numbers[0] <= 2, numbers[0] == 2 || numbers[1] < 40 else { return nil }
    }

    /// Reads the content octets: seven bits each, the highest says that more follow, and none in front is empty.
    package init?(content: some Sequence<UInt8>) {
        numbers = []
        var number: UInt64 = 0
        var isWithin = false
        for octet in content {
            if !isWithin, octet == 0x80 { return nil }
            number = number << 7 | UInt64(octet & 0x7F)
            // The first two numbers are one, up to 80 above the second.
            guard number <= UInt64(UInt32.max) + (numbers.isEmpty ? 80 : 0) else { return nil }
            isWithin = octet & 0x80 != 0
            if isWithin { continue }
            if numbers.isEmpty {
                let first = min(number / 40, 2)
                numbers = [first, number - first * 40]
            } else {
                numbers.append(number)
            }
            guard numbers.count <= ObjectIdentifierText.maximumNumbers else { return nil }
            number = 0
        }
        if isWithin || numbers.isEmpty { return nil }
    }

    package var dotted: String { numbers.map(String.init).joined(separator: ".") }

    /// The content octets.
    package var content: [UInt8] {
        ([numbers[0] * 40 + numbers[1]] + numbers.dropFirst(2)).flatMap { number in
            var octets = [UInt8(number & 0x7F)]
            var rest = number >> 7
            while rest > 0 {
                octets.append(0x80 | UInt8(rest & 0x7F))
                rest >>= 7
            }
            return octets.reversed()
        }
    }

    /// Whether the text is one.
    package static func isValid(_ text: String) -> Bool { ObjectIdentifierText(dotted: text) != nil }
}
