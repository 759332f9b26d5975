/// What a part contributes, as tables; as text and, field by field, for JSON.
package struct Explanation: Hashable, Sendable {
    package struct Column: Hashable, Sendable {
        /// The name of the field.
        package let key: String
        package let title: String
        /// Whether text leaves a cell blank that says the same as the one above it.
        package var isGrouped = false
    }

    package struct Row: Hashable, Sendable {
        /// One for each column.
        package let cells: [String]
        /// Whether the connection that was asked about uses it; `nil` where none was.
        package let isUsed: Bool?
    }

    package struct Table: Hashable, Sendable {
        /// The name of the field.
        package let key: String
        package let title: String
        package let columns: [Column]
        package let rows: [Row]
    }

    package let part: String
    package let standard: String
    /// Two lines that say what it is, and whether it is IKE or ISAKMP.
    package let answer: [String]
    /// What the marks mean, where a connection was asked about.
    package let note: String?
    package let tables: [Table]

    /// Columns that lines keep to, as far as what stands in them allows.
    private static let width = 100

    /// The explanation as text.
    package var lines: [String] {
        var lines = answer
        if let note { lines.append(note) }
        for table in tables where !table.rows.isEmpty {
            lines.append("")
            lines += Explanation.lines(table)
        }
        return lines
    }

    private static func lines(_ table: Table) -> [String] {
        let widths = table.columns.indices.map { column in
            (table.rows.map { $0.cells[column].count } + [table.columns[column].title.count]).max() ?? 0
        }
        func line(_ mark: String, _ cells: [String]) -> [String] {
            var text = mark
            for (cell, width) in zip(cells.dropLast(), widths) {
                text += cell + String(repeating: " ", count: width - cell.count + 2)
            }
            return wrapped(cells.last ?? "", behind: text)
        }
        let heading = line("  ", table.columns.map(\.title))
        return [table.title] + (table.columns.allSatisfy { $0.title.allSatisfy { $0 == " " } } ? [] : heading)
            + table.rows.enumerated().flatMap { index, row in
                let cells = row.cells.enumerated().map { column, cell in
                    let isRepeated = index > 0 && table.rows[index - 1].cells[column] == cell
                    return table.columns[column].isGrouped && isRepeated ? "" : cell
                }
                return line(row.isUsed == true ? "* " : "  ", cells)
            }
    }

    /// The last cell, on as many lines as it needs, each under the first.
    private static func wrapped(_ cell: String, behind text: String) -> [String] {
        var lines: [String] = []
        var line = text
        for word in cell.split(separator: " ") {
            let isFirst = line.count == text.count
            if !isFirst, line.count + 1 + word.count > width {
                lines.append(line)
                line = String(repeating: " ", count: text.count) + word
            } else {
                line += isFirst ? "\(word)" : " \(word)"
            }
        }
        lines.append(line)
        return lines.map { String($0.reversed().drop { $0 == " " }.reversed()) }
    }
}
