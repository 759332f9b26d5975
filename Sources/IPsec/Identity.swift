package import Primitives

/// Who an end claims to be: a type number, which IKEv1 (RFC 2407 §4.6.2.1) and IKEv2 (RFC 7296 §3.5) share, and its
/// octets.
package struct Identity: Hashable, Sendable {
    package struct Kind: Hashable, Sendable, RawRepresentable {
        package var rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let ipv4Address = Kind(rawValue: 1)
        package static let fqdn = Kind(rawValue: 2)
        /// RFC 822 e-mail address; IKEv1 calls it USER_FQDN.
        package static let emailAddress = Kind(rawValue: 3)
        package static let ipv4Subnet = Kind(rawValue: 4)
        package static let ipv6Address = Kind(rawValue: 5)
        package static let ipv6Subnet = Kind(rawValue: 6)
        package static let ipv4Range = Kind(rawValue: 7)
        package static let ipv6Range = Kind(rawValue: 8)
        package static let distinguishedName = Kind(rawValue: 9)
        package static let generalName = Kind(rawValue: 10)
        package static let keyID = Kind(rawValue: 11)
        /// ID_NULL (RFC 7619 §2.2).
        package static let null = Kind(rawValue: 13)
    }

    package var kind: Kind
    package var octets: [UInt8]

    package init(_ kind: Kind, octets: [UInt8]) {
        self.kind = kind
        self.octets = octets
    }

    /// Of an end that stays anonymous.
    package static let null = Identity(.null, octets: [])

    package init(_ address: IPAddress) {
        kind = address.family == .v4 ? .ipv4Address : .ipv6Address
        octets = address.octets
    }

    package init(_ name: DistinguishedName) {
        kind = .distinguishedName
        octets = name.octets
    }

    /// The notation of `swanctl.conf`: a typed prefix (`fqdn:`, `email:`, `ipv4:`, `keyid:`, `asn1dn:`, `{N}:` with `#`
    /// for hex), else a distinguished name where it holds `=`, an address, an e-mail address where it holds `@` (a leading
    /// `@` means FQDN, `@@` e-mail, `@#` a hex key ID), else a FQDN; `%null` is nobody. `nil` where a typed value cannot be read.
    package init?(_ text: String) {
        if text == "%null" {
            self = .null
            return
        }
        if let colon = text.firstIndex(of: ":") {
            let prefix = text[..<colon].lowercased()
            var value = String(text[text.index(after: colon)...])
            var raw: [UInt8]?
            if value.hasPrefix("#") {
                value.removeFirst()
                guard let octets = [UInt8](hex: value) else { return nil }
                raw = octets
            }
            switch prefix {
            case "fqdn", "dns":
                self.init(.fqdn, octets: raw ?? Array(value.utf8))
                return
            case "email", "rfc822", "userfqdn":
                self.init(.emailAddress, octets: raw ?? Array(value.utf8))
                return
            case "asn1dn":
                guard let name = raw.map({ try? DistinguishedName(parsing: $0[...]) }) ?? DistinguishedName(value)
                else { return nil }
                self.init(name)
                return
            case "keyid":
                self.init(.keyID, octets: raw ?? Array(value.utf8))
                return
            case "ipv4", "ipv6":
                guard let octets = raw ?? IPAddress(value)?.octets,
                    octets.count == (prefix == "ipv4" ? 4 : 16)
                else { return nil }
                self.init(prefix == "ipv4" ? .ipv4Address : .ipv6Address, octets: octets)
                return
            default:
                if prefix.hasPrefix("{"), prefix.hasSuffix("}"), let number = UInt8(prefix.dropFirst().dropLast()) {
                    self.init(Kind(rawValue: number), octets: raw ?? Array(value.utf8))
                    return
                }
            }
        }
        if !text.hasPrefix("@"), text.contains("=") {
            guard let name = DistinguishedName(text) else { return nil }
            self.init(name)
        } else if let address = IPAddress(text) {
            self.init(address)
        } else if text.hasPrefix("@#") {
            guard let octets = [UInt8](hex: text.dropFirst(2)) else { return nil }
            self.init(.keyID, octets: octets)
        } else if text.hasPrefix("@@") {
            self.init(.emailAddress, octets: Array(text.dropFirst(2).utf8))
        } else if text.hasPrefix("@") {
            self.init(.fqdn, octets: Array(text.dropFirst().utf8))
        } else if text.contains("@") {
            self.init(.emailAddress, octets: Array(text.utf8))
        } else {
            self.init(.fqdn, octets: Array(text.utf8))
        }
    }

    /// The address of an address identity.
    package var address: IPAddress? {
        switch kind {
        case .ipv4Address where octets.count == 4, .ipv6Address where octets.count == 16: IPAddress(octets: octets)
        default: nil
        }
    }

    /// The name of a distinguished name's identity (RFC 2407 §4.6.2.10, RFC 7296 §3.5).
    package var distinguishedName: DistinguishedName? {
        kind == .distinguishedName ? try? DistinguishedName(parsing: octets[...]) : nil
    }
}

