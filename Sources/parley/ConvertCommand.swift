import ArgumentParser
import Control
import Conversion
import Platform

/// `parley convert`: another daemon's configuration as `swanctl.conf`.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Rewrite ipsec.conf, iked.conf or racoon.conf as swanctl.conf.",
        discussion: """
            The new configuration goes to standard output, and a line for everything that it does not carry over to \
            standard error. In ipsec.conf, left is taken for our own side.
            """)

    @Argument(help: "The configuration to read.", completion: .file())
    var path: String

    @Option(help: "Whose it is: strongswan, libreswan, iked or racoon; without it, guessed from the text.")
    var from: String?

    @Option(help: "The file of its secrets: ipsec.secrets, or racoon's psk.txt.", completion: .file())
    var secrets: String?

    @Flag(help: "End with 1 where something is lost.")
    var strict = false

    @Flag(help: "Print JSON: the new configuration and what it loses.")
    var json = false

    func validate() throws {
        if let from, Conversion.Dialect(rawValue: from) == nil {
            let names = Conversion.Dialect.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--from is one of \(names)")
        }
    }

    func run() throws {
        let text = try read(path)
        guard let dialect = from.flatMap(Conversion.Dialect.init) ?? Conversion.guess(text) else {
            throw Failure.end("whose configuration \(path) is cannot be told: say --from", json: json, .usage)
        }
        let conversion = Conversion.convert(text, secrets: try secrets.map(read) ?? "", from: dialect)
        if json {
            Console.print(ConvertCommand.value(conversion).text())
        } else {
            Console.print(conversion.text)
            for loss in conversion.losses { ConsoleError.print("\(path): \(loss)") }
        }
        if strict, !conversion.losses.isEmpty { throw EndCode.failure.exitCode }
    }

    private static func value(_ conversion: Conversion) -> JSONValue {
        let losses = conversion.losses.map { loss in
            JSONValue.object([
                JSONValue.Member("line", .number(Int64(loss.line))), JSONValue.Member("what", .string(loss.what)),
                JSONValue.Member("why", .string(loss.why)),
            ])
        }
        return .object([JSONValue.Member("text", .string(conversion.text)), JSONValue.Member("losses", .array(losses))])
    }

    private func read(_ path: String) throws -> String {
        guard let octets = try? FileContents.read(path), let text = String(validating: octets, as: UTF8.self) else {
            throw Failure.end("cannot read \(path)", json: json)
        }
        return text
    }
}
