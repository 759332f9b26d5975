/// A file's name, for messages and for relative includes, and its text.
package struct SourceFile: Hashable, Sendable {
    package var name: String
    package var text: String

    package init(name: String, text: String) {
        self.name = name
        self.text = text
    }
}

/// Why a file that was to be included cannot be, in words.
package struct IncludeFailure: Error, Hashable, Sendable {
    package var reason: String
    package init(_ reason: String) { self.reason = reason }
}

/// Finds the files that an `include` names. The pattern is as written; a relative one starts at the folder of the file
/// `from`. No file for a pattern with wildcards is no failure.
package typealias IncludeLoader = (_ pattern: String, _ from: String) -> Result<[SourceFile], IncludeFailure>

/// Parser of strongSwan's settings syntax: sections, settings, comments, quoting, references and includes. It carries
/// on after an error, so that one reading shows all of them.
package struct SettingsParser {
    /// Files inside files, as charon limits them.
    static let maximumIncludeDepth = 10
    /// Errors after which reading stops: the rest would be noise.
    static let maximumDiagnostics = 200

    private var lexer: SettingsLexer
    private let loader: IncludeLoader
    private let depth: Int
    private var diagnostics: [Diagnostic] = []

    /// Reads a file with all that it includes and resolves its references. The tree holds what could be read, whatever
    /// the diagnostics say.
    package static func parse(
        _ file: SourceFile, loader: @escaping IncludeLoader = { pattern, _ in .failure(IncludeFailure("cannot read")) }
    ) -> (settings: ResolvedSettings, diagnostics: [Diagnostic]) {
        var root = SettingsSection(name: SpannedText("", at: SourcePosition(file: file.name, line: 1, column: 1)))
        var parser = SettingsParser(file, loader: loader, depth: 0)
        parser.parseStatements(into: &root, nesting: 0)
        var diagnostics = parser.diagnostics
        let settings = root.resolved(&diagnostics)
        return (settings, diagnostics)
    }

    private init(_ file: SourceFile, loader: @escaping IncludeLoader, depth: Int) {
        lexer = SettingsLexer(file)
        self.loader = loader
        self.depth = depth
    }

    private mutating func report(_ message: String, at position: SourcePosition) {
        if diagnostics.count < SettingsParser.maximumDiagnostics {
            diagnostics.append(Diagnostic(message, at: position))
        }
    }

    /// Statements up to the closing brace of this section, or to the file's end for the outermost.
    private mutating func parseStatements(into section: inout SettingsSection, nesting: Int) {
        while diagnostics.count < SettingsParser.maximumDiagnostics {
            let token = lexer.next()
            switch token.kind {
            case .newline:
                continue
            case .end:
                if nesting > 0 {
                    report("section '\(section.name.text)' is not closed: '}' is missing", at: section.name.position)
                }
                return
            case .closingBrace:
                if nesting > 0 { return }
                report("unexpected '}': no section is open", at: token.position)
            case .name(let text):
                let name = SpannedText(text, at: token.position)
                if text == "include", let pattern = lexer.includePattern() {
                    include(pattern, into: &section)
                } else {
                    parseStatement(name, into: &section, nesting: nesting)
                }
            case .malformed(let reason):
                report(reason, at: token.position)
                lexer.skipLine()
            case .openingBrace, .equals, .colon, .comma:
                report("unexpected '\(token.text)': a key or a section's name must come first", at: token.position)
                token.kind == .openingBrace ? skipSection() : lexer.skipLine()
            }
        }
    }

    /// What follows a name: `= value`, `{ … }`, or `: references { … }`.
    private mutating func parseStatement(_ name: SpannedText, into section: inout SettingsSection, nesting: Int) {
        var token = lexer.next()
        // A brace may stand on the line below the name.
        while token.kind == .newline, lexer.nextIsBrace() { token = lexer.next() }
        switch token.kind {
        case .equals:
            let (value, failure) = lexer.value()
            if let failure { report(failure.message, at: failure.position) }
            section.set(Setting(key: name, value: value))
        case .openingBrace:
            parseSection(name, references: [], into: &section, nesting: nesting)
        case .colon:
            let references = parseReferences()
            guard let references else { return }
            parseSection(name, references: references, into: &section, nesting: nesting)
        case .malformed(let reason):
            report(reason, at: token.position)
            lexer.skipLine()
        case .newline, .end, .closingBrace, .comma, .name:
            // Not named: it may be the half of a secret that stands on the wrong line.
            report("'= value' or '{ … }' must follow this name", at: name.position)
            if token.kind == .closingBrace { lexer.putBack(token) } else if token.kind != .newline { lexer.skipLine() }
        }
    }

    private mutating func parseSection(
        _ name: SpannedText, references: [SpannedText], into parent: inout SettingsSection, nesting: Int
    ) {
        if name.text.contains(".") {
            report("a section's name cannot hold '.', which separates the parts of references", at: name.position)
        }
        guard nesting < SettingsSection.maximumDepth else {
            report("sections nest deeper than \(SettingsSection.maximumDepth) levels", at: name.position)
            skipSection()
            return
        }
        var section = SettingsSection(name: name)
        section.references = references
        parseStatements(into: &section, nesting: nesting + 1)
        parent.merge(section)
    }

    /// `path, path {`; `nil` after an error.
    private mutating func parseReferences() -> [SpannedText]? {
        var references: [SpannedText] = []
        var expectsName = true
        while true {
            let token = lexer.next()
            switch token.kind {
            case .newline where lexer.nextIsBrace() || !references.isEmpty && expectsName:
                continue
            case .name(let text) where expectsName:
                references.append(SpannedText(text, at: token.position))
                expectsName = false
            case .comma where !expectsName:
                expectsName = true
            case .openingBrace where !expectsName:
                return references
            default:
                report(
                    expectsName ? "the path of a section must follow here" : "expected ',' or '{' after a reference",
                    at: token.position)
                if token.kind == .openingBrace {
                    skipSection()
                } else if token.kind == .closingBrace {
                    lexer.putBack(token)
                } else if token.kind != .newline {
                    lexer.skipLine()
                }
                return nil
            }
        }
    }

    /// Leaves a section out whose head was wrong.
    private mutating func skipSection() {
        var open = 1
        while open > 0 {
            switch lexer.next().kind {
            case .openingBrace: open += 1
            case .closingBrace: open -= 1
            case .equals: _ = lexer.value()
            case .end: return
            case .newline, .name, .colon, .comma, .malformed: continue
            }
        }
    }

    private mutating func include(_ pattern: SpannedText, into section: inout SettingsSection) {
        guard !pattern.text.isEmpty else {
            report("'include' needs the path of a file behind it", at: pattern.position)
            return
        }
        guard depth < SettingsParser.maximumIncludeDepth else {
            report(
                "files include each other more than \(SettingsParser.maximumIncludeDepth) levels deep",
                at: pattern.position)
            return
        }
        switch loader(pattern.text, pattern.position.file) {
        case .failure(let failure):
            report("cannot include '\(pattern.text)': \(failure.reason)", at: pattern.position)
        case .success(let files):
            for file in files {
                var parser = SettingsParser(file, loader: loader, depth: depth + 1)
                parser.diagnostics = diagnostics
                parser.parseStatements(into: &section, nesting: 0)
                diagnostics = parser.diagnostics
            }
        }
    }
}
