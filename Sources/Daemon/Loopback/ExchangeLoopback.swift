import Explain
import ISAKMP
package import KeyDeterminationModes
import Platform
import Primitives
import Simulation

/// One exchange of ISAKMP, Oakley or SKEME between two ends in this process, over two UDP sockets of the loopback interface.
package enum ExchangeLoopback {
    package struct Report: Sendable {
        /// The messages, as the initiator saw them.
        package var ladder: [String]
        /// What it came to, line by line. Never a key.
        package var outcome: [String]
    }

    /// Runs it to its end.
    ///
    /// - Throws: where nothing came of it within ten seconds, or the ends do not agree.
    package static func run(_ entry: ModeEntry) throws(Loopback.Failure) -> Report {
        let inbox = LoopbackInbox()
        let planes: [UserspaceEngine]
        do {
            planes = [
                try LoopbackHost.openPlane(0, inbox: inbox), try LoopbackHost.openPlane(1, inbox: inbox),
            ]
        } catch { throw Loopback.Failure(description: "\(error)") }
        defer { planes.forEach { $0.close() } }
        var randomness = Randomness.system
        let endpoints = planes.map { Endpoint(Loopback.address, port: $0.boundPort) }
        var pair = ExchangePair(entry, endpoints: endpoints, &randomness)
        func send(_ parcels: [ExchangePair.Parcel]) {
            for parcel in parcels {
                let ends = (endpoints[parcel.sender], endpoints[1 - parcel.sender])
                _ = planes[parcel.sender].sendIKE(.init(local: ends.0, remote: ends.1, octets: parcel.octets))
            }
        }
        send(pair.begin(Clock.now()))
        let end = Clock.now() + .seconds(10)
        while !pair.isDone {
            if Clock.now() >= end {
                let reasons = pair.failures.flatMap { $0 }.joined(separator: "; ")
                throw Loopback.Failure(description: "nothing came of it within ten seconds: \(reasons)")
            }
            _ = Poller.wait([Poller.Interest(inbox.wakeup.descriptor)], milliseconds: 20)
            send(pair.fireDeadlines(Clock.now()))
            for (host, item) in inbox.take() {
                if case .datagram(let datagram) = item { send(pair.deliver(datagram.octets, to: host, Clock.now())) }
            }
        }
        return Report(
            ladder: FrameworkLadder.lines(
                pair.messages[0], left: "\(endpoints[0])", right: "\(endpoints[1])"),
            outcome: try outcome(pair))
    }

    private static func outcome(_ pair: ExchangePair) throws(Loopback.Failure) -> [String] {
        if pair.entry.description.type == .informational {
            return ["the responder has heard the notification under the SA's protection"]
        }
        guard let left = pair.outcome(0), let right = pair.outcome(1), left.key == right.key,
            left.keyName == right.keyName
        else { throw Loopback.Failure(description: "the ends do not agree") }
        var lines = ["both ends know whom they talk to"]
        if let key = left.key {
            lines.append("both ends hold the same key of \(key.count) octets, named \(left.keyName.hex)")
        } else {
            lines.append("no key is left: this exchange makes none")
        }
        if let result = pair.entry.description.result { lines.append("the key is \(result)") }
        for definition in pair.entry.description.definitions {
            lines.append("with \(definition.symbol) = \(definition.expression)")
        }
        return lines
    }
}
