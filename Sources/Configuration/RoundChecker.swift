import IPsec

// `connections.NAME.local…` and `connections.NAME.remote…`.
extension ConfigurationChecker {
    func authentication(of connection: inout Connection, _ reader: SectionReader) {
        connection.local = rounds("local", reader)
        connection.remote = rounds("remote", reader)
        for end in ["local", "remote"] {
            let sections = roundSections(end, reader)
            guard sections.count > 1 else { continue }
            log.report(
                "more than one authentication round: '\(sections[1].name.text)' in \(reader.path) is "
                    + SectionReader.notSupported,
                at: sections[1].name.position)
        }
    }

    /// The sections of an end in the order in which its rounds are done: by `round`, and among equals as they stand in
    /// the file.
    private func roundSections(_ end: String, _ reader: SectionReader) -> [SettingsSection] {
        let sections = reader.section.sections.filter {
            $0.name.text.hasPrefix(end) && !$0.name.text.hasPrefix("\(end)_")
        }
        let numbered = sections.enumerated().map { index, section in
            (section.setting("round").flatMap { ValueGrammar.unsigned($0.value.text) } ?? 0, index, section)
        }
        return numbered.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
    }

    /// The rounds of an end, at least one.
    private func rounds(_ end: String, _ reader: SectionReader) -> [AuthenticationRound] {
        let sections = roundSections(end, reader)
        if sections.isEmpty {
            log.report(
                "\(reader.path) has no '\(end)' section: write \(end) { auth = psk }",
                at: reader.section.name.position)
            return [AuthenticationRound()]
        }
        return sections.map { section in
            round(SectionReader(section: section, path: "\(reader.path).\(section.name.text)", log: log), end)
        }
    }

    private func round(_ reader: SectionReader, _ end: String) -> AuthenticationRound {
        reader.check(keys: KnownKeys.authentication) { section in
            // Sections for certificates by file or token.
            guard section.name.text.hasPrefix("cert") || section.name.text.hasPrefix("cacert") else { return false }
            log.report(
                "'\(section.name.text)' in \(reader.path) is \(SectionReader.notSupported)", at: section.name.position)
            return true
        }
        _ = reader.unsigned("round", 0...UInt64(UInt32.max))
        var round = AuthenticationRound(method(reader) ?? .preSharedKey)
        round.identity = end == "local" ? localIdentity(reader) : remoteIdentity(reader)
        return round
    }

    private func method(_ reader: SectionReader) -> AuthenticationMethod? {
        guard let setting = reader.setting("auth") else {
            log.report(
                "\(reader.path) has no 'auth', and its default 'pubkey' is \(SectionReader.notSupported): "
                    + "write auth = psk",
                at: reader.section.name.position)
            return nil
        }
        let text = setting.value.text.lowercased()
        if text == "psk" { return .preSharedKey }
        if KnownKeys.unsupportedAuthentication.contains(where: { text.hasPrefix($0) }) {
            log.report(
                "'auth = \(setting.value.text.excerpt)' in \(reader.path) is \(SectionReader.notSupported); only 'psk' is",
                at: setting.value.position)
        } else {
            reader.wrong(setting, expected: "psk", suggestion: NearestName.find(text, in: ["psk", "pubkey"]))
        }
        return nil
    }

    private func localIdentity(_ reader: SectionReader) -> IdentityPattern {
        guard let setting = reader.setting("id"), setting.value.text != "%any",
            let pattern = identityPattern(setting, reader)
        else { return .any }
        if case .exactly = pattern { return pattern }
        reader.wrong(setting, expected: "one identity of our own, without '*'")
        return .any
    }

    private func remoteIdentity(_ reader: SectionReader) -> IdentityPattern {
        reader.setting("id").flatMap { identityPattern($0, reader) } ?? .any
    }
}
