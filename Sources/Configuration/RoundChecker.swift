import Cryptography
import IPsec

// `connections.NAME.local…` and `connections.NAME.remote…`.
extension ConfigurationChecker {
    func authentication(of connection: inout Connection, _ reader: SectionReader) {
        connection.local = rounds("local", reader)
        connection.remote = rounds("remote", reader)
        if connection.version == .any { connection.version = version(of: connection) }
        for end in ["local", "remote"] {
            let sections = roundSections(end, reader)
            // The one round that may follow another is Extended Authentication's.
            let plain = sections.filter { !isExtended($0) }
            if let second = plain.dropFirst().first, connection.version != .v2 {
                log.report(
                    "more than one authentication round: '\(second.name.text)' in \(reader.path) needs version = 2 "
                        + "(RFC 4739); in version 1 a user's round may follow, auth = xauth",
                    at: second.name.position)
            }
            if let second = sections.filter(isExtended).dropFirst().first {
                log.report(
                    "more than one round with 'auth = xauth': '\(second.name.text)' in \(reader.path) is "
                        + SectionReader.notSupported,
                    at: second.name.position)
            }
            if plain.isEmpty, let first = sections.first, !connection.isHybrid {
                log.report(
                    "'auth = xauth' in \(reader.path) stands alone: an end also needs a round such as "
                        + "\(end) { auth = psk }, unless the other end signs (auth = pubkey alone: Hybrid)",
                    at: first.name.position)
            }
        }
        if connection.localExtendedRound != nil, connection.remoteExtendedRound != nil {
            log.report(
                "\(reader.path) has 'auth = xauth' at both ends: one of them asks the other",
                at: reader.section.name.position)
        }
        checkAnonymous(connection, reader)
        checkKeys(of: connection, reader)
    }

    /// The one version that these rounds can be said in, where the connection leaves it open: XAUTH and encrypted nonces are
    /// version 1's; users of EAP, anonymous ends and ends that prove themselves in different ways are version 2's.
    private func version(of connection: Connection) -> IKEVersion {
        let rounds = connection.local + connection.remote
        if rounds.contains(where: { $0.method == .extendedAuthentication || $0.method.kind > 1 }) { return .v1 }
        // RFC 4739.
        let isRepeated = [connection.local, connection.remote].contains { $0.count > 1 }
        let isUsers = isRepeated || rounds.contains { $0.method == .null || $0.method.userMethod != nil }
        return isUsers || plain(connection.local).kind != plain(connection.remote).kind ? .v2 : .any
    }

    /// What an end that stays anonymous cannot have (RFC 7619).
    private func checkAnonymous(_ connection: Connection, _ reader: SectionReader) {
        let rounds = connection.local + connection.remote
        guard rounds.contains(where: { $0.method == .null }) else { return }
        let complaint: String? =
            if connection.version != .v2 {
                "needs version = 2"
            } else if connection.local.count > 1 || connection.remote.count > 1
                || rounds.contains(where: { $0.method.userMethod != nil })
            {
                "does not go together with a user's round: who is asked for a password must know by whom"
            } else {
                nil
            }
        if let complaint {
            log.report("'auth = null' in \(reader.path) \(complaint)", at: reader.section.name.position)
        }
    }

    /// How an end proves itself in phase 1.
    private func plain(_ rounds: [AuthenticationRound]) -> AuthenticationMethod {
        rounds.first { $0.method != .extendedAuthentication }?.method ?? .preSharedKey
    }

    /// What key pairs need besides.
    private func checkKeys(of connection: Connection, _ reader: SectionReader) {
        let local = zip(connection.local, roundSections("local", reader)).map { ($0, $1, false) }
        let remote = zip(connection.remote, roundSections("remote", reader)).map { ($0, $1, true) }
        func position(_ section: SettingsSection) -> SourcePosition {
            section.setting("auth")?.value.position ?? section.name.position
        }
        for (round, section, isRemote) in local + remote where round.method.usesPublicKeys {
            if connection.version != .v1, round.method.kind > 1 {
                log.report(
                    "encrypted nonces prove an end in IKE version 1 alone: write version = 1 in \(reader.path)",
                    at: position(section))
                return
            }
            if connection.version == .v2 || connection.isHybrid { continue }
            guard plain(connection.local).kind == plain(connection.remote).kind else {
                log.report(
                    "in IKE version 1 both ends prove themselves in the same way, and local and remote of "
                        + "\(reader.path) differ", at: position(section))
                return
            }
            if isRemote, round.method.kind > 1, round.publicKeyFiles.isEmpty {
                log.report(
                    "\(reader.path).\(section.name.text) has no 'pubkeys', and nonces cannot be encrypted to a key that "
                        + "is not known", at: section.name.position)
            }
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
            round(
                SectionReader(section: section, path: "\(reader.path).\(section.name.text)", log: log), end,
                isAlone: sections.count == 1)
        }
    }

