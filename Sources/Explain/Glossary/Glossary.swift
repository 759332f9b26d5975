/// What a name or number stands for: one of the senses that it has.
package struct Meaning: Hashable, Sendable {
    package let name: String
    package let number: Int?
    /// What sort of word it is.
    package let kind: String
    /// One sentence, without a full stop.
    package let means: String
    /// Who sends it, when; `nil` where nobody does.
    package let sender: String?
    /// What helps; `nil` where nothing is wrong.
    package let remedy: String?
    package let reference: String?

    init(
        _ name: String, number: Int? = nil, kind: String, means: String, sender: String? = nil, remedy: String? = nil,
        reference: String? = nil
    ) {
        self.name = name
        self.number = number
        self.kind = kind
        self.means = means
        self.sender = sender
        self.remedy = remedy
        self.reference = reference
    }
}

/// Words that logs and refusals hold, explained from the tables that print them.
package enum Glossary {
    private static let words: [Meaning] =
        NotificationMeanings.version2 + NotificationMeanings.version1 + PayloadMeanings.all + RefusalWords.all

    /// Every name, once, in order of the alphabet.
    package static let names: [String] = Set(words.map(\.name)).sorted()

    /// Every sense of a name, in any case and with `-`, `_` or space between its parts, or of a number.
    package static func meanings(of word: String) -> [Meaning] {
        if let number = Int(word) { return words.filter { $0.number == number } }
        let wanted = plain(word)
        return words.filter { plain($0.name) == wanted }
    }

    private static func plain(_ word: String) -> String {
        String(word.lowercased().map { $0 == "-" || $0 == " " ? "_" : $0 })
    }

    /// The senses as text.
    package static func lines(_ meanings: [Meaning]) -> [String] {
        meanings.enumerated().flatMap { index, meaning in
            let number = meaning.number.map { " (\($0))" } ?? ""
            var lines = index == 0 ? [] : [""]
            lines.append("\(meaning.name)\(number): \(meaning.kind)")
            lines += wrapped("means", meaning.means)
            if let sender = meaning.sender { lines += wrapped("sent by", sender) }
            if let remedy = meaning.remedy { lines += wrapped("to do", remedy) }
            if let reference = meaning.reference { lines += wrapped("see", reference) }
            return lines
        }
    }

    private static func wrapped(_ label: String, _ text: String) -> [String] {
        let indentation = String(repeating: " ", count: 11)
        var line = "  \(label)" + String(repeating: " ", count: 9 - label.count)
        var lines: [String] = []
        var isEmpty = true
        for word in text.split(separator: " ") {
            if !isEmpty, line.count + 1 + word.count > 96 {
                lines.append(line)
                line = indentation
                isEmpty = true
            }
            line += isEmpty ? "\(word)" : " \(word)"
            isEmpty = false
        }
        return lines + [line]
    }
}
