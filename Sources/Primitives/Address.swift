/// An IPv4 or IPv6 address.
package struct IPAddress: Hashable, Comparable, Sendable {
    package enum Family: UInt8, Hashable, Sendable {
        case v4 = 4
        case v6 = 6

        /// 4 or 16.
        package var octetCount: Int { self == .v4 ? 4 : 16 }
        /// 32 or 128.
        package var bitCount: Int { octetCount * 8 }
    }

    // Two words and not one number of 128 bits: that would be aligned to 16, and every value that holds addresses, and
    // each array of such values, would pay for it.
    @usableFromInline let high: UInt64
    @usableFromInline let low: UInt64
    package let family: Family

    /// The address as a number; IPv4 addresses occupy the low 32 bits.
    package var value: UInt128 { UInt128(high) << 64 | UInt128(low) }

    package init(v4 value: UInt32) {
        family = .v4
        high = 0
        low = UInt64(value)
    }

    package init(v6 value: UInt128) {
        family = .v6
        high = UInt64(truncatingIfNeeded: value >> 64)
        low = UInt64(truncatingIfNeeded: value)
    }

    /// A number taken as an address of `family`; excess bits are dropped.
    package init(family: Family, value: UInt128) {
        switch family {
        case .v4: self.init(v4: UInt32(truncatingIfNeeded: value))
        case .v6: self.init(v6: value)
        }
    }

    /// An address from 4 or 16 octets in network order; `nil` for any other count.
    @inlinable
    package init?(octets: some Collection<UInt8>) {
        switch octets.count {
        case 4: family = .v4
        case 16: family = .v6
        default: return nil
        }
        var (high, low): (UInt64, UInt64) = (0, 0)
        for octet in octets {
            high = high << 8 | low >> 56
            low = low << 8 | UInt64(octet)
        }
        (self.high, self.low) = (high, low)
    }

    /// An address in dotted-decimal or RFC 4291 text form, without zone or prefix; `nil` where it is neither.
    package init?(_ text: some StringProtocol) {
        if text.contains(":") {
            guard let value = IPAddress.parseV6(String(text)) else { return nil }
            self.init(v6: value)
        } else {
            guard let value = IPAddress.parseV4(String(text)) else { return nil }
            self.init(v4: value)
        }
    }

    /// 4 or 16 octets in network order.
    package var octets: [UInt8] {
        var octets: [UInt8] = []
        octets.reserveCapacity(family.octetCount)
        switch family {
        case .v4: octets.append(bigEndian: UInt32(truncatingIfNeeded: low))
        case .v6:
            octets.append(bigEndian: high)
            octets.append(bigEndian: low)
        }
        return octets
    }

    package static func any(_ family: Family) -> IPAddress { IPAddress(family: family, value: 0) }
    package static func last(_ family: Family) -> IPAddress { IPAddress(family: family, value: .max) }
    package var isUnspecified: Bool { high == 0 && low == 0 }

    /// IPv4 sorts before IPv6, then by number.
    package static func < (left: IPAddress, right: IPAddress) -> Bool {
        (left.family.rawValue, left.high, left.low) < (right.family.rawValue, right.high, right.low)
    }

    /// The address that follows, or `nil` at the end of the family's range.
    package var successor: IPAddress? {
        self == .last(family) ? nil : IPAddress(family: family, value: value + 1)
    }

    private static func parseV4(_ text: String) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.count), part.utf8.allSatisfy({ (48...57).contains($0) }),
                let octet = UInt8(part)
            else { return nil }
            value = value << 8 | UInt32(octet)
        }
        return value
    }

    private static func parseV6(_ text: String) -> UInt128? {
        guard text.utf8.count <= 45 else { return nil }
        var text = text
        // An embedded IPv4 tail becomes two groups.
        if text.contains(".") {
            guard let colon = text.lastIndex(of: ":"),
                let tail = parseV4(String(text[text.index(after: colon)...]))
            else { return nil }
            text = text[...colon] + String(tail >> 16, radix: 16) + ":" + String(tail & 0xFFFF, radix: 16)
        }
        func groups(_ part: Substring) -> [UInt16]? {
            if part.isEmpty { return [] }
            var groups: [UInt16] = []
            for piece in part.split(separator: ":", omittingEmptySubsequences: false) {
                guard (1...4).contains(piece.count), piece.allSatisfy(\.isHexDigit),
                    let group = UInt16(piece, radix: 16)
                else { return nil }
                groups.append(group)
            }
            return groups
        }
        var all: [UInt16]
        if let gap = firstDoubleColon(in: text) {
            guard let head = groups(text[..<gap]),
                let tail = groups(text[text.index(gap, offsetBy: 2)...]),
                head.count + tail.count < 8
            else { return nil }
            all = head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        } else {
            guard let head = groups(text[...]), head.count == 8 else { return nil }
            all = head
        }
        return all.reduce(0) { $0 << 16 | UInt128($1) }
    }

    private static func firstDoubleColon(in text: String) -> String.Index? {
        var index = text.startIndex
        while index < text.endIndex {
            let next = text.index(after: index)
            if next < text.endIndex, text[index] == ":", text[next] == ":" { return index }
            index = next
        }
        return nil
    }
}

