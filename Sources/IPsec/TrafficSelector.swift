package import Primitives

/// A range of addresses, a range of ports and an upper-layer protocol (RFC 4301 §4.4.1.1, RFC 7296 §3.13.1).
package struct TrafficSelector: Hashable, Sendable {
    /// The IP protocol number; 0 stands for any.
    package var ipProtocol: UInt8
    package var first: IPAddress
    /// Inclusive; of the same family as `first` and not below it.
    package var last: IPAddress
    package var firstPort: UInt16
    /// Inclusive. `firstPort` 65535 with `lastPort` 0 is OPAQUE: packets whose ports cannot be seen (RFC 7296 §3.13.1).
    package var lastPort: UInt16

    /// `nil` where the two addresses are of different families or in the wrong order.
    package init?(
        first: IPAddress, last: IPAddress, ipProtocol: UInt8 = 0, firstPort: UInt16 = 0, lastPort: UInt16 = .max
    ) {
        guard first.family == last.family, first <= last else { return nil }
        self.ipProtocol = ipProtocol
        self.first = first
        self.last = last
        self.firstPort = firstPort
        self.lastPort = lastPort
    }

    package init(_ prefix: Prefix, ipProtocol: UInt8 = 0, firstPort: UInt16 = 0, lastPort: UInt16 = .max) {
        self.ipProtocol = ipProtocol
        first = prefix.address
        last = prefix.last
        self.firstPort = firstPort
        self.lastPort = lastPort
    }

    /// A single address, any protocol and port.
    package init(_ address: IPAddress) {
        ipProtocol = 0
        first = address
        last = address
        firstPort = 0
        lastPort = .max
    }

    /// Every address of a family.
    package static func everything(_ family: IPAddress.Family) -> TrafficSelector {
        TrafficSelector(wholeOf: family)
    }

    private init(wholeOf family: IPAddress.Family) {
        ipProtocol = 0
        first = .any(family)
        last = .last(family)
        firstPort = 0
        lastPort = .max
    }

    package var family: IPAddress.Family { first.family }
    package var isOpaque: Bool { firstPort == .max && lastPort == 0 }
    package var coversAllPorts: Bool { firstPort == 0 && lastPort == .max }

    /// What both selectors cover, or `nil` where that is nothing.
    package func intersection(_ other: TrafficSelector) -> TrafficSelector? {
        guard family == other.family else { return nil }
        let low = max(first, other.first)
        let high = min(last, other.last)
        guard low <= high else { return nil }
        guard ipProtocol == other.ipProtocol || ipProtocol == 0 || other.ipProtocol == 0 else { return nil }
        var ports: (UInt16, UInt16)
        if isOpaque || other.isOpaque {
            // OPAQUE meets OPAQUE and "any port" only (RFC 4301 §4.4.1.1).
            guard isOpaque ? other.isOpaque || other.coversAllPorts : coversAllPorts else { return nil }
            ports = (.max, 0)
        } else {
            ports = (max(firstPort, other.firstPort), min(lastPort, other.lastPort))
            guard ports.0 <= ports.1 else { return nil }
        }
        return TrafficSelector(
            first: low, last: high, ipProtocol: ipProtocol == 0 ? other.ipProtocol : ipProtocol, firstPort: ports.0,
            lastPort: ports.1)
    }

    /// Whether all that `other` covers is covered here too.
    package func contains(_ other: TrafficSelector) -> Bool { intersection(other) == other }

    /// Whether a packet's end with this address, protocol and port is covered. `port` is `nil` where the packet shows
    /// none (a later fragment, ICMP has its type and code there).
    package func matches(_ address: IPAddress, ipProtocol number: UInt8, port: UInt16?) -> Bool {
        guard address.family == family, first <= address, address <= last else { return false }
        guard ipProtocol == 0 || ipProtocol == number else { return false }
        if coversAllPorts { return true }
        guard let port else { return isOpaque }
        return firstPort <= port && port <= lastPort
    }

    /// The narrowing of RFC 7296 §2.9: every intersection of an offered with an allowed selector, without those that
    /// another one contains. Empty where nothing is common.
    package static func narrow(_ offered: [TrafficSelector], to allowed: [TrafficSelector]) -> [TrafficSelector] {
        var common: [TrafficSelector] = []
        for offer in offered.prefix(maximumCount) {
            for allowance in allowed {
                guard let shared = offer.intersection(allowance) else { continue }
                if common.contains(where: { $0.contains(shared) }) { continue }
                common.removeAll { shared.contains($0) }
                common.append(shared)
                if common.count >= maximumCount { return common }
            }
        }
        return common
    }

    /// IKEv2 counts selectors in one octet (RFC 7296 §3.13).
    package static let maximumCount = 255
}

extension TrafficSelector: CustomStringConvertible {
    /// The block's prefix where the range is one; otherwise `nil`.
    package var prefix: Prefix? {
        let span = first.value ^ last.value
        let hostBits = UInt128.bitWidth - span.leadingZeroBitCount
        guard span == (hostBits == 128 ? .max : (UInt128(1) << UInt128(hostBits)) - 1),
            let prefix = Prefix(first, length: family.bitCount - hostBits), prefix.address == first
        else { return nil }
        return prefix
    }

    /// `10.1.0.0/16`, `10.0.0.1..10.0.0.9`, with `[tcp/80]` behind where protocol or port are not "any": swanctl's
    /// notation.
    package var description: String {
        let range = prefix.map(\.description) ?? "\(first)..\(last)"
        if ipProtocol == 0 && coversAllPorts { return range }
        let number: String
        switch ipProtocol {
        case 0: number = "0"
        case 1: number = "icmp"
        case 6: number = "tcp"
        case 17: number = "udp"
        case 58: number = "ipv6-icmp"
        case 132: number = "sctp"
        default: number = String(ipProtocol)
        }
        if coversAllPorts { return "\(range)[\(number)]" }
        if isOpaque { return "\(range)[\(number)/OPAQUE]" }
        return firstPort == lastPort
            ? "\(range)[\(number)/\(firstPort)]" : "\(range)[\(number)/\(firstPort)-\(lastPort)]"
    }
}
