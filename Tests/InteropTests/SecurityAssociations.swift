/// A tree as `swanctl --raw` prints a vici message.
indirect enum RawMessage {
    case value(String)
    case list([String])
    case section([(name: String, content: RawMessage)])

    subscript(name: String) -> RawMessage? {
        guard case .section(let members) = self else { return nil }
        return members.first { $0.name == name }?.content
    }

    var text: String? { if case .value(let text) = self { text } else { nil } }
    var items: [String] { if case .list(let items) = self { items } else { [] } }
    var members: [(name: String, content: RawMessage)] { if case .section(let all) = self { all } else { [] } }

    /// The events named `event` in the output of a raw swanctl command.
    static func events(_ event: String, in output: String) throws -> [RawMessage] {
        try output.split(separator: "\n").compactMap { line in
            let prefix = "\(event) event "
            guard line.hasPrefix(prefix) else { return nil }
            var reader = Reader(text: Array(line.dropFirst(prefix.count)))
            return try reader.section()
        }
    }

    private struct Reader {
        let text: [Character]
        var position = 0

        init(text: [Character]) { self.text = text }

        mutating func take(_ wanted: Character) throws {
            guard position < text.count, text[position] == wanted else {
                throw LabFailure("'\(wanted)' expected at \(position) of: \(String(text))")
            }
            position += 1
        }

        mutating func word(until stops: Set<Character>) -> String {
            let start = position
            while position < text.count, !stops.contains(text[position]) { position += 1 }
            return String(text[start..<position])
        }

        mutating func section() throws -> RawMessage {
            try take("{")
            var members: [(name: String, content: RawMessage)] = []
            while position < text.count, text[position] != "}" {
                if text[position] == " " {
                    position += 1
                    continue
                }
                let name = word(until: ["=", " ", "{", "}"])
                if position < text.count, text[position] == "=" {
                    position += 1
                    if position < text.count, text[position] == "[" {
                        position += 1
                        let items = word(until: ["]"]).split(separator: " ").map(String.init)
                        try take("]")
                        members.append((name, .list(items)))
                    } else {
                        members.append((name, .value(word(until: [" ", "}"]))))
                    }
                } else {
                    while position < text.count, text[position] == " " { position += 1 }
                    members.append((name, try section()))
                }
            }
            try take("}")
            return .section(members)
        }
    }
}

/// An IKE SA as a daemon reports it over vici.
struct IKESAView {
    let name: String
    let message: RawMessage

    var uniqueID: String { message["uniqueid"]?.text ?? "" }
    var state: String { message["state"]?.text ?? "" }
    var remoteIdentity: String { message["remote-id"]?.text ?? "" }
    var spis: [String] { ["initiator-spi", "responder-spi"].map { message[$0]?.text ?? "" } }
    var children: [ChildSAView] { message["child-sas"]?.members.map { ChildSAView(message: $0.content) } ?? [] }
    func value(_ key: String) -> String? { message[key]?.text }

    static func list(_ output: String) throws -> [IKESAView] {
        try RawMessage.events("list-sa", in: output).flatMap { event in
            event.members.map { IKESAView(name: $0.name, message: $0.content) }
        }
    }
}

/// A child SA as a daemon reports it over vici.
struct ChildSAView {
    let message: RawMessage

    var name: String { message["name"]?.text ?? "" }
    var uniqueID: String { message["uniqueid"]?.text ?? "" }
    var state: String { message["state"]?.text ?? "" }
    var spiIn: String { message["spi-in"]?.text ?? "" }
    var spiOut: String { message["spi-out"]?.text ?? "" }
    var localSelectors: [String] { message["local-ts"]?.items ?? [] }
    var remoteSelectors: [String] { message["remote-ts"]?.items ?? [] }
    func value(_ key: String) -> String? { message[key]?.text }
    func count(_ key: String) -> Int { Int(message[key]?.text ?? "") ?? 0 }
}
