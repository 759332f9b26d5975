import ArgumentParser
import Daemon
import KeyDeterminationModes

/// `parley loopback`: the main job without any privilege.
struct LoopbackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loopback",
        abstract: "Show a negotiation and traffic between two peers in this process, over the loopback interface.",
        discussion: "Needs no root, no TUN device and no configuration.")

    @Option(help: "The version of IKE, 1 or 2; both without this option.")
    var version: Int?

    @Option(
        help: ArgumentHelp(
            "Run one exchange of ISAKMP, Oakley or SKEME instead, or 'all' of them.", valueName: "exchange"),
        completion: .list(ModeCatalogue.all.map(\.keyword)))
    var exchange: String?

    func validate() throws {
        if let exchange, exchange != "all", ModeCatalogue.find(exchange) == nil {
            let names = ModeCatalogue.all.map(\.keyword).joined(separator: ", ")
            throw ValidationError("there is no exchange '\(exchange)'; there are \(names)")
        }
        if exchange != nil, version != nil { throw ValidationError("--exchange and --version exclude each other") }
        if let version, version != 1, version != 2 { throw ValidationError("IKE has versions 1 and 2") }
    }

    func run() throws {
        if let exchange {
            for entry in ModeCatalogue.all where exchange == "all" || entry.keyword == exchange {
                try show(entry)
            }
            return
        }
        for version in version.map({ [$0] }) ?? [1, 2] {
            print("== IKEv\(version): \(version == 1 ? "Main Mode, Quick Mode" : "IKE_SA_INIT, IKE_AUTH") ==\n")
            let report = try Loopback.run(version: version)
            report.ladder.forEach { print($0) }
            print("\n\(report.pingsAnswered) of \(Loopback.pings) pings answered through the tunnel")
            let rate = Double(report.transferredOctets) * 8 / report.transferSeconds / 1e6
            print(
                "\(report.transferredOctets) octets of TCP arrived whole in "
                    + "\(hundredths(report.transferSeconds)) s (\(Int(rate)) Mbit/s), \(report.packets) ESP packets\n")
            StatusTable.lines(report.status).forEach { print($0) }
            print("")
        }
    }

    private func show(_ entry: ModeEntry) throws {
        print("== \(entry.description.name), \(entry.reference) ==\n")
        let report = try ExchangeLoopback.run(entry)
        report.ladder.forEach { print($0) }
        print("")
        report.outcome.forEach { print($0) }
        print("")
    }

    private func hundredths(_ seconds: Double) -> String {
        let hundredths = Int((seconds * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}
