import ArgumentParser
import Daemon

/// `parley loopback`: the main job without any privilege.
struct LoopbackCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "loopback",
        abstract: "Show a negotiation and traffic between two peers in this process, over the loopback interface.",
        discussion: "Needs no root, no TUN device and no configuration.")

    @Option(help: "The version of IKE, 1 or 2; both without this option.")
    var version: Int?

    func validate() throws {
        if let version, version != 1, version != 2 { throw ValidationError("IKE has versions 1 and 2") }
    }

    func run() throws {
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

    private func hundredths(_ seconds: Double) -> String {
        let hundredths = Int((seconds * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}
