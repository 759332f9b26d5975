/// Collects diagnostics while a tree is checked.
final class DiagnosticLog {
    private(set) var diagnostics: [Diagnostic] = []
    /// What changes nothing here, where a file may hold such things.
    private(set) var notes: [Diagnostic] = []

    func note(_ message: String, at position: SourcePosition, suggestion: String? = nil) {
        notes.append(Diagnostic(message, at: position, suggestion: suggestion))
    }

    func report(_ message: String, at position: SourcePosition, suggestion: String? = nil) {
        diagnostics.append(Diagnostic(message, at: position, suggestion: suggestion))
    }
}

/// Reads one section's values by type, and reports what is wrong with each.
struct SectionReader {
    static let notSupported = "known to swanctl, not supported by this version"

    let section: SettingsSection
    /// Dotted, as messages name it: `connections.home`.
    let path: String
    let log: DiagnosticLog

    /// Reports every key that is not `supported`, and every section that `knows` does not accept.
    ///
    /// - Parameters:
    ///   - numbered: keys that may carry any suffix (`id`, `id-1`).
    ///   - sections: names that suggestions may offer.
    ///   - knows: whether a section of that name belongs here; it reports itself what it refuses by name.
    func check(
        keys: [String: KeyRule], numbered: [String] = [], sections: [String] = [], knows: (SettingsSection) -> Bool
    ) {
        for setting in section.settings {
            let key = setting.name
            if let rule = keys[key] {
                refuse(setting, rule)
            } else if !numbered.contains(where: { key.hasPrefix($0) }) {
                if sections.contains(key) {
                    log.report("'\(key)' in \(path) is a section: write '\(key) { … }'", at: setting.key.position)
                } else {
                    log.report(
                        "unknown key '\(key.excerpt)' in \(path)", at: setting.key.position,
                        suggestion: NearestName.find(key, in: offered(keys) + numbered + sections))
                }
            }
        }
        for inner in section.sections where !knows(inner) {
            let name = inner.name.text
            if keys[name] != nil {
                log.report("'\(name)' in \(path) is a key: write '\(name) = …'", at: inner.name.position)
            } else {
                log.report(
                    "unknown section '\(name.excerpt)' in \(path)", at: inner.name.position,
                    suggestion: NearestName.find(name, in: sections + offered(keys)))
            }
        }
    }

    /// Octets, with a suffix that multiplies them where wanted.
    func octets(_ key: String) -> UInt64? {
        value(key, expected: "octets such as 1000000, 500k, 100m or 1g", ValueGrammar.octets)
    }

    /// Keys that can be suggested: the supported ones first, so that they win among equals.
    private func offered(_ keys: [String: KeyRule]) -> [String] {
        func isSupported(_ rule: KeyRule) -> Bool { if case .supported = rule { true } else { false } }
        let sorted = keys.sorted { $0.key < $1.key }
        return sorted.filter { isSupported($0.value) }.map(\.key) + sorted.filter { !isSupported($0.value) }.map(\.key)
    }

    private func refuse(_ setting: Setting, _ rule: KeyRule) {
        switch rule {
        case .supported: break
        case .fixed(let values, let reason):
            if setting.value.text.isEmpty || values.contains(setting.value.text.lowercased()) { break }
            log.report(
                "'\(setting.name) = \(setting.value.text.excerpt)' in \(path) is \(SectionReader.notSupported); "
                    + "only '\(values[0])' is: \(reason)",
                at: setting.value.position)
        case .unsupported(let reason):
            log.report(
                "'\(setting.name)' in \(path) is \(SectionReader.notSupported): \(reason)", at: setting.key.position)
        }
    }

    /// The setting, unless it is absent or empty.
    func setting(_ key: String) -> Setting? {
        guard let setting = section.setting(key), !setting.value.text.isEmpty else { return nil }
        return setting
    }

    /// A value by its grammar; `nil` where it is absent, or wrong and reported.
    func value<Value>(_ key: String, expected: String, _ parse: (String) -> Value?) -> Value? {
        guard let setting = setting(key) else { return nil }
        if let value = parse(setting.value.text) { return value }
        wrong(setting, expected: expected)
        return nil
    }

    /// Every part of a comma-separated list by its grammar; `nil` where the key is absent or a part is wrong.
    func list<Value>(_ key: String, expected: String, _ parse: (String) -> Value?) -> [Value]? {
        guard let setting = setting(key) else { return nil }
        let parts = ValueGrammar.list(setting.value.text)
        var values: [Value] = []
        for part in parts {
            if let value = parse(part) {
                values.append(value)
            } else {
                log.report(
                    "wrong value '\(part.excerpt)' for '\(key)' in \(path): expected \(expected)",
                    at: position(of: part, in: setting))
            }
        }
        if parts.isEmpty { wrong(setting, expected: expected) }
        return values.count == parts.count && !values.isEmpty ? values : nil
    }

    func wrong(_ setting: Setting, expected: String, suggestion: String? = nil) {
        log.report(
            "wrong value '\(setting.value.text.excerpt)' for '\(setting.name)' in \(path): expected \(expected)",
            at: setting.value.position, suggestion: suggestion)
    }

    func time(_ key: String) -> Duration? {
        value(key, expected: "a time such as 30s, 5m, 1h or 1d", ValueGrammar.time)
    }

    func boolean(_ key: String) -> Bool? { value(key, expected: "yes or no", ValueGrammar.boolean) }

    func unsigned(_ key: String, _ range: ClosedRange<UInt64>) -> UInt64? {
        value(key, expected: "a number from \(range.lowerBound) to \(range.upperBound)") { text in
            ValueGrammar.unsigned(text).flatMap { range.contains($0) ? $0 : nil }
        }
    }

    /// One of several words, some of which may be known and refused.
    ///
    /// - Parameter refused: words with the reason why they are.
    func word<Value>(_ key: String, _ words: [(String, Value)], refused: [String: String] = [:]) -> Value? {
        guard let setting = setting(key) else { return nil }
        let text = setting.value.text.lowercased()
        if let value = words.first(where: { $0.0 == text })?.1 { return value }
        if let reason = refused[text] {
            log.report(
                "'\(key) = \(text)' in \(path) is \(SectionReader.notSupported): \(reason)",
                at: setting.value.position)
        } else {
            let names = words.map(\.0)
            let expected = names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
            wrong(setting, expected: expected, suggestion: NearestName.find(text, in: names))
        }
        return nil
    }

    /// Where a part of a list stands; the value's start where it cannot be told.
    func position(of part: String, in setting: Setting) -> SourcePosition {
        var position = setting.value.position
        var offset = 0
        for piece in setting.value.text.split(separator: ",", omittingEmptySubsequences: false) {
            if ValueGrammar.trimmed(piece) == part {
                position.column += offset + piece.prefix(while: \.isWhitespace).count
                return position
            }
            offset += piece.count + 1
        }
        return position
    }
}