    private func round(_ reader: SectionReader, _ end: String, isAlone: Bool) -> AuthenticationRound {
        reader.check(keys: KnownKeys.authentication) { section in
            // Sections for single certificates.
            let name = section.name.text
            guard name.hasPrefix("cert") && !name.hasPrefix("cert_") || name.hasPrefix("cacert") else { return false }
            let inner = SectionReader(section: section, path: "\(reader.path).\(name)", log: log)
            inner.check(keys: KnownKeys.certificate) { _ in false }
            if inner.setting("file") == nil { log.report("\(inner.path) has no 'file'", at: section.name.position) }
            return true
        }
        _ = reader.unsigned("round", 0...UInt64(UInt32.max))
        var round = AuthenticationRound(method(reader) ?? .preSharedKey)
        let isOwnUser = round.method == .extendedAuthentication && end == "local"
        if let setting = reader.setting("auth"), setting.value.text.lowercased() == "xauth-radius" {
            round.asksServer = true
            if end == "local" {
                log.report(
                    "'auth = xauth-radius' in \(reader.path) is for a remote round: the gateway asks an authentication "
                        + "server", at: setting.value.position)
            }
        }
        if !isOwnUser, let setting = reader.setting("xauth_id") {
            log.report(
                "'xauth_id' in \(reader.path) belongs to a local round with auth = xauth", at: setting.key.position)
        }
        round.identity =
            end == "local" ? localIdentity(reader, isOwnUser ? "xauth_id" : "id") : remoteIdentity(reader)
        if round.method == .null {
            for key in ["id", "certs", "cacerts", "pubkeys", "revocation"] {
                guard let setting = reader.setting(key) else { continue }
                log.report(
                    "'\(key)' in \(reader.path) does not go together with auth = null: nobody shows who it is",
                    at: setting.key.position)
            }
            round.identity = end == "local" ? .exactly(.null) : .any
        }
        if isOwnUser, isAlone, case .exactly(let host) = localIdentity(reader, "id") {
            round.hostIdentity = host
            if round.identity == .any { round.identity = .exactly(host) }
        }
        if let setting = reader.setting("eap_id") {
            if round.method.userMethod == nil {
                log.report(
                    "'eap_id' in \(reader.path) belongs to a round with auth = eap-…", at: setting.key.position)
            }
            round.userIdentity = end == "local" ? localIdentity(reader, "eap_id") : identityPattern(setting, reader)
        }
        serverIdentity(of: &round, reader, end)
        if let setting = reader.setting("peap_binding") {
            round.asksBinding = reader.boolean("peap_binding") ?? false
            if end == "local" || round.method != .extensible(.peap) {
                log.report(
                    "'peap_binding' in \(reader.path) belongs to a remote round with auth = eap-peap",
                    at: setting.key.position)
            }
        }
        (round.publicKeyFiles, round.publicKeys) = publicKeys(reader)
        round.certificates = certificates(reader, end)
        round.certificates.tunnel = tunnelConstraint(reader)
        if end == "remote" { demands(of: &round, reader) }
        groups(of: &round, reader, end)
        return round
    }

    /// swanctl's default is `pubkey`.
    private func method(_ reader: SectionReader) -> AuthenticationMethod? {
        guard let setting = reader.setting("auth") else { return .publicKey(KeyConstraint()) }
        let text = setting.value.text.lowercased()
        if let method = AuthenticationMethod(keyword: text) { return method }
        if let (method, _) = Self.tunnel(text) { return .extensible(method) }
        let (isAboutKeys, constraint) = keyConstraint(text, setting, reader)
        if isAboutKeys { return constraint.map { .publicKey($0) } }
        let known = AuthenticationMethod.keywords
        if KnownKeys.unsupportedAuthentication.contains(where: { text.hasPrefix($0) }) {
            log.report(
                "'auth = \(setting.value.text.excerpt)' in \(reader.path) is \(SectionReader.notSupported); only "
                    + known.map { "'\($0)'" }.joined(separator: ", ") + " are",
                at: setting.value.position)
        } else {
            reader.wrong(
                setting, expected: known.dropLast().joined(separator: ", ") + " or " + (known.last ?? ""),
                suggestion: NearestName.find(text, in: known))
        }
        return nil
    }

