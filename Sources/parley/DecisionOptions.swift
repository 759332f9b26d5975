import ArgumentParser
import Configuration
import Control
import Credentials
import Daemon
import Explain
import IPsec
import Primitives

/// The parts of `parley explain` that are about single peers: what was refused, and what would be.
struct DecisionOptions: ParsableArguments {
    @Option(help: "The address of a peer whose attempt is to be foreseen.")
    var peer: String?

    @Option(help: "The identity that the peer would claim.")
    var id: String?

    @Option(help: "The address of ours that it would reach.")
    var local: String?

    @Option(help: "The version of IKE that it would speak: 1 or 2; without it, both.")
    var ikeVersion: String?

    @Option(help: "With last: how many refusals to show, the newest first.")
    var count = 1

    @OptionGroup var socket: ControlSocketOption

    func validate(word: String?) throws {
        guard (peer == nil) == (word == "last") else { throw ValidationError("give last, or --peer, not both") }
        guard peer != nil || (id == nil && local == nil && ikeVersion == nil) else {
            throw ValidationError("--id, --local and --ike-version go with --peer")
        }
        guard ["1", "2", nil].contains(ikeVersion) else { throw ValidationError("--ike-version is 1 or 2") }
        guard (1...200).contains(count) else { throw ValidationError("--count is from 1 to 200") }
    }

    func run(config: String?, json: Bool) throws {
        if let config, peer != nil { return try foresee(config: config, json: json) }
        try socket.withClient(json: json) { client in
            var message = ViciMessage()
            message.add("peer", optional: peer)
            message.add("id", optional: id)
            message.add("local", optional: local)
            message.add("version", optional: ikeVersion)
            if peer == nil { message.add("count", count) }
            let answer = try client.request("explain", message)
            try answer.requireSuccess("explain", json: json)
            if json {
                Console.print(answer.json())
            } else {
                for (index, section) in answer.sections.enumerated() {
                    if index > 0 { Console.print("") }
                    section.message.list("lines").forEach { Console.print($0) }
                }
            }
        }
    }

    /// The same from files, without a daemon.
    private func foresee(config: String, json: Bool) throws {
        guard let remote = peer.flatMap({ IPAddress($0) }) else { throw ValidationError("--peer is no address") }
        guard case .success(let configuration) = ConfigurationFiles.load(config) else {
            throw Failure.end("\(config) has errors: see parley check \(config)", json: json)
        }
        let own = local.flatMap { IPAddress($0) } ?? .any(remote.family)
        let keys = SharedKeyStore(configuration.secrets, policies: configuration.policies)
        var answer: ViciMessage = ["success": "yes"]
        for version in ikeVersion.flatMap({ UInt8($0) }).map({ [$0] }) ?? [2, 1] {
            // Without --local every connection's own address counts as met.
            var policies = configuration.policies
            if local == nil {
                policies = PolicyDatabase(
                    connections: policies.connections.map { connection in
                        var connection = connection
                        connection.localAddresses = [.any(nil)]
                        return connection
                    })
            }
            let approach = Approach(
                local: own, remote: remote, version: version, identity: id.flatMap { Identity($0) })
            let forecast = Forecast(approach, policies: policies) { keys.key(local: $0, remote: $1)?.name }
            if !json { forecast.lines.forEach { Console.print($0) } }
            answer.add("IKEv\(version)", section: DecisionMessages.message(forecast))
        }
        if json { Console.print(answer.json()) }
    }
}
