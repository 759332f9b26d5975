import ArgumentParser
import Configuration
import Control
import Daemon
import Explain
import IPsec

/// `parley explain`: which part of the standards a thing belongs to, and what a word means.
struct ExplainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "explain", abstract: "Say what ISAKMP, Oakley, SKEME and IKE each are, and what a word means.",
        discussion: """
            A part is printed from the tables that the code itself runs on. Any other word is a notification, a \
            payload or a refusal, by name or number. Without a word, lists what can be explained. With --peer, says what \
            would become of a peer, without any traffic: asked of the daemon, or of the files that --config names.
            """)

    @Argument(help: "isakmp, oakley, skeme, ike; a name or number, such as NO_PROPOSAL_CHOSEN or 14; or last.")
    var word: String?

    @OptionGroup var decisions: DecisionOptions

    @Option(help: "Mark what this connection uses.")
    var connection: String?

    @Option(help: "A swanctl.conf, or a directory that holds one.", completion: .file())
    var config: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if word == "last" || decisions.peer != nil { return try decisions.validate(word: word) }
        guard (connection == nil) == (config == nil) else {
            throw ValidationError("--connection and --config go together")
        }
        if connection != nil, word.flatMap({ Composition.Part(rawValue: $0.lowercased()) }) == nil {
            let parts = Composition.Part.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--connection goes with one of \(parts)")
        }
    }

    func run() throws {
        if word == "last" || decisions.peer != nil {
            return try decisions.run(config: config, json: json)
        }
        guard let word else { return list() }
        if let part = Composition.Part(rawValue: word.lowercased()) {
            let explanation = Composition.explain(part, connection: try wanted())
            print(explanation.lines, ExplainCommand.json(explanation))
            return
        }
        let meanings = Glossary.meanings(of: word)
        guard !meanings.isEmpty else {
            let names = Composition.Part.allCases.map(\.rawValue) + Glossary.names
            let hint = NearestName.find(word, in: names).map { "; did you mean '\($0)'?" } ?? ""
            throw Failure.end("nothing is known about '\(word)'\(hint)", json: json)
        }
        print(Glossary.lines(meanings), .array(meanings.map(ExplainCommand.json)))
    }

    private func print(_ lines: [String], _ value: JSONValue) {
        if json { Console.print(value.text()) } else { lines.forEach { Console.print($0) } }
    }

    private func list() {
        let parts = Composition.Part.allCases
        let width = parts.map(\.rawValue.count).max() ?? 0
        let members = parts.map { JSONValue.Member($0.rawValue, .string($0.summary)) }
        let lines = parts.map { part in
            "  \(part.rawValue)\(String(repeating: " ", count: width - part.rawValue.count + 2))\(part.summary)"
        }
        print(
            ["Parts, with --connection NAME --config PATH for what a connection uses of them:"] + lines
                + [
                    "Words, by name or number, such as NO_PROPOSAL_CHOSEN or 14:",
                    "  notifications, payloads and refusals; --json lists their \(Glossary.names.count) names",
                ],
            .object([
                JSONValue.Member("parts", .object(members)),
                JSONValue.Member("words", .array(Glossary.names.map { .string($0) })),
            ]))
    }

    /// The connection that the arguments name.
    private func wanted() throws -> Connection? {
        guard let connection, let config else { return nil }
        switch ConfigurationFiles.load(config) {
        case .success(let configuration):
            if let found = configuration.connections.first(where: { $0.name == connection }) { return found }
            let names = configuration.connections.map(\.name)
            let hint = NearestName.find(connection, in: names).map { "; did you mean '\($0)'?" } ?? ""
            throw Failure.end("\(config) has no connection '\(connection)'\(hint)", json: json)
        case .failure(let errors):
            errors.diagnostics.forEach { ConsoleError.print($0.description) }
            throw Failure.end("\(config) has errors: see parley check \(config)", json: json)
        }
    }

    // MARK: JSON

    static func json(_ explanation: Explanation) -> JSONValue {
        var members = [
            JSONValue.Member("part", .string(explanation.part)),
            JSONValue.Member("standard", .string(explanation.standard)),
            JSONValue.Member("answer", .array(explanation.answer.map { .string($0) })),
        ]
        for table in explanation.tables {
            members.append(JSONValue.Member(table.key, .array(table.rows.map { json($0, table.columns) })))
        }
        return .object(members)
    }

    private static func json(_ row: Explanation.Row, _ columns: [Explanation.Column]) -> JSONValue {
        var members = zip(columns, row.cells).map { column, cell in
            JSONValue.Member(column.key, Int64(cell).map { .number($0) } ?? .string(cell))
        }
        if let isUsed = row.isUsed { members.append(JSONValue.Member("used", .boolean(isUsed))) }
        return .object(members)
    }

    static func json(_ meaning: Meaning) -> JSONValue {
        var members = [
            JSONValue.Member("name", .string(meaning.name)), JSONValue.Member("kind", .string(meaning.kind)),
        ]
        if let number = meaning.number { members.append(JSONValue.Member("number", .number(Int64(number)))) }
        members.append(JSONValue.Member("means", .string(meaning.means)))
        if let sender = meaning.sender { members.append(JSONValue.Member("sender", .string(sender))) }
        if let remedy = meaning.remedy { members.append(JSONValue.Member("remedy", .string(remedy))) }
        return .object(members)
    }
}
