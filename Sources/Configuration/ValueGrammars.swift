import IPsec
import Primitives

/// The grammars of values, as swanctl's configuration reference has them. Each returns `nil`, or throws the reason, for
/// text that is no such value.
enum ValueGrammar {
    /// `yes`, `true`, `enabled`, `1` and their opposites.
    static func boolean(_ text: String) -> Bool? {
        switch text.lowercased() {
        case "yes", "true", "enabled", "1": true
        case "no", "false", "disabled", "0": false
        default: nil
        }
    }

    /// Decimal, `0x` hexadecimal or `0` octal, as `strtoul` reads it with base 0.
    static func unsigned(_ text: some StringProtocol) -> UInt64? {
        guard let first = text.utf8.first, first != UInt8(ascii: "+") else { return nil }
        if text.lowercased().hasPrefix("0x") {
            let digits = text.dropFirst(2)
            return digits.allSatisfy(\.isHexDigit) ? UInt64(digits, radix: 16) : nil
        }
        return text.hasPrefix("0") && text.count > 1 ? UInt64(text.dropFirst(), radix: 8) : UInt64(text)
    }

    /// Seconds, or a number with `s`, `m`, `h` or `d` behind it. At most 136 years, as charon's 32 bits of seconds.
    static func time(_ text: String) -> Duration? {
        var digits = text[...]
        var factor: UInt64 = 1
        let factors: [Character: UInt64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400]
        if let last = text.last, let unit = factors[last] {
            factor = unit
            digits.removeLast()
            while digits.last == " " { digits.removeLast() }
        }
        guard let number = unsigned(digits) else { return nil }
        let (seconds, overflow) = number.multipliedReportingOverflow(by: factor)
        return overflow || seconds > UInt64(UInt32.max) ? nil : .seconds(Int64(seconds))
    }

    /// Octets, or a number with `k`, `m` or `g` behind it, of which each is 1024 of the one before.
    static func octets(_ text: String) -> UInt64? {
        var digits = text[...]
        var shift: UInt64 = 0
        let shifts: [Character: UInt64] = ["k": 10, "m": 20, "g": 30]
        if let last = text.last, let unit = shifts[Character(last.lowercased())] {
            shift = unit
            digits.removeLast()
            while digits.last == " " { digits.removeLast() }
        }
        guard let number = unsigned(digits), number <= UInt64(Int64.max) >> shift else { return nil }
        return number << shift
    }