extension IPAddress: CustomStringConvertible {
    /// Dotted decimal, or RFC 5952's canonical text.
    package var description: String {
        if family == .v4 { return octets.map(String.init).joined(separator: ".") }
        let groups = (0..<8).reversed().map { UInt16(truncatingIfNeeded: value >> UInt128($0 * 16)) }
        // The longest run of two or more zero groups is written "::"; the first of equals wins.
        var best = 0..<0
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, groups[end] == 0 { end += 1 }
            if end - index >= 2, end - index > best.count { best = index..<end }
            index = max(end, index + 1)
        }
        func text(_ range: Range<Int>) -> String {
            groups[range].map { String($0, radix: 16) }.joined(separator: ":")
        }
        return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }
}

/// A block of addresses that share their first `length` bits.
package struct Prefix: Hashable, Sendable, CustomStringConvertible {
    /// The lowest address of the block (host bits zero).
    package let address: IPAddress
    /// 0 to 32, or 0 to 128.
    package let length: Int

    /// `nil` where `length` does not fit the family. Host bits are cleared.
    package init?(_ address: IPAddress, length: Int) {
        guard (0...address.family.bitCount).contains(length) else { return nil }
        let hostBits = address.family.bitCount - length
        let mask: UInt128 = hostBits == 128 ? 0 : ~((UInt128(1) << UInt128(hostBits)) - 1)
        self.address = IPAddress(family: address.family, value: address.value & mask)
        self.length = length
    }

    /// `ADDRESS/LENGTH`, or an address alone for a block of one.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPAddress(parts[0]) else { return nil }
        if parts.count == 1 {
            self.init(address, length: address.family.bitCount)
        } else {
            guard let length = Int(parts[1]) else { return nil }
            self.init(address, length: length)
        }
    }

    /// The highest address of the block.
    package var last: IPAddress {
        let hostBits = address.family.bitCount - length
        let host: UInt128 = hostBits == 128 ? .max : (UInt128(1) << UInt128(hostBits)) - 1
        return IPAddress(family: address.family, value: address.value | host)
    }

    package func contains(_ other: IPAddress) -> Bool {
        other.family == address.family && address <= other && other <= last
    }

    package var description: String { "\(address)/\(length)" }
}

/// An address and a port, of UDP unless said.
package struct Endpoint: Hashable, Sendable, CustomStringConvertible {
    package var address: IPAddress
    package var port: UInt16
    /// Of a peer's end: the port is TCP's (RFC 9329). Of our own beside such an end: we open the connections.
    package var isStream: Bool

    package init(_ address: IPAddress, port: UInt16, isStream: Bool = false) {
        self.address = address
        self.port = port
        self.isStream = isStream
    }

    /// `192.0.2.1[500]`, the notation that IKE daemons print; TCP's ports have `tcp` before them.
    package var description: String { "\(address)[\(isStream ? "tcp " : "")\(port)]" }
}