    /// The files of certificates that a round names. What they hold is read where the keys are.
    private func certificates(_ reader: SectionReader, _ end: String) -> CertificateConstraints {
        var constraints = CertificateConstraints()
        constraints.certificateFiles = reader.setting("certs").map { ValueGrammar.list($0.value.text) } ?? []
        for key in ["cacerts", "revocation", "ca_id", "cert_policy"] where end == "local" {
            guard let setting = reader.setting(key) else { continue }
            log.report(
                "'\(key)' in \(reader.path) is for the peer: it belongs into a remote section", at: setting.key.position
            )
        }
        constraints.authorityFiles = reader.setting("cacerts").map { ValueGrammar.list($0.value.text) } ?? []
        for inner in reader.section.sections {
            guard let file = inner.setting("file")?.value.text, !file.isEmpty else { continue }
            if inner.name.text.hasPrefix("cacert"), end == "remote" {
                constraints.authorityFiles.append(file)
            } else if inner.name.text.hasPrefix("cert") {
                constraints.certificateFiles.append(file)
            } else {
                log.report(
                    "'\(inner.name.text)' in \(reader.path) is for the peer: it belongs into a remote section",
                    at: inner.name.position)
            }
        }
        constraints.revocation =
            reader.word("revocation", RevocationPolicy.allCases.map { ($0.rawValue, $0) }) ?? .relaxed
        return constraints
    }

    /// Whom the certificate of TLS's server inside EAP must name.
    private func serverIdentity(
        of round: inout AuthenticationRound, _ reader: SectionReader, _ end: String
    ) {
        guard let setting = reader.setting("aaa_id") else { return }
        let methods: [UserMethod] = [.any, .tls, .ttls, .peap]
        guard end == "local", let method = round.method.userMethod, methods.contains(method) else {
            log.report(
                "'aaa_id' in \(reader.path) belongs to a local round with auth = eap-tls, eap-ttls, eap-peap or eap",
                at: setting.key.position)
            return
        }
        guard case .exactly(let identity)? = identityPattern(setting, reader) else {
            reader.wrong(
                setting, expected: "one identity, without '*': whoever has a certificate is no such server")
            return
        }
        round.serverIdentity = identity
    }

    /// The files that `pubkeys` names, and the keys in those that can be read.
    private func publicKeys(_ reader: SectionReader) -> (files: [String], keys: [PublicKey]) {
        guard let setting = reader.setting("pubkeys") else { return ([], []) }
        let files = ValueGrammar.list(setting.value.text)
        var keys: [PublicKey] = []
        for file in files {
            // Over the control socket the key itself comes.
            let inline = file.hasPrefix("0x") ? [UInt8](hex: file.dropFirst(2)) : nil
            switch inline.map({ .success($0) }) ?? keyFiles(file) {
            case .failure(let failure):
                log.report(
                    "cannot read the key file '\(file.excerpt)' in \(reader.path): \(failure.reason)",
                    at: reader.position(of: file, in: setting))
            case .success(let octets):
                do throws(KeyDefect) {
                    keys.append(try PublicKey(parsing: octets))
                } catch {
                    log.report(
                        "'\(file.excerpt)' in \(reader.path) holds no public key that can be used: \(error.text)",
                        at: reader.position(of: file, in: setting))
                }
            }
        }
        return (files, keys)
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

extension AuthenticationMethod {
    /// The values of `auth` that are understood; those of key pairs also joined and with bits and hashes (``KeyConstraintGrammar``).
    fileprivate static let keywords = [
        "psk", "null", "xauth", "eap", "eap-md5", "eap-gtc", "eap-mschapv2", "eap-tls", "eap-ttls", "eap-peap",
        "eap-radius", "xauth-radius", "pubkey", "rsa", "ecdsa", "ed25519", "ed448",
        "dss", "rsa-encryption", "rsa-encryption-revised",
    ]

    fileprivate init?(keyword: String) {
        switch keyword {
        case "psk": self = .preSharedKey
        case "null": self = .null
        case "xauth", "xauth-generic", "xauth-radius": self = .extendedAuthentication
        case "rsa-encryption": self = .publicKeyEncryption
        case "rsa-encryption-revised": self = .revisedPublicKeyEncryption
        case let text where UserMethod(rawValue: text) != nil: self = .extensible(UserMethod(rawValue: text) ?? .any)
        default: return nil
        }
    }

    /// What both ends must have in common: 0 a shared key, 1 signatures, 2 and 3 encrypted nonces.
    fileprivate var kind: Int {
        switch self {
        case .preSharedKey, .extendedAuthentication, .extensible, .null: 0
        case .publicKey: 1
        case .publicKeyEncryption: 2
        case .revisedPublicKeyEncryption: 3
        }
    }
}

extension KeyDefect {
    fileprivate var text: String {
        switch self {
        case .unreadable: "it is neither PEM nor DER of one"
        case .passphrase: "it is encrypted"
        case .unsupported(let what): what
        }
    }
}
