import ArgumentParser
import KeyDeterminationModes
import Simulation

/// `parley simulate`: whole hosts in virtual time over an evil network, from a seed.
struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run two hosts in virtual time over a network that loses, repeats, reorders and damages.",
        discussion: "Every run follows from its seed. A run that breaks a promise prints its messages and exits with 1."
    )

    @Option(help: "The first seed.")
    var seed: UInt64 = 1

    @Option(help: "How many seeds to run, counting up.")
    var count: UInt64 = 1

    @Flag(help: "Run a gateway with three users' hosts (IKEv1's XAUTH, Hybrid and Mode Config) instead of two hosts.")
    var remoteAccess = false

    @Flag(help: "Let half of the hosts have several processors, and SAs for each (RFC 9611).")
    var processors = false

    @Flag(help: "Print the messages and events of every run, not only of broken ones.")
    var verbose = false

    @Option(
        help: ArgumentHelp(
            "Run one exchange of ISAKMP, Oakley or SKEME instead of hosts, or 'all' of them.", valueName: "exchange"),
        completion: .list(ModeCatalogue.all.map(\.keyword)))
    var exchange: String?

    func validate() throws {
        if let exchange, exchange != "all", ModeCatalogue.find(exchange) == nil {
            let names = ModeCatalogue.all.map(\.keyword).joined(separator: ", ")
            throw ValidationError("there is no exchange '\(exchange)'; there are \(names)")
        }
    }

    /// Every seed for each exchange that is meant.
    private func runExchanges(_ keyword: String) throws {
        var broken = 0
        for entry in ModeCatalogue.all where keyword == "all" || entry.keyword == keyword {
            var done = 0
            for number in seed..<(seed + count) {
                var scenario = ExchangeScenario(seed: number, entry)
                if let violation = scenario.run() {
                    broken += 1
                    print("seed \(number) (\(entry.keyword)): \(violation)")
                }
                if scenario.pair.isDone { done += 1 }
            }
            print("\(entry.keyword): \(done) of \(count) came about")
        }
        if broken > 0 { throw ExitCode.failure }
    }

    private func runRemoteAccess() throws {
        var broken = 0
        for number in seed..<(seed + count) {
            var scenario = RemoteAccessScenario(seed: number, keepsLog: verbose || count == 1)
            let violation = scenario.run()
            if verbose || violation != nil { scenario.world.log.suffix(verbose ? .max : 200).forEach { print($0) } }
            if let violation {
                broken += 1
                print("seed \(number) (\(scenario.method)): \(violation)")
            } else if count == 1 {
                print(
                    "seed \(number): \(scenario.method); \(scenario.world.packetsSent) packets sent, "
                        + "\(scenario.world.packetsAccepted) accepted, every promise kept")
            }
        }
        if count > 1 { print("\(count - UInt64(broken)) of \(count) seeds kept every promise") }
        if broken > 0 { throw ExitCode.failure }
    }

    func run() throws {
        if let exchange { return try runExchanges(exchange) }
        if remoteAccess { return try runRemoteAccess() }
        var broken = 0
        for number in seed..<(seed + count) {
            var scenario = Scenario(seed: number, keepsLog: verbose, hasProcessors: processors)
            let violation = scenario.run()
            if verbose { scenario.world.log.forEach { print($0) } }
            guard let violation else {
                if count == 1 {
                    print(
                        "seed \(number): IKEv\(scenario.version), \(scenario.world.packetsSent) packets sent, "
                            + "\(scenario.world.packetsAccepted) accepted, every promise kept")
                }
                continue
            }
            broken += 1
            if !verbose {
                var again = Scenario(seed: number, keepsLog: true, hasProcessors: processors)
                _ = again.run()
                again.world.log.suffix(200).forEach { print($0) }
            }
            print("seed \(number) (IKEv\(scenario.version)): \(violation)")
        }
        if count > 1 { print("\(count - UInt64(broken)) of \(count) seeds kept every promise") }
        if broken > 0 { throw ExitCode.failure }
    }
}
