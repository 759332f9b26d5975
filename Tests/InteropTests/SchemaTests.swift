import Foundation
import Testing

extension Interop {
    /// What the commands really print with `--json`, held against Docs/schemas by a validator that is not ours.
    @Suite struct Schemas {
        private static let checkout = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

        private static let hasValidator: Bool = {
            let probe = try? Subprocess.run(["python3", "-c", "from jsonschema import Draft202012Validator"])
            if probe?.succeeded != true { print("interop: skipped, python3 has no package jsonschema") }
            return probe?.succeeded == true
        }()

        /// Documents with the schemas that they are to fit.
        private final class Collection {
            private var checks: [[String]] = []
            private(set) var names: Set<String> = []

            func add(_ schema: String, _ text: String, _ label: String) {
                checks.append([schema, text, label])
                names.insert(schema)
            }

            /// What does not fit, a line each.
            func problems(in directory: URL) throws -> [Substring] {
                let file = directory.appendingPathComponent("checks.json")
                try JSONSerialization.data(withJSONObject: checks).write(to: file)
                let script = checkout.appendingPathComponent("Tests/InteropTests/calls/schema_check.py").path
                let schemas = checkout.appendingPathComponent("Docs/schemas").path
                let output = try Subprocess.require(
                    ["sh", "-c", "exec python3 -W ignore \(script) \(schemas) < \(file.path)"], seconds: 60)
                let lines = output.split(separator: "\n")
                #expect(lines.last == "checked \(checks.count)")
                return Array(lines.dropLast())
            }
        }

        /// Runs `parley` and takes its standard output alone.
        private func output(_ arguments: [String], status: Int32 = 0, _ lab: Lab) throws -> String {
            let (out, err) = (
                lab.directory.appendingPathComponent("out").path, lab.directory.appendingPathComponent("err").path
            )
            guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
            let result = try Subprocess.run(
                ["sh", "-c", "exec \"$0\" \"$@\" >\(out) 2>\(err)", binary] + arguments, seconds: 40)
            let said = try String(contentsOfFile: err, encoding: .utf8)
            #expect(result.status == status, "\(arguments): \(result.status)\n\(said)")
            #expect(said.isEmpty == (status == 0) || arguments.first == "check", "\(arguments): \(said)")
            return try String(contentsOfFile: out, encoding: .utf8)
        }

        @Test(
            "real output fits its schema", .enabled(if: hasValidator),
            arguments: Scenario.all.filter { $0.pairing.initiator == .parley && $0.pairing.responder == .parley })
        func fits(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let collection = Collection()
                let daemon = try #require(lab.left as? Parley)
                daemon.options = ["--observe", "9500"]
                func take(_ schema: String, _ arguments: String..., status: Int32 = 0) throws {
                    var arguments = arguments + ["--json"]
                    if !["check", "decode", "convert"].contains(arguments[0]) { arguments += ["--uri", daemon.uri] }
                    collection.add(schema, try output(arguments, status: status, lab), "\(arguments)")
                }
                func takePage(_ schema: String, _ path: String) throws {
                    let page = try Subprocess.require(
                        lab.network.on(.left, ["curl", "-sS", "http://127.0.0.1:9500\(path)"]))
                    collection.add(schema, page, path)
                }
                let link = Link(scenario.version)
                try lab.load(link)
                try take("error", "explain", "last", status: 1)
                try take("error", "trace", status: 1)
                try take("error", "rehearse", "inner", status: 1)
                try take("status", "status")
                try takePage("health", "/health")
                try take("outcome", "up", "inner")
                #expect(try lab.ping().loss == 0)
                try take("status", "status")
                try take("trace", "trace")
                try take("version", "version")
                try take("rehearse", "rehearse", "inner")
                try take("outcome", "rekey", "inner")
                try take("error", "rekey", "nothing", status: 1)
                try take("error", "up", "nothing", status: 1)
                try take("error", "clone", "net", status: 1)
                try take("log", "log")
                try takePage("dashboard", "/status.json")

                // A change that is planned, made and taken back; one that is refused.
                let path = daemon.configurationPath
                let text = try String(contentsOfFile: path, encoding: .utf8)
                try text.replacingOccurrences(of: "children {", with: "children { more { }\n")
                    .write(toFile: path, atomically: true, encoding: .utf8)
                try take("plan", "plan")
                try take("reload", "reload")
                try take("reload", "reload", "--rollback")
                try (text + "connections { x { wrong = 1 } }").write(toFile: path, atomically: true, encoding: .utf8)
                try take("error", "plan", status: 1)
                try take("error", "reload", status: 1)
                let broken = try output(["check", path, "--json"], status: 1, lab)
                for schema in ["check-errors", "error"] { collection.add(schema, broken, "check") }
                try take("error", "explain", "--peer", "198.51.100.1", "--config", path, status: 1)
                try text.write(toFile: path, atomically: true, encoding: .utf8)
                try take("check", "check", path)
                try take("explain-peer", "explain", "--peer", "198.51.100.1", "--config", path)
                try take("explain-peer", "explain", "--peer", "198.51.100.1", "--id", "nobody")
                try take("error", "explain", "--peer", "nonsense", status: 1)

                // A refusal.
                let follower = try Subprocess(
                    [try #require(Parley.binary), "log", "--follow", "--json", "--uri", daemon.uri],
                    outputPath: lab.directory.appendingPathComponent("followed"))
                try eventually("it follows") { follower.output.contains("lines") }
                try take("outcome", "down", "net")
                try take("error", "down", "net", status: 1)
                try lab.awaitEmpty()
                try eventually("lines come") { follower.output.split(separator: "\n").count > 1 }
                follower.stop()
                for line in follower.output.split(separator: "\n") { collection.add("log", "\(line)", "log --follow") }
                try lab.left.load(link.suite(ike: "aes128-sha256-ecp256", esp: "aes128gcm16").configuration(of: .left))
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                try take("explain-last", "explain", "last", "--count", "5")
                try takePage("dashboard", "/status.json")

                // What needs no daemon.
                let old = lab.directory.appendingPathComponent("ipsec.conf").path
                try "conn a\n\tright=192.0.2.1\n\tleftfirewall=yes\n".write(
                    toFile: old, atomically: true, encoding: .utf8)
                try take("convert", "convert", old, "--from", "strongswan")
                try take("error", "convert", "\(old).not-there", status: 1)
                try take("explain", "explain")
                for part in ["isakmp", "oakley", "skeme", "ike"] { try take("explain-part", "explain", part) }
                for word in ["14", "NO_PROPOSAL_CHOSEN"] { try take("explain-word", "explain", word) }
                try take("error", "explain", "nonsensical", status: 1)
                let captures = Self.checkout.appendingPathComponent("Tests/Captures")
                for name in try FileManager.default.contentsOfDirectory(atPath: captures.path).sorted()
                where name.contains(".pcap") {
                    try take("decode", "decode", captures.appendingPathComponent(name).path)
                }
                try take("error", "decode", captures.appendingPathComponent("README.md").path, status: 1)
                lab.left.stop()
                for command in ["status", "version", "trace", "plan"] { try take("error", command, status: 2) }

                #expect(try collection.problems(in: lab.directory) == [])
                let all = try FileManager.default.contentsOfDirectory(
                    atPath: Self.checkout.appendingPathComponent("Docs/schemas").path)
                #expect(Set(all) == Set(collection.names.map { "\($0).json" }))
            }
        }
    }
}
