import Primitives

/// A JSON value (RFC 8259); objects keep the order of their keys.
package indirect enum JSONValue: Hashable, Sendable {
    /// A key of an object with its value.
    package struct Member: Hashable, Sendable {
        package var name: String
        package var value: JSONValue

        package init(_ name: String, _ value: JSONValue) {
            self.name = name
            self.value = value
        }
    }

    case string(String)
    case number(Int64)
    case boolean(Bool)
    case array([JSONValue])
    case object([Member])

    /// The value as text.
    ///
    /// - Parameter indentation: spaces that each level adds; 0 puts everything on one line.
    package func text(indentation: Int = 2) -> String {
        var text = ""
        write(to: &text, indentation: indentation, level: 0)
        return text
    }

    private func write(to text: inout String, indentation: Int, level: Int) {
        func newline(_ level: Int) -> String {
            indentation == 0 ? "" : "\n" + String(repeating: " ", count: indentation * level)
        }
        switch self {
        case .string(let string): text += JSONValue.quoted(string)
        case .number(let number): text += String(number)
        case .boolean(let boolean): text += boolean ? "true" : "false"
        case .array(let values):
            // Arrays of plain values stay on one line.
            let isFlat = values.allSatisfy { if case .object = $0 { false } else { true } }
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += isFlat && indentation > 0 ? ", " : "," }
                if !isFlat { text += newline(level + 1) }
                value.write(to: &text, indentation: indentation, level: level + 1)
            }
            text += (isFlat ? "" : newline(level)) + "]"
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                text += newline(level + 1) + JSONValue.quoted(member.name) + (indentation == 0 ? ":" : ": ")
                member.value.write(to: &text, indentation: indentation, level: level + 1)
            }
            text += (members.isEmpty ? "" : newline(level)) + "}"
        }
    }

    /// A text in quotes, with what must be escaped escaped.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}

extension ViciMessage {
    /// The message as a JSON object: values are strings, lists arrays, sections objects. Octets that are no UTF-8 come
    /// as `0x` and hexadecimal digits.
    package var jsonValue: JSONValue {
        func string(_ octets: [UInt8]) -> JSONValue {
            .string(String(validating: octets, as: UTF8.self) ?? "0x" + octets.hex)
        }
        return .object(
            entries.map { entry in
                switch entry.element {
                case .value(let octets): JSONValue.Member(entry.name, string(octets))
                case .list(let items): JSONValue.Member(entry.name, .array(items.map(string)))
                case .section(let section): JSONValue.Member(entry.name, section.jsonValue)
                }
            })
    }

    /// ``jsonValue`` as text.
    package func json(indentation: Int = 2) -> String { jsonValue.text(indentation: indentation) }
}
