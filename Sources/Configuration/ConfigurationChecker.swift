import Cryptography
import IPsec
import Primitives

/// Turns a settings tree into a ``Configuration`` and reports every unknown name and wrong value on the way.
struct ConfigurationChecker {
    let log = DiagnosticLog()
    /// Reads a file of a public key by the name that the configuration gives it.
    var keyFiles: KeyFileLoader = { _ in .failure(IncludeFailure("no files here")) }

    /// Whether this is a part of a configuration, whose pools came, or will come, apart from it.
    var isPart = false

    private static let sections = ["connections", "secrets", "pools", "authorities", "radius", "charon"]

    /// What could be read; it counts only where nothing was reported.
    ///
    /// - Parameter settings: what counts where the tree has no section `charon`.
    func check(_ resolved: ResolvedSettings, settings base: Configuration.Settings = .init()) -> Configuration {
        let tree = resolved.tree
        var configuration = Configuration(settings: base)
        for setting in tree.settings {
            log.report(
                "unknown key '\(setting.name.excerpt)' outside of any section", at: setting.key.position,
                suggestion: NearestName.find(setting.name, in: ConfigurationChecker.sections))
        }
        // Children take their defaults from the settings, wherever in the file these stand.
        if let section = tree.section("charon") { configuration.settings = settings(section, over: base) }
        for section in tree.sections {
            switch section.name.text {
            case "connections":
                for setting in section.settings {
                    log.report(
                        "unknown key '\(setting.name.excerpt)' in connections, which holds one section for each connection",
                        at: setting.key.position)
                }
                configuration.connections = section.sections.map { connection($0, configuration.settings) }
            case "secrets": secrets(section, &configuration)
            case "pools":
                for setting in section.settings {
                    log.report(
                        "unknown key '\(setting.name.excerpt)' in pools, which holds one section for each pool",
                        at: setting.key.position)
                }
                configuration.pools = section.sections.compactMap { pool($0) }.map {
                    [settings = configuration.settings] in
                    settings.completing($0)
                }
            case "radius": configuration.radius = radius(section)
            case "authorities":
                for setting in section.settings {
                    log.report(
                        "unknown key '\(setting.name.excerpt)' in authorities, which holds one section for each authority",
                        at: setting.key.position)
                }
                configuration.authorities = section.sections.compactMap { authority($0) }
            case "charon": break
            case let name where resolved.templates.contains(name):
                // It was checked wherever it was taken over.
                break
            case let name:
                log.report(
                    "unknown section '\(name.excerpt)'", at: section.name.position,
                    suggestion: NearestName.find(name, in: ConfigurationChecker.sections))
            }
        }
        if !isPart {
            checkPools(of: tree.section("connections"), configuration.pools)
            checkGroups(of: tree.section("connections"), configuration)
        }
        return configuration
    }
}

// MARK: Secrets and settings

extension ConfigurationChecker {
    private func secrets(_ section: SettingsSection, _ configuration: inout Configuration) {
        for setting in section.settings {
            log.report(
                "unknown key '\(setting.name.excerpt)' in secrets, which holds one section for each secret",
                at: setting.key.position)
        }
        let matching = configuration.settings.nameMatching
        for inner in section.sections {
            let name = inner.name.text
            if name.hasPrefix("ike") {
                if let key = sharedKey(inner) { configuration.secrets.append(key.matchingNames(matching)) }
            } else if name.hasPrefix("ppk") {
                if let key = sharedKey(inner, isPostquantum: true) { configuration.secrets.append(key) }
            } else if name.hasPrefix("xauth") || name.hasPrefix("eap") {
                if let key = sharedKey(inner) { configuration.users.append(key.matchingNames(matching)) }
            } else if let directory = KnownKeys.keyDirectories.first(where: { name.hasPrefix($0) }) {
                if let passphrase = passphrase(inner, directory) { configuration.passphrases.append(passphrase) }
            } else if let (_, reason) = KnownKeys.unsupportedSecrets.first(where: { name.hasPrefix($0.key) }) {
                log.report(
                    "secret '\(name)' is of a kind that is \(SectionReader.notSupported): \(reason)",
                    at: inner.name.position)
            } else {
                log.report(
                    "unknown kind of secret '\(name.excerpt)': the name must start with 'ike', 'xauth' or 'eap'",
                    at: inner.name.position,
                    suggestion: NearestName.find(
                        name,
                        in: ["ike", "xauth", "eap"] + KnownKeys.keyDirectories
                            + KnownKeys.unsupportedSecrets.keys.sorted()))
            }
        }
    }

    private func passphrase(_ section: SettingsSection, _ directory: String) -> KeyPassphrase? {
        let reader = SectionReader(section: section, path: "secrets.\(section.name.text)", log: log)
        reader.check(keys: KnownKeys.passphrase) { _ in false }
        guard let file = reader.setting("file"), let secret = reader.setting("secret") else {
            log.report("\(reader.path) has no 'file' or no 'secret'", at: section.name.position)
            return nil
        }
        guard let octets = ValueGrammar.secretOctets(secret.value.text), !octets.contains(0) else {
            log.report(
                "'secret' in \(reader.path) is neither text nor 0x and hexadecimal nor 0s and base64",
                at: secret.value.position)
            return nil
        }
        return KeyPassphrase(
            name: section.name.text, directory: directory, file: file.value.text, secret: Secret(octets))
    }

    private func sharedKey(_ section: SettingsSection, isPostquantum: Bool = false) -> SharedKey? {
        let reader = SectionReader(section: section, path: "secrets.\(section.name.text)", log: log)
        reader.check(keys: KnownKeys.sharedKey, numbered: ["id"]) { _ in false }
        var identities: [IdentityPattern] = []
        for setting in section.settings where setting.name.hasPrefix("id") && !setting.value.text.isEmpty {
            if let identity = identityPattern(setting, reader) { identities.append(identity) }
        }
        return secret(reader).map {
            SharedKey(name: section.name.text, identities: identities, secret: $0, isPostquantum: isPostquantum)
        }
    }

    /// The key `secret`, which must be there. The secret itself must not get into a message.
    func secret(_ reader: SectionReader) -> Secret? {
        guard let setting = reader.setting("secret") else {
            log.report("\(reader.path) has no 'secret'", at: reader.section.name.position)
            return nil
        }
        guard let octets = ValueGrammar.secretOctets(setting.value.text), !octets.isEmpty else {
            log.report(
                "'secret' in \(reader.path) is neither text nor 0x and hexadecimal nor 0s and base64",
                at: setting.value.position)
            return nil
        }
        return Secret(octets)
    }

    func identityPattern(_ setting: Setting, _ reader: SectionReader) -> IdentityPattern? {
        do throws(ValueGrammar.IdentityFailure) {
            return try ValueGrammar.identityPattern(setting.value.text)
        } catch .unsupported(let what) {
            log.report(
                "'\(setting.name) = \(setting.value.text.excerpt)' in \(reader.path): \(what) are "
                    + SectionReader.notSupported,
                at: setting.value.position)
        } catch {
            reader.wrong(setting, expected: "an identity such as 192.0.2.1, gw.example.org, user@example.org or @#hex")
        }
        return nil
    }
}