    /// Parts between commas, without the white space around them.
    static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { trimmed($0) }.filter { !$0.isEmpty }
    }

    static func trimmed(_ text: some StringProtocol) -> String {
        var part = text[...]
        while let first = part.first, first.isWhitespace { part = part.dropFirst() }
        while let last = part.last, last.isWhitespace { part = part.dropLast() }
        return String(part)
    }

    /// An address, a block, a range `A-B`, `%any`, `%any4`, `%any6` or a DNS name.
    static func addressPattern(_ text: String) -> AddressPattern? {
        switch text {
        case "%any": return .any(nil)
        case "%any4", "0.0.0.0", "0.0.0.0/0": return .any(.v4)
        case "%any6", "::", "::/0": return .any(.v6)
        default: break
        }
        if let range = addressRange(text) { return .range(range.first, range.last) }
        // Digits, dots, colons and slashes alone were meant as an address and are no good one.
        guard !text.allSatisfy({ $0.isNumber || "./:-".contains($0) }), !text.contains(":"), isHostName(text) else {
            return nil
        }
        return .name(text, [])
    }

    private static func isHostName(_ text: String) -> Bool {
        guard text.utf8.count <= 253 else { return false }
        return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { octet in
                    (48...57).contains(octet) || (65...90).contains(octet) || (97...122).contains(octet)
                        || octet == UInt8(ascii: "-") || octet == UInt8(ascii: "_")
                }
        }
    }

    /// An address, a block or a range as first and last address.
    static func addressRange(_ text: String) -> (first: IPAddress, last: IPAddress)? {
        if let prefix = Prefix(text) { return (prefix.address, prefix.last) }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { trimmed($0) }
        guard ends.count == 2, let first = IPAddress(ends[0]), let last = IPAddress(ends[1]),
            first.family == last.family, first <= last
        else { return nil }
        return (first, last)
    }

    /// `dynamic`, a block, an address or a range, each with an optional `[protocol/port]`.
    static func selector(_ text: String) -> DynamicSelector? {
        var address = text
        var ipProtocol: UInt8 = 0
        var ports: (first: UInt16, last: UInt16) = (0, .max)
        if let bracket = text.firstIndex(of: "[") {
            guard text.last == "]" else { return nil }
            address = trimmed(text[..<bracket])
            let inside = text[text.index(after: bracket)...].dropLast()
            let parts = inside.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            guard let number = protocolNumber(trimmed(parts[0])) else { return nil }
            ipProtocol = number
            if parts.count == 2 {
                guard let range = portRange(trimmed(parts[1])) else { return nil }
                ports = range
            }
        }
        if address == "dynamic" || address == "%dynamic" {
            return .dynamicPorts(ipProtocol: ipProtocol, firstPort: ports.first, lastPort: ports.last)
        }
        guard let range = addressRange(address) else { return nil }
        return TrafficSelector(
            first: range.first, last: range.last, ipProtocol: ipProtocol, firstPort: ports.first, lastPort: ports.last
        ).map { .fixed($0) }
    }

    private static func protocolNumber(_ text: String) -> UInt8? {
        let names: [String: UInt8] = [
            "": 0, "%any": 0, "any": 0, "icmp": 1, "igmp": 2, "ipv4": 4, "ipencap": 4, "tcp": 6, "udp": 17, "ipv6": 41,
            "gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "icmp6": 58, "ospf": 89, "vrrp": 112,
            "l2tp": 115, "sctp": 132, "udplite": 136,
        ]
        return names[text.lowercased()] ?? UInt8(text)
    }

    /// Names of ports that selectors commonly use; a service database belongs to the machine, not to this reader.
    private static let services: [String: UInt16] = [
        "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "http": 80, "kerberos": 88, "ntp": 123,
        "snmp": 161, "bgp": 179, "ldap": 389, "https": 443, "syslog": 514, "l2f": 1701, "l2tp": 1701, "nfs": 2049,
    ]

    private static func portRange(_ text: String) -> (first: UInt16, last: UInt16)? {
        switch text.lowercased() {
        case "", "%any", "any": return (0, .max)
        case "opaque": return (.max, 0)
        default: break
        }
        if let port = services[text.lowercased()] ?? UInt16(text) { return (port, port) }
        let ends = text.split(separator: "-", omittingEmptySubsequences: false).map { trimmed($0) }
        guard ends.count == 2, let first = UInt16(ends[0]), let last = UInt16(ends[1]), first <= last else {
            return nil
        }
        return (first, last)
    }

    /// The octets of a secret: `0x` hexadecimal, `0s` base64, or the text itself.
    static func secretOctets(_ text: String) -> [UInt8]? {
        if text.lowercased().hasPrefix("0x") { return [UInt8](hex: text.dropFirst(2)) }
        if text.lowercased().hasPrefix("0s") { return base64(text.dropFirst(2)) }
        return Array(text.utf8)
    }

    /// RFC 4648 §4, padding optional.
    static func base64(_ text: some StringProtocol) -> [UInt8]? {
        var octets: [UInt8] = []
        var buffer: UInt32 = 0
        var bits = 0
        var digits = Array(text.utf8)
        var padding = 0
        while digits.last == UInt8(ascii: "=") {
            digits.removeLast()
            padding += 1
        }
        guard padding <= 2, digits.count % 4 != 1, padding == 0 || (digits.count + padding) % 4 == 0 else { return nil }
        for digit in digits {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = digit - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = digit - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit + 4
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: return nil
            }
            buffer = buffer << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                octets.append(UInt8(truncatingIfNeeded: buffer >> UInt32(bits)))
                buffer &= (1 << UInt32(bits)) - 1
            }
        }
        return octets
    }

    /// Why an identity's text cannot be used; identities themselves are ``Identity/init(_:)``'s.
    enum IdentityFailure: Error, Hashable {
        case malformed
        case unsupported(String)
    }

    /// Reads an identity as charon does.
    static func identity(_ text: String) throws(IdentityFailure) -> Identity {
        let kinds = ["asn1gn", "ipv4net", "ipv6net", "ipv4range", "ipv6range", "xmppaddr", "uri"]
        if let colon = text.firstIndex(of: ":"), kinds.contains(text[..<colon].lowercased()) {
            throw .unsupported("identities of the kind '\(text[..<colon])'")
        }
        guard let identity = Identity(text), !identity.octets.isEmpty else { throw .malformed }
        return identity
    }

    /// An identity, `%any`, or one with a `*` in front of a FQDN or e-mail address, or for values of a distinguished name.
    static func identityPattern(_ text: String) throws(IdentityFailure) -> IdentityPattern {
        if text == "%any" || text == "*" { return .any }
        if text.hasPrefix("^") { throw .unsupported("regular expressions in identities") }
        let identity = try identity(text)
        if let name = identity.distinguishedName, name.hasWildcards { return .distinguishedName(name) }
        guard identity.kind == .fqdn || identity.kind == .emailAddress, identity.octets.first == UInt8(ascii: "*")
        else { return .exactly(identity) }
        let rest = String(identity.description.dropFirst())
        if rest.contains("*") { throw .unsupported("more than one '*' in an identity") }
        return .suffix(identity.kind, rest)
    }
}
