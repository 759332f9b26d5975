import IPsec

// `authorities.NAME`.
extension ConfigurationChecker {
    func authority(_ section: SettingsSection) -> CertificateAuthority? {
        let reader = SectionReader(section: section, path: "authorities.\(section.name.text)", log: log)
        reader.check(keys: KnownKeys.authority) { _ in false }
        let named = ["cacert", "file"].compactMap { reader.setting($0) }
        guard let setting = named.first, named.count == 1 else {
            log.report(
                "\(reader.path) needs one of 'cacert' (a file in x509ca) and 'file' (a path)", at: section.name.position
            )
            return nil
        }
        return CertificateAuthority(
            name: section.name.text, certificateFile: setting.value.text,
            revocationListURIs: addresses("crl_uris", reader), responderURIs: addresses("ocsp_uris", reader),
            certificateURIBase: reader.setting("cert_uri_base")?.value.text)
    }

    /// Addresses in the web; others (LDAP, files) are nothing that is fetched.
    private func addresses(_ key: String, _ reader: SectionReader) -> [String] {
        let uris = reader.list(key, expected: "addresses that begin with http://, which alone are fetched") { text in
            let isPrintable = text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
            return isPrintable && text.lowercased().hasPrefix("http://") && text.utf8.count > 7 ? text : nil
        }
        return uris ?? []
    }
}
