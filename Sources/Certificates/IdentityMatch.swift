internal import Cryptography
package import IPsec
import Primitives

extension Certificate {
    /// Whether the certificate gives its subject this identity (RFC 4945 §3.1): the subject's name for a distinguished
    /// name, else a subjectAltName of the same form. The common name stands for no FQDN (§5.1.3.6 speaks of subjectAltName
    /// alone), and a `*` in a certificate is no wildcard.
    package func names(_ identity: Identity) -> Bool {
        let others = extensions.subjectAlternativeNames
        switch identity.kind {
        case .distinguishedName:
            guard let name = identity.distinguishedName, !name.isEmpty else { return false }
            if subject.isSame(as: name) { return true }
            return others.contains { if case .directory(let other) = $0 { other.isSame(as: name) } else { false } }
        case .fqdn:
            let wanted = identity.octets.asciiLowercased
            return others.contains {
                if case .dns(let name) = $0 { Array(name.utf8).asciiLowercased == wanted } else { false }
            }
        case .emailAddress:
            return others.contains {
                if case .email(let name) = $0 {
                    Certificate.isSameMailbox(Array(name.utf8), identity.octets)
                } else {
                    false
                }
            }
        case .ipv4Address, .ipv6Address:
            guard let address = identity.address else { return false }
            return others.contains(.address(address))
        case .keyID:
            if extensions.subjectKeyIdentifier == identity.octets || keyHash == identity.octets { return true }
            return (try? Digest.compute(.sha1, [.open(keyBits)])) == identity.octets
        default: return false
        }
    }

    /// Whether the certificate gives its subject an identity that the pattern accepts.
    package func names(_ pattern: IdentityPattern) -> Bool {
        switch pattern {
        case .any: true
        case .exactly(let identity): names(identity)
        case .distinguishedName(let name, let matching):
            names.contains { if case .directory(let own) = $0 { own.matches(name, matching) } else { false } }
        case .suffix: false
        }
    }

    /// The local part is the mailbox's own business, the host is not (RFC 5280 §7.5).
    private static func isSameMailbox(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard let at = left.lastIndex(of: 0x40), right.lastIndex(of: 0x40) == at else { return false }
        return left[..<at] == right[..<at] && Array(left[at...]).asciiLowercased == Array(right[at...]).asciiLowercased
    }

    /// The identity to claim with this certificate where none is configured: its subject.
    package var identity: Identity { Identity(subject) }
}

extension [UInt8] {
    fileprivate var asciiLowercased: [UInt8] { map { (0x41...0x5A).contains($0) ? $0 + 0x20 : $0 } }
}
