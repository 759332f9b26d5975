internal import IPsec
internal import Primitives
internal import SwiftASN1
internal import X509

extension SubjectName {
    init(_ name: GeneralName) throws(CertificateDefect) {
        switch name {
        case .dnsName(let text): self = .dns(text)
        case .rfc822Name(let text): self = .email(text)
        case .uniformResourceIdentifier(let text): self = .uri(text)
        case .ipAddress(let octets):
            guard let address = IPAddress(octets: octets.bytes) else {
                throw .malformed("an address in a name has 4 or 16 octets")
            }
            self = .address(address)
        case .directoryName(let name):
            self = .directory(try SubjectName.directory(name))
        case .otherName: self = .other(0)
        case .x400Address: self = .other(3)
        case .ediPartyName: self = .other(5)
        case .registeredID: self = .other(8)
        }
    }

    static func directory(_ name: X509.DistinguishedName) throws(CertificateDefect) -> IPsec.DistinguishedName {
        try Reading.attempt("a directory name") {
            var serializer = DER.Serializer()
            try serializer.serialize(name)
            return try IPsec.DistinguishedName(parsing: serializer.serializedBytes[...])
        }
    }
}

extension NameSubtree {
    init(_ name: GeneralName) throws(CertificateDefect) {
        if case .ipAddress(let octets) = name {
            let half = octets.bytes.count / 2
            guard octets.bytes.count.isMultiple(of: 2), let address = IPAddress(octets: octets.bytes.prefix(half)),
                let mask = IPAddress(octets: octets.bytes.dropFirst(half))
            else { throw .malformed("a block of addresses has 8 or 32 octets") }
            self = .addresses(address, mask: mask)
            return
        }
        switch try SubjectName(name) {
        case .dns(let text): self = .dns(text)
        case .email(let text): self = .email(text)
        case .uri(let text): self = .uri(text)
        case .directory(let name): self = .directory(name)
        case .address: throw .malformed("a block of addresses has 8 or 32 octets")
        case .other(let number): self = .other(number)
        }
    }
}
