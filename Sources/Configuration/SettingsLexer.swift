/// Splits a settings file into tokens, each with its place. Values and include patterns have rules of their own, and
/// the parser asks for them where they must come.
struct SettingsLexer {
    struct Token {
        enum Kind: Hashable {
            case name(String)
            case openingBrace, closingBrace, equals, colon, comma
            case newline
            case end
            /// Text that starts no token; the reason is a message.
            case malformed(String)
        }
        var kind: Kind
        var position: SourcePosition

        /// The character of a punctuation token.
        var text: String {
            switch kind {
            case .name(let text): text
            case .openingBrace: "{"
            case .closingBrace: "}"
            case .equals: "="
            case .colon: ":"
            case .comma: ","
            case .newline: "end of line"
            case .end: "end of file"
            case .malformed: ""
            }
        }
    }

    struct Failure {
        var message: String
        var position: SourcePosition
    }

    private let file: String
    private let characters: [Character]
    private var index = 0
    private var line = 1
    private var column = 1
    private var pending: Token?

    init(_ source: SourceFile) {
        file = source.name
        characters = Array(source.text)
    }

    private var position: SourcePosition { SourcePosition(file: file, line: line, column: column) }
    private var current: Character? { index < characters.count ? characters[index] : nil }

    private mutating func advance() {
        if let current, current.isNewline {
            line += 1
            column = 1
        } else {
            column += 1
        }
        index += 1
    }

    /// Hands a token out again.
    mutating func putBack(_ token: Token) { pending = token }

    mutating func next() -> Token {
        if let token = pending {
            pending = nil
            return token
        }
        while let character = current {
            let start = position
            func single(_ kind: Token.Kind) -> Token { Token(kind: kind, position: start) }
            switch character {
            case _ where character.isNewline:
                advance()
                return single(.newline)
            case " ", "\t":
                advance()
            case "#":
                while let character = current, !character.isNewline { advance() }
            case "{", "}", "=", ":", ",":
                advance()
                let kinds: [Character: Token.Kind] = [
                    "{": .openingBrace, "}": .closingBrace, "=": .equals, ":": .colon,
                ]
                return single(kinds[character] ?? .comma)
            case "\"":
                let (text, failure) = quoted()
                if let failure { return Token(kind: .malformed(failure.message), position: failure.position) }
                return single(.name(text))
            default:
                var text = ""
                while let character = current, !character.isNewline, !" \t#{}:,=\"".contains(character) {
                    text.append(character)
                    advance()
                }
                return single(.name(text))
            }
        }
        return Token(kind: .end, position: position)
    }

    /// Whether only white space, comments and line ends lie before a `{`.
    func nextIsBrace() -> Bool {
        var copy = self
        var token = copy.next()
        while token.kind == .newline { token = copy.next() }
        return token.kind == .openingBrace
    }

    mutating func skipLine() {
        while let character = current, !character.isNewline { advance() }
    }

    /// What stands behind `=`: words up to the line's end, a comment or a closing brace, joined by one space; a quoted
    /// part is taken as it is.
    mutating func value() -> (SpannedText, Failure?) {
        skipBlanks()
        var value = SpannedText("", at: position)
        var isFirst = true
        while let character = current, !character.isNewline, character != "#", character != "}" {
            if character == " " || character == "\t" {
                advance()
                continue
            }
            if isFirst { value.position = position } else { value.text += " " }
            isFirst = false
            if character == "\"" {
                let (text, failure) = quoted()
                value.text += text
                if let failure { return (value, failure) }
            } else {
                value.text += word(until: " \t#}\"")
            }
        }
        return (value, nil)
    }

    /// The pattern behind `include`, or `nil` where the word is an ordinary key or section name.
    mutating func includePattern() -> SpannedText? {
        var copy = self
        copy.skipBlanks()
        guard copy.position != position, let character = copy.current, character != "=", character != "{" else {
            return nil
        }
        skipBlanks()
        let start = position
        if character.isNewline || character == "#" { return SpannedText("", at: start) }
        if character == "\"" { return SpannedText(quoted().0, at: start) }
        return SpannedText(word(until: " \t#}\""), at: start)
    }

    private mutating func word(until stop: String) -> String {
        var text = ""
        while let character = current, !character.isNewline, !stop.contains(character) {
            text.append(character)
            advance()
        }
        return text
    }

    private mutating func skipBlanks() {
        while let character = current, character == " " || character == "\t" { advance() }
    }

    /// A quoted text at the opening quote: `\n`, `\r`, `\t`, `\b` and `\f` are control characters, a backslash before
    /// the line's end joins the lines, before anything else it stands for that; lines may end inside.
    private mutating func quoted() -> (String, Failure?) {
        let start = position
        let escapes: [Character: Character] = ["n": "\n", "r": "\r", "t": "\t", "b": "\u{8}", "f": "\u{C}"]
        var text = ""
        advance()
        while let character = current {
            advance()
            switch character {
            case "\"":
                return (text, nil)
            case "\\":
                guard let escaped = current else { break }
                advance()
                if escaped.isNewline { continue }
                text.append(escapes[escaped] ?? escaped)
            default:
                text.append(character)
            }
        }
        return (text, Failure(message: "quoted text is not closed: '\"' is missing", position: start))
    }
}
