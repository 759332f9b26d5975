import Foundation
import Synchronization
import Testing

/// Who plays the initiator (left) and who the responder (right).
struct Pairing: Hashable, Sendable, CustomTestStringConvertible {
    let initiator: Implementation
    let responder: Implementation

    var testDescription: String { "\(initiator) to \(responder)" }

    /// The pairings to run. `PARLEY_LAB_PAIRS` may name others (`charon-charon` tests the lab itself).
    static let all: [Pairing] = {
        guard let named = ProcessInfo.processInfo.environment["PARLEY_LAB_PAIRS"] else {
            return [Pairing(.parley, .charon), Pairing(.charon, .parley), Pairing(.parley, .parley)]
        }
        return named.split(separator: ",").compactMap { pair in
            let halves = pair.split(separator: "-").compactMap { Implementation(rawValue: String($0)) }
            return halves.count == 2 ? Pairing(halves[0], halves[1]) : nil
        }
    }()

    init(_ initiator: Implementation, _ responder: Implementation) {
        self.initiator = initiator
        self.responder = responder
    }

    var needsParley: Bool { initiator == .parley || responder == .parley }
}

/// One case of a test: a pairing and a version of IKE.
struct Scenario: Hashable, Sendable, CustomTestStringConvertible {
    let pairing: Pairing
    let version: Version

    var testDescription: String { "\(version), \(pairing.testDescription)" }

    /// All of them, or those of one version of IKE (`PARLEY_LAB_VERSION`).
    static let all: [Scenario] = {
        let named = ProcessInfo.processInfo.environment["PARLEY_LAB_VERSION"].flatMap { Int($0) }
        let versions = Version.allCases.filter { named == nil || $0.rawValue == named }
        return Pairing.all.flatMap { pairing in versions.map { Scenario(pairing: pairing, version: $0) } }
    }()
    static let versions1 = all.filter { $0.version == .v1 }
    static let versions2 = all.filter { $0.version == .v2 }
}

/// What the machine must have for these tests; what is missing is printed and the tests are skipped.
enum Prerequisites {
    static let missing: [String] = {
        var missing: [String] = []
        if getuid() != 0 { missing.append("root") }
        let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
        for tool in ["ip", "ss", "nft", "ethtool", "tcpdump", "ping", "iperf3", "tshark", "swanctl", "charon-systemd"] {
            let places = (path + ["/usr/sbin", "/sbin"]).map { "\($0)/\(tool)" }
            if !places.contains(where: FileManager.default.isExecutableFile(atPath:)) { missing.append(tool) }
        }
        let plugin = "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"
        if !FileManager.default.fileExists(atPath: plugin) { missing.append("strongSwan's kernel-libipsec plugin") }
        if !FileManager.default.fileExists(atPath: "/dev/net/tun") { missing.append("/dev/net/tun") }
        if Pairing.all.contains(where: \.needsParley), Parley.binary == nil { missing.append("a built parley") }
        if !missing.isEmpty { print("interop: skipped, \(reason(missing))") }
        return missing
    }()

    static var areMet: Bool { missing.isEmpty }
    static func reason(_ missing: [String]) -> String { "this machine lacks \(missing.joined(separator: ", "))" }
}

/// Every test of this target: one at a time, since they share the machine's cores and its clock.
@Suite(
    .serialized,
    .enabled(if: Prerequisites.areMet, "\(Prerequisites.reason(Prerequisites.missing))"))
enum Interop {}

/// Two hosts, a router between them and a daemon on each host.
final class Lab {
    let scenario: Scenario
    let network: Network
    let directory: URL
    let left: Peer
    let right: Peer

    private static let completed = Mutex<Int>(0)
    /// Where the directories of finished labs (configurations, logs) are left for diagnosis, if anywhere.
    private static let keep = ProcessInfo.processInfo.environment["PARLEY_LAB_KEEP"]

    private init(_ scenario: Scenario, left: Implementation?, right: Implementation?) throws {
        self.scenario = scenario
        network = try Network()
        let parent = Lab.keep.map { URL(fileURLWithPath: $0) } ?? FileManager.default.temporaryDirectory
        directory = parent.appendingPathComponent("parley-lab-\(UUID().uuidString.prefix(8))")
        self.left = try Peer.make(
            left ?? scenario.pairing.initiator, side: .left,
            directory: directory.appendingPathComponent("left"), network: network)
        self.right = try Peer.make(
            right ?? scenario.pairing.responder, side: .right,
            directory: directory.appendingPathComponent("right"), network: network)
    }

