import ArgumentParser
import Foundation
import Testing

@testable import parley

/// Docs/schemas: what commands print with `--json`. Real output is held against them by the interoperability tests.
@Suite struct SchemaTests {
    private static let documents = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Docs")

    /// Every command that has `--json`, with its schemas.
    private static let schemas = [
        "check": ["check", "check-errors"], "decode": ["decode"], "plan": ["plan"], "rehearse": ["rehearse"],
        "reload": ["reload"], "status": ["status"], "trace": ["trace"], "version": ["version"],
        "up": ["outcome"], "down": ["outcome"], "rekey": ["outcome"], "clone": ["outcome"], "log": ["log"],
        "convert": ["convert"],
        "explain": ["explain", "explain-last", "explain-part", "explain-peer", "explain-word"],
    ]
    /// What a failure prints, and what the daemon answers over HTTP.
    private static let others = ["error", "health", "dashboard"]

    private func commands(_ command: any ParsableCommand.Type) -> [any ParsableCommand.Type] {
        let inner = command.configuration.subcommands
        return inner.isEmpty ? [command] : inner.flatMap(commands)
    }

    @Test func everyCommandWithJSONHasASchema() {
        let all = commands(Parley.self)
        #expect(all.count > 20)
        let named = all.filter { $0.helpMessage(columns: 200).contains("--json") }
            .map { $0.configuration.commandName ?? "" }
        #expect(Set(named) == Set(Self.schemas.keys))
    }

    @Test func everySchemaIsThereAndIsNamed() throws {
        let folder = Self.documents.appendingPathComponent("schemas")
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(files) == Set((Self.schemas.values.flatMap(\.self) + Self.others).map { "\($0).json" }))
        let text = try String(contentsOf: Self.documents.appendingPathComponent("json.md"), encoding: .utf8)
        for file in files {
            #expect(text.contains("(schemas/\(file))"), "\(file) does not stand in Docs/json.md")
            let object = try JSONSerialization.jsonObject(
                with: Data(contentsOf: folder.appendingPathComponent(file)))
            let schema = try #require(object as? [String: Any])
            #expect(schema["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
            #expect(schema["$id"] as? String == file)
        }
    }
}
