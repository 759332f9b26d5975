/// A described message as indented text.
package enum DescriptionText {
    /// A line for each field: its offset in the message, its name and value; problems stand below what they break.
    package static func lines(_ message: MessageDescription) -> [String] {
        message.fields.flatMap { lines($0, depth: 0) }
    }

    private static func lines(_ field: DescribedField, depth: Int) -> [String] {
        let offset = String(field.offset)
        let margin = String(repeating: " ", count: max(0, 5 - offset.count)) + offset
        let indent = String(repeating: "  ", count: depth + 1)
        let value = field.value.isEmpty ? "" : ": \(field.value)"
        var lines = ["\(margin)\(indent)\(field.name)\(value)"]
        for child in field.children where !isFraming(child, depth: depth) {
            lines += self.lines(child, depth: depth + 1)
        }
        if let problem = field.problem { lines.append("     \(indent)! \(problem)") }
        return lines
    }

    /// Generic headers are the same everywhere: text leaves them out, JSON has them.
    private static func isFraming(_ field: DescribedField, depth: Int) -> Bool {
        guard depth > 0 || field.offset >= 28 else { return false }
        return ["Next payload", "Reserved", "Last substructure", "Length"].contains(field.name)
            || (field.name == "Flags" && field.value == "none")
    }
}