    /// Runs `body` in a fresh lab and takes everything down afterwards. When it throws, the logs are printed.
    static func with(_ scenario: Scenario, _ body: (Lab) throws -> Void) throws {
        let lab = try Lab(scenario, left: nil, right: nil)
        defer { lab.remove() }
        do {
            try body(lab)
        } catch {
            print("interop: failed in \(scenario.testDescription): \(error)")
            for peer in [lab.left, lab.right] {
                print("---- log of the \(peer.side.rawValue) peer (\(peer.implementation)):")
                print(peer.log.split(separator: "\n").suffix(80).joined(separator: "\n"))
            }
            throw error
        }
        let count = completed.withLock { count in
            count += 1
            return count
        }
        print("interop: \(count) scenarios ran (\(scenario.testDescription))")
    }

    private func remove() {
        // Both at once: a daemon that ends tells its peer, and waits for the answer.
        for peer in [left, right] { peer.process?.signal(SIGTERM) }
        for peer in [left, right] { peer.stop() }
        network.remove()
        if Lab.keep == nil { try? FileManager.default.removeItem(at: directory) }
    }

    func peer(_ side: Side) -> Peer { side == .left ? left : right }

    /// Starts or reloads both daemons with a link.
    ///
    /// - Parameter besides: further sections of a side's file.
    func load(_ link: Link, besides: [Side: String] = [:]) throws {
        try right.load(link.configuration(of: .right) + (besides[.right] ?? ""))
        try left.load(link.configuration(of: .left) + (besides[.left] ?? ""))
    }

    /// Brings a child up from the left and waits until both sides show it.
    func up(_ child: String = "inner") throws {
        var result = try left.up(child)
        // charon's threads may look at a Quick Mode before the message in front of it, on an SA that does not stand for them yet: then it
        // is dropped, and its repetitions with it, since they are taken for those of a message that was answered.
        if !result.succeeded, right.implementation == .charon, left.implementation == .parley,
            result.output.contains("established"), result.output.contains("did not answer")
        {
            print("interop: charon had nothing to answer with, and is asked once more")
            result = try left.up(child)
        }
        guard result.succeeded else { throw LabFailure(result.description) }
        for side in Side.allCases { _ = try installed(child, on: side) }
    }

    /// The IKE SA and the newest installed child of a name, as one side sees them; waits for them.
    func installed(_ child: String = "inner", on side: Side, seconds: Double = 5) throws -> (IKESAView, ChildSAView) {
        try eventually("\(child) is installed on the \(side.rawValue)", seconds: seconds) {
            for ike in try peer(side).securityAssociations() where ike.state == "ESTABLISHED" {
                let matching = ike.children.filter { $0.name == child && $0.state == "INSTALLED" }
                if let found = matching.max(by: { (Int($0.uniqueID) ?? 0) < (Int($1.uniqueID) ?? 0) }) {
                    return (ike, found)
                }
            }
            return nil
        }
    }

    /// Waits until neither side holds any SA.
    func awaitEmpty(seconds: Double = 15, sides: [Side] = Side.allCases) throws {
        for side in sides {
            try eventually("the \(side.rawValue) holds no SA", seconds: seconds) {
                try peer(side).securityAssociations().isEmpty
            }
        }
    }

    // MARK: Traffic

    /// The echoes of a ping. The last one may still be under way when ping ends: `loss` counts those before the last
    /// answered one that were not answered, and all that were sent where none was.
    struct PingResult: CustomStringConvertible {
        let sent: Int
        let received: Int
        let loss: Int
        /// Their numbers.
        let unanswered: [Int]
        let description: String

        init(_ output: String) throws {
            let lines = output.split(separator: "\n")
            guard let summary = lines.first(where: { $0.contains("packets transmitted") }) else {
                throw LabFailure(output)
            }
            let numbers = summary.split(separator: " ").compactMap { Int($0) }
            guard numbers.count >= 2 else { throw LabFailure(output) }
            let answered = Set(lines.compactMap(PingResult.sequence))
            let holes = (1...max(1, answered.max() ?? 1)).filter { !answered.contains($0) }
            (sent, received) = (numbers[0], numbers[1])
            loss = answered.isEmpty ? max(1, sent) : holes.count
            unanswered = holes
            description = "\(summary); unanswered: \(holes)"
        }

