import IPsec

/// Reads what `auth` says about key pairs: kinds of keys with the bits that they need and the hashes that they sign with, joined by
/// hyphens, `ike:` in front of those that are for signatures in AUTH (`rsa-3072-sha256-ecdsa-256-sha256-ike:pubkey-sha512`).
enum KeyConstraintGrammar {
    enum Failure: Error {
        /// It does not begin with a kind of keys.
        case otherMethod
        /// Why it makes no sense, as the end of a sentence.
        case wrong(String)
    }

    private static let prefix = "ike:"
    /// Kinds of keys and hashes that may stand in one value.
    private static let maximumWords = 64

    static func parse(_ text: String) throws(Failure) -> KeyConstraint {
        var clauses: [KeyConstraint.Clause] = []
        let words = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard words.count <= maximumWords else { throw .wrong("more than \(maximumWords) words") }
        for word in words {
            if let clause = clause(word) {
                clauses.append(clause)
                continue
            }
            guard let last = clauses.indices.last else { throw .otherMethod }
            try add(word, to: &clauses[last])
        }
        for clause in clauses { try check(clause, isAlone: clauses.count == 1) }
        return KeyConstraint(clauses)
    }

    private static func clause(_ word: String) -> KeyConstraint.Clause? {
        let isForMessages = word.hasPrefix(prefix)
        return KeyConstraint.Family(rawValue: String(isForMessages ? word.dropFirst(prefix.count)[...] : word[...]))
            .map { KeyConstraint.Clause($0, isForMessages: isForMessages) }
    }

    private static func add(_ word: String, to clause: inout KeyConstraint.Clause) throws(Failure) {
        if let hash = SignatureHash.keywords.first(where: { $0.word == word })?.hash {
            if clause.hashes.contains(hash) {
                throw .wrong("'\(word)' stands twice behind '\(clause.family.rawValue)'")
            }
            clause.hashes.append(hash)
            return
        }
        if ["md5", "sha1", "sha224"].contains(word) {
            throw .wrong("no signature over '\(word)' is taken here, so leave it out")
        }
        guard let bits = Int(word), (1...16_384).contains(bits) else {
            throw .wrong(
                "'\(word.excerpt)' is no kind of keys, no number of bits up to 16384, and no hash (sha256, sha384, sha512, "
                    + "identity)")
        }
        guard [.rsa, .pss, .ecdsa].contains(clause.family), clause.minimumBits == 0, clause.hashes.isEmpty else {
            throw .wrong("a number of bits stands right behind rsa, rsa/pss or ecdsa, and '\(word)' does not")
        }
        clause.minimumBits = bits
    }

    private static func check(_ clause: KeyConstraint.Clause, isAlone: Bool) throws(Failure) {
        let name = clause.family.rawValue
        switch clause.family {
        case .any: break
        case .pss where clause.hashes.isEmpty:
            throw .wrong("'\(name)' wants no padding without a hash behind it: write \(name)-sha256")
        case .rsa, .pss, .ecdsa:
            if clause.hashes.contains(.identity) {
                throw .wrong("'\(name)' signs with a hash, and not with 'identity'")
            }
        case .ed25519, .ed448:
            if clause.hashes.contains(where: { $0 != .identity }) {
                throw .wrong("'\(name)' signs without a hash: write 'identity' instead")
            }
        case .dss:
            guard isAlone, clause.hashes.isEmpty, !clause.isForMessages else {
                throw .wrong("'\(name)' stands alone")
            }
        }
    }
}

extension ConfigurationChecker {
    /// What `auth` wants of key pairs, if it is about them; reports what makes no sense.
    func keyConstraint(
        _ text: String, _ setting: Setting, _ reader: SectionReader
    ) -> (isAboutKeys: Bool, constraint: KeyConstraint?) {
        do throws(KeyConstraintGrammar.Failure) {
            return (true, try KeyConstraintGrammar.parse(text))
        } catch {
            guard case .wrong(let reason) = error else { return (false, nil) }
            log.report(
                "wrong value '\(setting.value.text.excerpt)' for 'auth' in \(reader.path): \(reason)",
                at: setting.value.position)
            return (true, nil)
        }
    }

    /// What stands behind the colon of `eap-tls:rsa-3072-sha256`: what is wanted of the certificates in TLS.
    func tunnelConstraint(_ reader: SectionReader) -> KeyConstraint? {
        guard let setting = reader.setting("auth"), let (method, rest) = Self.tunnel(setting.value.text) else {
            return nil
        }
        guard [.tls, .ttls, .peap].contains(method) else {
            log.report(
                "wrong value '\(setting.value.text.excerpt)' for 'auth' in \(reader.path): certificates are judged here "
                    + "with eap-tls, eap-ttls and eap-peap alone, so that nothing stands behind the colon",
                at: setting.value.position)
            return nil
        }
        let (isAboutKeys, constraint) = keyConstraint(rest, setting, reader)
        if !isAboutKeys {
            reader.wrong(setting, expected: "kinds of keys behind the colon, such as eap-tls:rsa-3072-sha256")
        } else if constraint?.clauses.contains(where: \.isForMessages) == true {
            reader.wrong(setting, expected: "nothing with 'ike:': TLS signs in its own way")
            return nil
        }
        return constraint
    }

    /// The method in front of a colon and what is behind it.
    static func tunnel(_ text: String) -> (method: UserMethod, rest: String)? {
        let text = text.lowercased()
        guard let colon = text.firstIndex(of: ":"), let method = UserMethod(rawValue: String(text[..<colon])) else {
            return nil
        }
        return (method, String(text[text.index(after: colon)...]))
    }
}

extension Configuration.Settings {
    /// A connection whose demands mean what charon's own settings say.
    func settingSignatures(of connection: Connection) -> Connection {
        var connection = connection
        connection.signsDigitally = signsDigitally
        for end in [\Connection.local, \Connection.remote] {
            for index in connection[keyPath: end].indices {
                let round = connection[keyPath: end][index]
                if let constraint = round.method.keyConstraint {
                    connection[keyPath: end][index].method = .publicKey(asSet(constraint))
                }
                connection[keyPath: end][index].certificates.tunnel = round.certificates.tunnel.map(asSet)
            }
        }
        return connection
    }

    private func asSet(_ constraint: KeyConstraint) -> KeyConstraint {
        var constraint = constraint
        constraint.bindsMessages = bindsMessages
        constraint.prefersPSS = prefersPSS
        return constraint
    }
}
