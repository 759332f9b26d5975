/// Where something stands in a configuration file. Lines and columns count from 1; columns count characters.
package struct SourcePosition: Hashable, Sendable, CustomStringConvertible {
    package var file: String
    package var line: Int
    package var column: Int

    package init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }

    /// `swanctl.conf:12:5`.
    package var description: String { "\(file):\(line):\(column)" }
}

/// One thing that is wrong with a configuration, and what was probably meant.
package struct Diagnostic: Hashable, Sendable, CustomStringConvertible {
    package var position: SourcePosition
    package var message: String
    /// The nearest known name, where one is near.
    package var suggestion: String?

    package init(_ message: String, at position: SourcePosition, suggestion: String? = nil) {
        self.position = position
        self.message = message
        self.suggestion = suggestion
    }

    /// `FILE:LINE:COLUMN: MESSAGE; did you mean 'NAME'?`
    package var description: String {
        "\(position): \(message)" + (suggestion.map { "; did you mean '\($0)'?" } ?? "")
    }
}

/// Everything that is wrong with a configuration, in the order of the files.
package struct ConfigurationErrors: Error, Hashable, Sendable, CustomStringConvertible {
    package var diagnostics: [Diagnostic]

    package init(_ diagnostics: [Diagnostic]) { self.diagnostics = diagnostics }

    /// One line each.
    package var description: String { diagnostics.map(\.description).joined(separator: "\n") }
}

extension String {
    /// The text as messages show it: its first line, and not more of it than helps. A forgotten quote can make a value of
    /// half a file, secrets and all.
    var excerpt: String {
        let line = prefix { !$0.isNewline }
        let shown = line.prefix(80)
        return shown.count == count ? self : shown + "…"
    }
}

/// Finds the name that was probably meant.
package enum NearestName {
    /// The closest of `names` by Damerau–Levenshtein distance; `nil` where more than a third of the letters (at least
    /// one, at most three) differ. The first of equals wins.
    package static func find(_ name: String, in names: [String]) -> String? {
        let limit = min(3, max(1, name.count / 3))
        var best: (name: String, distance: Int)?
        for candidate in names where abs(candidate.count - name.count) <= limit {
            let distance = distance(name.lowercased(), candidate.lowercased())
            if distance <= limit, distance < best?.distance ?? .max { best = (candidate, distance) }
        }
        return best?.name
    }

    /// Insertions, deletions, replacements and swaps of neighbours that turn `left` into `right`.
    static func distance(_ left: String, _ right: String) -> Int {
        // Names longer than any key are never near one; the bound keeps hostile files cheap.
        let left = Array(left.utf8.prefix(64))
        let right = Array(right.utf8.prefix(64))
        var rows = [Array(0...right.count)]
        for row in 1..<(left.count + 1) {
            var current = [row]
            for column in 1..<(right.count + 1) {
                let cost = left[row - 1] == right[column - 1] ? 0 : 1
                var value = min(
                    rows[row - 1][column] + 1, current[column - 1] + 1, rows[row - 1][column - 1] + cost)
                if row > 1, column > 1, left[row - 1] == right[column - 2], left[row - 2] == right[column - 1] {
                    value = min(value, rows[row - 2][column - 2] + 1)
                }
                current.append(value)
            }
            rows.append(current)
        }
        return rows[left.count][right.count]
    }
}
