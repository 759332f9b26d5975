import Cryptography
import ISAKMP
package import KeyDeterminationModes
import Primitives

/// One seeded run of one exchange between two ends over a hostile network in virtual time: lost, repeated, late and damaged
/// datagrams, and replays of old ones.
package struct ExchangeScenario {
    package let seed: UInt64
    package let entry: ModeEntry
    package private(set) var pair: ExchangePair
    package private(set) var datagrams = 0
    private var randomness: Randomness
    private var network = Network()
    private var now = Instant(nanoseconds: 0)
    private var recorded: [(to: Int, octets: [UInt8])] = []
    private static let endpoints = [
        Endpoint(IPAddress(v4: 0x0A00_0001), port: 500), Endpoint(IPAddress(v4: 0x0A00_0002), port: 500),
    ]
    /// Old datagrams that are sent again in one run.
    private static let maximumReplays = 50

    package init(seed: UInt64, _ entry: ModeEntry) {
        self.seed = seed
        self.entry = entry
        randomness = .seeded(seed)
        var settings = FrameworkSettings()
        settings.commits = randomness.below(2) == 0
        settings.lifetime = .seconds(600)
        pair = ExchangePair(entry, endpoints: Self.endpoints, settings: settings, &randomness)
        network.faults = .drawn(from: &randomness)
    }

    /// Runs to the end.
    ///
    /// - Returns: the promise that was broken; `nil` where all were kept.
    package mutating func run() -> String? {
        send(pair.begin(now))
        var replays = 0
        let quiet = now + .seconds(300)
        while let next = nextMoment, next <= quiet {
            now = max(now, next)
            step()
            if replays < Self.maximumReplays, !recorded.isEmpty, randomness.below(4) == 0 {
                replays += 1
                let old = recorded[Int(randomness.below(UInt64(recorded.count)))]
                send(pair.deliver(old.octets, to: old.to, now))
            }
            if let broken = brokenPromise { return broken }
        }
        now = quiet
        if let unfinished = unfinished { return unfinished }
        // Nothing outlives its lifetime.
        while let next = nextMoment, next <= quiet + .seconds(1200) {
            now = max(now, next)
            step()
            if let broken = brokenPromise { return broken }
        }
        let left = pair.nodes.map(\.sessionCount)
        return left == [0, 0] ? nil : "state is left: \(left[0]) and \(left[1]) SAs"
    }

    private var nextMoment: Instant? {
        [network.nextArrival, pair.nextDeadline].compactMap { $0 }.min()
    }

    private mutating func step() {
        if case .message(let datagram) = network.popArrived(at: now) {
            let to = datagram.local.address == Self.endpoints[0].address ? 0 : 1
            recorded.append((to, datagram.octets))
            send(pair.deliver(datagram.octets, to: to, now))
        } else {
            send(pair.fireDeadlines(now))
        }
    }

    private mutating func send(_ parcels: [ExchangePair.Parcel]) {
        for parcel in parcels {
            datagrams += 1
            let ends = (Self.endpoints[1 - parcel.sender], Self.endpoints[parcel.sender])
            network.send(
                .message(.init(local: ends.0, remote: ends.1, octets: parcel.octets)), now: now, &randomness)
        }
    }

    /// Safety: whatever happens, ends that hold a key of an exchange hold the same, with each other.
    private var brokenPromise: String? {
        for outcome in pair.outcomes[0] {
            let others = pair.outcomes[1].filter { $0.messageID == outcome.messageID }
            if others.count > 1 { return "one exchange has two outcomes" }
            guard let other = others.first else { continue }
            if outcome.key != other.key || outcome.keyName != other.keyName { return "the ends hold different keys" }
            if outcome.delivered.keys != other.delivered.keys { return "the ends delivered different values" }
        }
        for (end, outcomes) in pair.outcomes.enumerated() {
            if Set(outcomes.map(\.messageID)).count != outcomes.count { return "one exchange ended twice" }
            if outcomes.contains(where: { $0.peerIdentity != ExchangePair.identities[1 - end] }) {
                return "an end talks to somebody else"
            }
        }
        if pair.notices[1].count > 1 { return "a notice was heard twice" }
        if pair.nodes.contains(where: { $0.sessionCount > 4 }) { return "too much state" }
        return nil
    }

    /// Liveness: every exchange ends.
    private var unfinished: String? {
        for node in pair.nodes {
            if node.halfOpenCount > 0 { return "a half-open SA is left" }
            for id in node.sessions where node.session(id)?.openExchanges != 0 { return "an exchange has not ended" }
        }
        return nil
    }
}
