import ArgumentParser
import Configuration
import Control
import Daemon

/// `parley check`: reads a configuration and reports every error in it.
struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check", abstract: "Check a configuration, and report all errors at once.")

    @Argument(help: "A swanctl.conf, or a directory that holds one.", completion: .file())
    var path: String

    @Flag(help: "Print what the configuration says, with all defaults, or its errors, as JSON.")
    var json = false

    func run() throws {
        switch ConfigurationFiles.load(path) {
        case .success(let configuration):
            Console.print(json ? CheckCommand.json(configuration.canonicalForm).text() : summary(configuration))
            if !json { (configuration.settings.notes + configuration.notes).forEach { Console.print("note: \($0)") } }
        case .failure(let errors):
            let summary = "\(path): \(counted(errors.diagnostics.count, "error"))"
            if json {
                Console.print(CheckCommand.json(errors, summary: summary).text())
            } else {
                errors.diagnostics.forEach { ConsoleError.print($0.description) }
                ConsoleError.print(summary)
            }
            throw EndCode.failure.exitCode
        }
    }

    private func summary(_ configuration: Configuration) -> String {
        let children = configuration.connections.reduce(0) { $0 + $1.children.count }
        return "\(path): \(counted(configuration.connections.count, "connection")), "
            + "\(counted(children, "child", "children")), \(counted(configuration.secrets.count, "secret")); no errors"
    }

    private func counted(_ count: Int, _ one: String, _ many: String? = nil) -> String {
        "\(count) \(count == 1 ? one : many ?? one + "s")"
    }

    static func json(_ node: CanonicalNode) -> JSONValue {
        switch node {
        case .text(let text): .string(text)
        case .list(let items): .array(items.map { .string($0) })
        case .section(let entries): .object(entries.map { JSONValue.Member($0.name, json($0.node)) })
        }
    }

    /// A refusal like every other one, with each error by itself.
    static func json(_ errors: ConfigurationErrors, summary: String) -> JSONValue {
        let diagnostics = errors.diagnostics.map { diagnostic -> JSONValue in
            var members: [JSONValue.Member] = [
                .init("file", .string(diagnostic.position.file)),
                .init("line", .number(Int64(diagnostic.position.line))),
                .init("column", .number(Int64(diagnostic.position.column))),
                .init("message", .string(diagnostic.message)),
            ]
            if let suggestion = diagnostic.suggestion { members.append(.init("suggestion", .string(suggestion))) }
            return .object(members)
        }
        return .object([
            .init("success", .string("no")), .init("errmsg", .string(summary)), .init("errors", .array(diagnostics)),
        ])
    }
}
