import IPsec

extension ConfigurationChecker {
    /// The section `charon.tls`, with the spellings that strongSwan has (1.0 to 1.3).
    func tlsVersions(_ settings: inout Configuration.Settings, _ section: SettingsSection, isLenient: Bool) {
        guard let reader = reader(of: "tls", in: section, KnownKeys.tls, isLenient: isLenient) else { return }
        let words = TLSVersion.allCases.map { ($0.rawValue, $0) }
        let why = "TLS 1.2 is the oldest that is spoken here (RFC 8996)"
        var lowest = settings.tlsVersions.lowerBound
        // Who lets older ones in lets in what is spoken here.
        if let text = reader.setting("version_min")?.value.text, ["1.0", "1.1"].contains(text) {
            lowest = .v12
        } else if let version = reader.word("version_min", words) {
            lowest = version
        }
        let highest =
            reader.word("version_max", words, refused: ["1.0": why, "1.1": why]) ?? settings.tlsVersions.upperBound
        guard lowest <= highest else {
            if let setting = reader.setting("version_max") ?? reader.setting("version_min") {
                reader.wrong(
                    setting,
                    expected: "version_max = \(highest.rawValue) not to be below version_min = \(lowest.rawValue)")
            }
            return
        }
        settings.tlsVersions = lowest...highest
    }
}
