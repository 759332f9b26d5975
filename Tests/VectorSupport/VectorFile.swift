import Foundation
import Primitives

/// Published known answers, one record after another, from a file of `Tests/Vectors`. A record is a run of
/// `name: value` lines; an empty line ends it; `#` begins a line that says where the values are from.
package struct VectorFile {
    /// One known answer.
    package struct Record: CustomStringConvertible, Sendable {
        private let fields: [String: String]

        fileprivate init(_ fields: [String: String]) { self.fields = fields }

        /// The value as it is written; empty if there is none.
        package subscript(text name: String) -> String { fields[name] ?? "" }

        /// The octets that the value's hexadecimal digits stand for.
        package subscript(name: String) -> [UInt8] {
            guard let value = fields[name] else { preconditionFailure("the record has no \(name)") }
            let digits = value.filter { !$0.isWhitespace }
            guard let octets = [UInt8](hex: digits) else { preconditionFailure("\(name) is not hexadecimal") }
            return octets
        }

        package var description: String { "test \(fields["test"] ?? fields["title"] ?? "?")" }
    }

    /// The records, in the file's order; never empty.
    package let records: [Record]

    /// Reads `Tests/Vectors/<name>.txt`.
    package init(_ name: String) {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Vectors/\(name).txt")
        guard let text = try? String(contentsOf: file, encoding: .utf8) else {
            preconditionFailure("\(file.path) can be read")
        }
        var records: [Record] = []
        var fields: [String: String] = [:]
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("#") { continue }
            if line.allSatisfy(\.isWhitespace) {
                if !fields.isEmpty { records.append(Record(fields)) }
                fields = [:]
                continue
            }
            guard let colon = line.firstIndex(of: ":") else { preconditionFailure("no colon in \(line)") }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields[String(line[..<colon])] = String(value)
        }
        if !fields.isEmpty { records.append(Record(fields)) }
        precondition(!records.isEmpty, "\(name) holds records")
        self.records = records
    }
}
