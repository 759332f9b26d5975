import IPsec

// `connections.NAME.local…` and `connections.NAME.remote…`.
extension ConfigurationChecker {
    func authentication(of connection: inout Connection, _ reader: SectionReader) {
        connection.local = rounds("local", reader)
        connection.remote = rounds("remote", reader)
        for end in ["local", "remote"] {
            let sections = roundSections(end, reader)
            // The one round that may follow another is Extended Authentication's.
            let plain = sections.filter { !isExtended($0) }
            if let second = plain.dropFirst().first ?? sections.filter(isExtended).dropFirst().first {
                log.report(
                    "more than one authentication round: '\(second.name.text)' in \(reader.path) is "
                        + SectionReader.notSupported,
                    at: second.name.position)
            }
            if plain.isEmpty, let first = sections.first {
                log.report(
                    "'auth = xauth' in \(reader.path) stands alone: an end also needs a round such as "
                        + "\(end) { auth = psk }", at: first.name.position)
            }
        }
        if connection.localExtendedRound != nil, connection.remoteExtendedRound != nil {
            log.report(
                "\(reader.path) has 'auth = xauth' at both ends: one of them asks the other",
                at: reader.section.name.position)
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
        let sorted = numbered.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2)
        // Extended Authentication comes after phase 1, wherever its section stands.
        return sorted.filter { !isExtended($0) } + sorted.filter(isExtended)
    }

    private func isExtended(_ section: SettingsSection) -> Bool {
        section.setting("auth")?.value.text.lowercased().hasPrefix("xauth") == true
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
        let isOwnUser = round.method == .extendedAuthentication && end == "local"
        if !isOwnUser, let setting = reader.setting("xauth_id") {
            log.report(
                "'xauth_id' in \(reader.path) belongs to a local round with auth = xauth", at: setting.key.position)
        }
        round.identity =
            end == "local" ? localIdentity(reader, isOwnUser ? "xauth_id" : "id") : remoteIdentity(reader)
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
        if text == "xauth" || text == "xauth-generic" { return .extendedAuthentication }
        if KnownKeys.unsupportedAuthentication.contains(where: { text.hasPrefix($0) }) {
            log.report(
                "'auth = \(setting.value.text.excerpt)' in \(reader.path) is \(SectionReader.notSupported); only 'psk' is",
                at: setting.value.position)
        } else {
            reader.wrong(setting, expected: "psk", suggestion: NearestName.find(text, in: ["psk", "pubkey"]))
        }
        return nil
    }

    private func localIdentity(_ reader: SectionReader, _ key: String) -> IdentityPattern {
        guard let setting = reader.setting(key), setting.value.text != "%any",
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
