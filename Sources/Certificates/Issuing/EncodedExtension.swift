internal import Cryptography
package import IPsec
internal import Primitives

/// An extension as it goes into a certificate, a request or a list.
package struct EncodedExtension: Hashable, Sendable {
    /// Dotted numbers.
    package var identifier: String
    package var isCritical: Bool
    /// The DER inside of the OCTET STRING.
    package var value: [UInt8]

    package init(_ identifier: String, isCritical: Bool = false, value: [UInt8]) {
        self.identifier = identifier
        self.isCritical = isCritical
        self.value = value
    }

    var octets: [UInt8] {
        Encoding.sequence(
            Encoding.identifier(identifier), isCritical ? Encoding.yes : [], Encoding.octets(value))
    }

    /// Critical (RFC 5280 §4.2.1.9).
    package static func basicConstraints(isAuthority: Bool, pathLength: Int? = nil) -> EncodedExtension {
        EncodedExtension(
            "2.5.29.19", isCritical: true,
            value: Encoding.sequence(
                isAuthority ? Encoding.yes : [], pathLength.map { Encoding.integer($0) } ?? []))
    }

    /// Critical (RFC 5280 §4.2.1.3).
    package static func keyUsage(_ usage: CertificateExtensions.KeyUsage) -> EncodedExtension {
        // Bit 0 is the first octet's highest; DER leaves zeros at the end out (X.690 §11.2.2).
        var octets: [UInt8] = [0, 0]
        var last = -1
        for bit in 0..<9 where usage.rawValue & 1 << bit != 0 {
            octets[bit / 8] |= 0x80 >> UInt8(bit % 8)
            last = bit
        }
        let count = (last + 8) / 8
        let unused = last < 0 ? 0 : UInt8(7 - last % 8)
        return EncodedExtension(
            "2.5.29.15", isCritical: true, value: Encoding.element(0x03, [unused] + octets.prefix(count)))
    }

    /// RFC 5280 §4.2.1.12.
    package static func purposes(_ purposes: [CertificateExtensions.Purpose]) -> EncodedExtension {
        EncodedExtension("2.5.29.37", value: Encoding.sequence(of: purposes.map { Encoding.identifier($0.identifier) }))
    }

    /// certificatePolicies (RFC 5280 §4.2.1.4), as dotted numbers.
    package static func policies(_ policies: [String]) -> EncodedExtension {
        EncodedExtension(
            "2.5.29.32",
            value: Encoding.sequence(of: policies.map { Encoding.sequence(Encoding.identifier($0)) }))
    }

    /// subjectAltName (RFC 5280 §4.2.1.6).
    package static func names(_ names: [SubjectName], isCritical: Bool = false) -> EncodedExtension {
        EncodedExtension("2.5.29.17", isCritical: isCritical, value: Encoding.sequence(of: names.map(\.octets)))
    }

    /// Critical (RFC 5280 §4.2.1.10).
    package static func nameConstraints(
        permitted: [NameSubtree] = [], excluded: [NameSubtree] = []
    ) -> EncodedExtension {
        func list(_ number: UInt8, _ subtrees: [NameSubtree]) -> [UInt8] {
            subtrees.isEmpty ? [] : Encoding.tagged(number, subtrees.flatMap { Encoding.sequence($0.octets) })
        }
        return EncodedExtension(
            "2.5.29.30", isCritical: true, value: Encoding.sequence(list(0, permitted), list(1, excluded)))
    }

    /// RFC 5280 §4.2.1.2.
    package static func subjectKeyIdentifier(_ identifier: [UInt8]) -> EncodedExtension {
        EncodedExtension("2.5.29.14", value: Encoding.octets(identifier))
    }

    /// RFC 5280 §4.2.1.1.
    package static func authorityKeyIdentifier(_ identifier: [UInt8]) -> EncodedExtension {
        EncodedExtension("2.5.29.35", value: Encoding.sequence(Encoding.primitive(0, identifier)))
    }

    /// Where revocation lists are (RFC 5280 §4.2.1.13): one distribution point a URI.
    package static func revocationLists(_ uris: [String]) -> EncodedExtension {
        EncodedExtension(
            "2.5.29.31",
            value: Encoding.sequence(
                of: uris.map { uri in
                    Encoding.sequence(
                        Encoding.tagged(0, Encoding.tagged(0, Encoding.primitive(6, Array(uri.utf8)))))
                }))
    }

    /// Where OCSP answers (RFC 5280 §4.2.2.1).
    package static func ocspResponders(_ uris: [String]) -> EncodedExtension {
        EncodedExtension(
            "1.3.6.1.5.5.7.1.1",
            value: Encoding.sequence(
                of: uris.map { uri in
                    Encoding.sequence(
                        Encoding.identifier("1.3.6.1.5.5.7.48.1"), Encoding.primitive(6, Array(uri.utf8)))
                }))
    }
}

extension SubjectName {
    /// The GeneralName in DER. A form that is not known here becomes an empty otherName.
    var octets: [UInt8] {
        switch self {
        case .email(let text): Encoding.primitive(1, Array(text.utf8))
        case .dns(let text): Encoding.primitive(2, Array(text.utf8))
        case .directory(let name): Encoding.tagged(4, name.octets)
        case .uri(let text): Encoding.primitive(6, Array(text.utf8))
        case .address(let address): Encoding.primitive(7, address.octets)
        case .other: Encoding.tagged(0, Encoding.identifier("2.5.4.3") + Encoding.tagged(0, Encoding.null))
        }
    }

    /// The name that gives a certificate an identity; `nil` for identities that a certificate shows otherwise.
    package init?(_ identity: Identity) {
        switch identity.kind {
        case .fqdn: self = .dns(String(decoding: identity.octets, as: UTF8.self))
        case .emailAddress: self = .email(String(decoding: identity.octets, as: UTF8.self))
        case .ipv4Address, .ipv6Address:
            guard let address = identity.address else { return nil }
            self = .address(address)
        case .distinguishedName:
            guard let name = identity.distinguishedName else { return nil }
            self = .directory(name)
        default: return nil
        }
    }
}

extension NameSubtree {
    var octets: [UInt8] {
        switch self {
        case .dns(let text): SubjectName.dns(text).octets
        case .email(let text): SubjectName.email(text).octets
        case .uri(let text): SubjectName.uri(text).octets
        case .directory(let name): SubjectName.directory(name).octets
        case .addresses(let address, let mask): Encoding.primitive(7, address.octets + mask.octets)
        case .other(let number): SubjectName.other(number).octets
        }
    }
}

extension Array where Element == EncodedExtension {
    /// Extensions, or nothing where there are none.
    var octets: [UInt8] { isEmpty ? [] : Encoding.sequence(of: map(\.octets)) }
}

/// The key identifier of RFC 5280 §4.2.1.2 (1): SHA-1 over the content of the key's BIT STRING.
package enum KeyIdentifier {
    package static func of(_ keyBits: [UInt8]) -> [UInt8] { (try? Digest.compute(.sha1, [.open(keyBits)])) ?? [] }

    /// Of a SubjectPublicKeyInfo in DER; `nil` where it is none.
    package static func of(subjectPublicKeyInfo: [UInt8]) -> [UInt8]? {
        guard let bits = try? Certificate.keyBits(parsing: subjectPublicKeyInfo) else { return nil }
        return of(bits)
    }
}
