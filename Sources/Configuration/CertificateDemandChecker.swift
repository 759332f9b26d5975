import IPsec

// What a remote round demands of the certificates behind the peer: `ca_id` and `cert_policy`.
extension ConfigurationChecker {
    func demands(of round: inout AuthenticationRound, _ reader: SectionReader) {
        let settings = ["ca_id", "cert_policy"].compactMap { reader.setting($0) }
        guard !settings.isEmpty else { return }
        // What has no certificate cannot meet them, and must not pass without.
        guard hasCertificates(round) else {
            for setting in settings {
                log.report(
                    "'\(setting.name)' in \(reader.path) is about the peer's certificate, and it proves itself without: it goes "
                        + "with a signature (auth = pubkey) without 'pubkeys', and with eap-tls",
                    at: setting.key.position)
            }
            return
        }
        if let setting = reader.setting("ca_id"), let pattern = identityPattern(setting, reader) {
            switch pattern {
            case .any, .suffix:
                reader.wrong(
                    setting, expected: "one identity of an authority; a distinguished name may have '*' for values")
            case .exactly, .distinguishedName: round.certificates.authorityIdentity = pattern
            }
        }
        if let setting = reader.setting("cert_policy") {
            let policies = ValueGrammar.list(setting.value.text)
            guard policies.allSatisfy(ObjectIdentifierText.isValid), policies.count <= 32 else {
                reader.wrong(setting, expected: "policies as dotted numbers, such as 1.3.6.1.4.1.99999.1, 32 at most")
                return
            }
            round.certificates.policies = policies
        }
    }

    private func hasCertificates(_ round: AuthenticationRound) -> Bool {
        switch round.method {
        case .publicKey: round.publicKeyFiles.isEmpty
        case .extensible(let method): method == .tls
        default: false
        }
    }
}
