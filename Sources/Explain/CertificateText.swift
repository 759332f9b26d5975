package import Certificates
package import Cryptography
import IPsec
import Primitives

/// Certificates and what goes with them as lines for a person.
package enum CertificateText {
    package static func lines(_ certificate: Certificate) -> [String] {
        let extensions = certificate.extensions
        var lines = [
            field("subject", certificate.subject.description), field("issuer", certificate.issuer.description),
            field("serial", certificate.serialNumber.hex),
            field("valid", "\(certificate.notBefore) to \(certificate.notAfter)"),
            field("key", certificate.key?.description ?? "of an unknown kind"),
            field("signed", certificate.signatureAlgorithm?.description ?? "with an unknown algorithm"),
        ]
        lines += named("name", extensions.subjectAlternativeNames.map(\.description))
        if let constraints = extensions.basicConstraints, constraints.isAuthority {
            let length = constraints.pathLength.map { ", \($0) authorities may follow" } ?? ""
            lines.append(field("authority", "yes\(length)"))
        }
        lines += named("usage", extensions.keyUsage.map(words) ?? [])
        lines += named("purpose", extensions.purposes?.map(\.description) ?? [])
        lines += named("permits", extensions.permittedSubtrees.map(\.description))
        lines += named("excludes", extensions.excludedSubtrees.map(\.description))
        lines += named("list at", extensions.revocationListLocations)
        lines += named("OCSP at", extensions.ocspLocations)
        if let identifier = extensions.subjectKeyIdentifier { lines.append(field("key ID", identifier.hex)) }
        if let identifier = extensions.authorityKeyIdentifier { lines.append(field("by key ID", identifier.hex)) }
        lines += named("unknown", extensions.unknownCritical)
        return lines
    }

    package static func lines(_ list: RevocationList) -> [String] {
        var lines = [
            field("issuer", list.issuer.description), field("number", list.number?.hex ?? "none"),
            field("updated", list.thisUpdate.description), field("next", list.nextUpdate?.description ?? "not said"),
        ]
        if let base = list.baseNumber { lines.append(field("changes", base.hex)) }
        for (serial, entry) in list.entries.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            lines.append(field("revoked", "\(serial.hex) at \(entry.date): \(entry.reason)"))
        }
        return lines
    }

    package static func lines(_ request: CertificateRequest) -> [String] {
        [
            field("subject", request.subject.description),
            field("key", DigitalSignature.describe(request.subjectPublicKeyInfo)?.description ?? "of an unknown kind"),
            field("signature", request.provesPossession ? "good" : "BAD"),
        ] + named("name", request.extensions.subjectAlternativeNames.map(\.description))
    }

    package static func lines(_ key: PublicKey) -> [String] {
        [field("key", key.kind.description), field("key hash", key.identifier.hex)]
            + named("key ID", KeyIdentifier.of(subjectPublicKeyInfo: key.subjectPublicKeyInfo).map { [$0.hex] } ?? [])
    }

    private static func field(_ name: String, _ value: String) -> String {
        "  " + name + String(repeating: " ", count: max(1, 11 - name.count)) + value
    }

    private static func named(_ name: String, _ values: [String]) -> [String] { values.map { field(name, $0.visible) } }

    private static func words(_ usage: CertificateExtensions.KeyUsage) -> [String] {
        let names: [(CertificateExtensions.KeyUsage, String)] = [
            (.digitalSignature, "digitalSignature"), (.nonRepudiation, "nonRepudiation"),
            (.keyEncipherment, "keyEncipherment"), (.dataEncipherment, "dataEncipherment"),
            (.keyAgreement, "keyAgreement"), (.certificateSigning, "keyCertSign"),
            (.revocationListSigning, "cRLSign"), (.encipherOnly, "encipherOnly"), (.decipherOnly, "decipherOnly"),
        ]
        return [names.filter { usage.contains($0.0) }.map(\.1).joined(separator: ", ")]
    }
}

extension String {
    /// Without what a terminal would obey.
    fileprivate var visible: String {
        unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0.properties.generalCategory != .format }
            ? self : "#" + utf8.hex
    }
}
