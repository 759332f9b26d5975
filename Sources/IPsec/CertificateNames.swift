package import Primitives

/// One of the names of a subjectAltName or of a name constraint: a GeneralName (RFC 5280 §4.2.1.6).
package enum SubjectName: Hashable, Sendable {
    case dns(String)
    case email(String)
    case address(IPAddress)
    case directory(DistinguishedName)
    case uri(String)
    /// A form that is not compared here, by the number of its tag.
    case other(UInt)
}

extension SubjectName: CustomStringConvertible {
    package var description: String {
        switch self {
        case .dns(let text), .email(let text), .uri(let text): text.printable
        case .address(let address): address.description
        case .directory(let name): name.description
        case .other(let number): "a name of the form [\(number)]"
        }
    }
}

extension String {
    /// Text from outside as a terminal may show it.
    var printable: String {
        unicodeScalars.allSatisfy { (0x20..<0x7F).contains($0.value) } ? self : "#" + utf8.hex
    }
}

/// A range of names that a CA may or must not certify (RFC 5280 §4.2.1.10).
package enum NameSubtree: Hashable, Sendable {
    case dns(String)
    case email(String)
    /// The addresses that agree with the first in the bits of the mask.
    case addresses(IPAddress, mask: IPAddress)
    case directory(DistinguishedName)
    case uri(String)
    case other(UInt)

    /// Whether both speak of the same form of names, so that the subtree decides.
    package func isOfForm(of name: SubjectName) -> Bool {
        switch (self, name) {
        case (.dns, .dns), (.email, .email), (.directory, .directory), (.uri, .uri): true
        case (.addresses(let block, _), .address(let address)): block.family == address.family
        case (.other(let left), .other(let right)): left == right
        default: false
        }
    }

    /// Whether a name of this form lies within the subtree. A form that is not known here contains nothing.
    package func contains(_ name: SubjectName) -> Bool {
        switch (self, name) {
        case (.dns(let base), .dns(let text)): NameSubtree.isWithin(text, base)
        case (.email(let base), .email(let text)): NameSubtree.isMailbox(text, within: base)
        case (.addresses(let block, let mask), .address(let address)):
            address.value & mask.value == block.value & mask.value
        case (.directory(let base), .directory(let name)): name.isWithin(base)
        case (.uri(let base), .uri(let text)):
            NameSubtree.host(of: text).map { host in
                base.hasPrefix(".")
                    ? host.lowercased().hasSuffix(base.lowercased()) : host.lowercased() == base.lowercased()
            } ?? false
        default: false
        }
    }

    /// A DNS name is within `host.example` if it can be made by adding labels in front. A leading dot, which the RFC does
    /// not write for DNS names, asks for at least one label, as others read it.
    private static func isWithin(_ name: String, _ base: String) -> Bool {
        let (name, base) = (name.lowercased(), base.lowercased())
        if base.isEmpty || name == base { return true }
        return name.hasSuffix(base.hasPrefix(".") ? base : "." + base)
    }

    /// A mailbox is within a whole mailbox, a host, or with a leading dot a domain.
    private static func isMailbox(_ mailbox: String, within base: String) -> Bool {
        guard let at = mailbox.lastIndex(of: "@") else { return false }
        let host = mailbox[mailbox.index(after: at)...].lowercased()
        if let baseAt = base.lastIndex(of: "@") {
            return mailbox[..<at] == base[..<baseAt] && host == base[base.index(after: baseAt)...].lowercased()
        }
        return base.hasPrefix(".") ? host.hasSuffix(base.lowercased()) : host == base.lowercased()
    }

    private static func host(of uri: String) -> Substring? {
        guard let scheme = uri.firstRange(of: "://") else { return nil }
        var authority = uri[scheme.upperBound...].prefix { !"/?#".contains($0) }
        if let at = authority.lastIndex(of: "@") { authority = authority[authority.index(after: at)...] }
        return authority.hasPrefix("[") ? nil : authority.prefix { $0 != ":" }
    }
}

extension NameSubtree: CustomStringConvertible {
    package var description: String {
        switch self {
        case .dns(let text), .email(let text), .uri(let text): text.printable
        case .addresses(let address, let mask): "\(address)/\(mask)"
        case .directory(let name): name.description
        case .other(let number): "names of the form [\(number)]"
        }
    }
}