extension Identity: CustomStringConvertible {
    /// The identity as a person writes it; octets that are not printable ASCII come as hex with the kind's number.
    package var description: String {
        if let address { return address.description }
        if let name = distinguishedName, !name.isEmpty { return name.description }
        let isText = !octets.isEmpty && octets.allSatisfy { (0x20..<0x7F).contains($0) }
        switch kind {
        case .null where octets.isEmpty: return "%null"
        case .fqdn where isText, .emailAddress where isText, .keyID where isText:
            return octets.reduce(into: "") { $0.unicodeScalars.append(UnicodeScalar($1)) }
        case .keyID: return "keyid:#\(octets.hex)"
        default: return "{\(kind.rawValue)}:#\(octets.hex)"
        }
    }
}

/// Which identities a connection accepts from its peer.
package enum IdentityPattern: Hashable, Sendable, CustomStringConvertible {
    /// `%any`.
    case any
    case exactly(Identity)
    /// A FQDN or e-mail address that ends with `suffix` behind one `*` (`*.example.org`, `*@example.org`).
    case suffix(Identity.Kind, String)
    /// A distinguished name, some of whose values are `*`, or whose parts need not stand in its order.
    case distinguishedName(DistinguishedName, DistinguishedName.Matching = .strict)

    package func matches(_ identity: Identity) -> Bool {
        switch self {
        case .any: return true
        case .exactly(let wanted):
            if wanted == identity { return true }
            if let wanted = wanted.distinguishedName, let name = identity.distinguishedName {
                return name.isSame(as: wanted)
            }
            // Names compare without case (RFC 4301 §4.4.3.1 leaves DNS rules to DNS).
            guard wanted.kind == identity.kind, wanted.kind == .fqdn || wanted.kind == .emailAddress else {
                return false
            }
            return wanted.description.lowercased() == identity.description.lowercased()
        case .suffix(let kind, let suffix):
            return identity.kind == kind && identity.octets.count > suffix.utf8.count
                && identity.description.lowercased().hasSuffix(suffix.lowercased())
        case .distinguishedName(let pattern, let matching):
            return identity.distinguishedName?.matches(pattern, matching) ?? false
        }
    }

    /// The one identity that the pattern names, if it does: where the order of a name's parts does not count, as it was written.
    package var identity: Identity? {
        switch self {
        case .exactly(let identity): identity
        case .distinguishedName(let name, _): name.hasWildcards ? nil : Identity(name)
        case .any, .suffix: nil
        }
    }

    /// This pattern, where distinguished names fit by `matching`.
    package func matching(_ matching: DistinguishedName.Matching) -> IdentityPattern {
        switch self {
        case .exactly(let identity):
            matching == .strict ? self : identity.distinguishedName.map { .distinguishedName($0, matching) } ?? self
        case .distinguishedName(let name, _): .distinguishedName(name, matching)
        case .any, .suffix: self
        }
    }

    /// How closely the pattern names `identity`: 0 not at all, larger is closer.
    package func specificity(for identity: Identity) -> Int {
        guard matches(identity) else { return 0 }
        switch self {
        case .any: return 1
        case .suffix: return 2
        case .distinguishedName(let name, let matching): return name.hasWildcards || matching == .relaxed ? 2 : 3
        case .exactly: return 3
        }
    }

    package var description: String {
        switch self {
        case .any: "%any"
        case .exactly(let identity): identity.description
        case .suffix(_, let suffix): "*" + suffix
        case .distinguishedName(let name, _): name.description
        }
    }
}