        static func sequence(_ line: Substring) -> Int? {
            guard line.contains("bytes from"), let at = line.range(of: "icmp_seq=") else { return nil }
            return Int(line[at.upperBound...].prefix { $0.isNumber })
        }
    }

    /// The pattern that pings carry; found on the wire it would be plaintext.
    static let pattern: [UInt8] = Array("parley-plaintext".utf8)

    private func pingCommand(
        from side: Side, count: Int, interval: Double, source: String? = nil, target: String? = nil, sixth: Bool = false
    ) -> [String] {
        let source = source ?? (sixth ? side.innerAddress6 : side.innerAddress)
        let target = target ?? (sixth ? side.other.innerAddress6 : side.other.innerAddress)
        let pattern = Lab.pattern.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        return network.on(
            side,
            ["ping", "-n", "-c", "\(count)", "-i", "\(interval)", "-W", "1", "-s", "200", "-p", pattern]
                + ["-I", source, target])
    }

    /// Pings until `count` echoes have come back, or as many seconds have passed.
    func ping(
        from side: Side = .left, count: Int = 3, interval: Double = 0.01, source: String? = nil, target: String? = nil,
        sixth: Bool = false, seconds: Double = 5
    ) throws -> PingResult {
        let command = pingCommand(
            from: side, count: 100_000, interval: interval, source: source, target: target, sixth: sixth)
        return try pinging(command) { replies in
            _ = try? eventually("echoes come back", seconds: seconds) { replies() >= count }
        }
    }

    /// Pings at 100 Hz before, during and after `body`; every single one must be answered.
    func pinging(_ body: () throws -> Void) throws -> PingResult {
        try pinging(pingCommand(from: .left, count: 100_000, interval: 0.01)) { replies in
            try eventually("echoes come back") { replies() >= 10 }
            try body()
            let before = replies()
            try eventually("echoes still come back") { replies() >= before + 30 }
        }
    }

    private func pinging(_ command: [String], _ body: (() -> Int) throws -> Void) throws -> PingResult {
        let stream = try Subprocess(
            command, outputPath: directory.appendingPathComponent("ping-\(UUID().uuidString.prefix(8))"))
        defer { stream.stop() }
        try body { stream.output.split(separator: "\n").count { PingResult.sequence($0) != nil } }
        stream.signal(SIGINT)
        guard let result = stream.wait(seconds: 10) else { throw LabFailure("ping does not end") }
        return try PingResult(result.output)
    }

    /// Carries octets over TCP from the left to the right, or back; returns how many had arrived when the sender
    /// had handed over its last (up to a socket's buffer of them is then still on its way).
    func transfer(megabytes: Int = 8, reverse: Bool = false, source: String? = nil) throws -> Int {
        let server = try Subprocess(
            network.on(.right, ["iperf3", "-s", "-1", "-B", Side.right.innerAddress]),
            outputPath: directory.appendingPathComponent("iperf3-\(UUID().uuidString)"))
        defer { server.stop() }
        try eventually("iperf3 listens") {
            try Subprocess.run(network.on(.right, ["ss", "-Hltn", "sport = :5201"])).output.contains("5201")
        }
        var command = [
            "iperf3", "-J", "--repeating-payload", "-n", "\(megabytes)M", "-B", source ?? Side.left.innerAddress,
        ]
        command += ["-c", Side.right.innerAddress] + (reverse ? ["-R"] : [])
        let output = try Subprocess.require(network.on(.left, command), seconds: 40)
        guard let json = try JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any],
            let end = json["end"] as? [String: Any], let received = end["sum_received"] as? [String: Any],
            let octets = received["bytes"] as? NSNumber
        else { throw LabFailure(output) }
        return octets.intValue
    }

    /// Runs `body` beside a running recording of what passes the router.
    func watching(_ body: (Wire) throws -> Void) throws {
        let wire = try Wire(network, directory: directory)
        try body(wire)
        _ = try wire.finish()
    }

    /// Records what passes the router between the two daemons while `body` runs.
    func recording(_ body: () throws -> Void) throws -> Recording {
        let wire = try Wire(network, directory: directory)
        try body()
        return try wire.finish()
    }
}
