import ArgumentParser
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

    func validate() throws {
        if let from, Conversion.Dialect(rawValue: from) == nil {
            let names = Conversion.Dialect.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("--from is one of \(names)")
        }
    }

    func run() throws {
        let text = try read(path)
        guard let dialect = from.flatMap(Conversion.Dialect.init) ?? Conversion.guess(text) else {
            ConsoleError.print("parley: whose configuration \(path) is cannot be told: say --from")
            throw EndCode.usage.exitCode
        }
        let conversion = Conversion.convert(text, secrets: try secrets.map(read) ?? "", from: dialect)
        Console.print(conversion.text)
        for loss in conversion.losses { ConsoleError.print("\(path): \(loss)") }
        if strict, !conversion.losses.isEmpty { throw EndCode.failure.exitCode }
    }

    private func read(_ path: String) throws -> String {
        guard let octets = try? FileContents.read(path), let text = String(validating: octets, as: UTF8.self) else {
            ConsoleError.print("parley: cannot read \(path)")
            throw EndCode.failure.exitCode
        }
        return text
    }
}
