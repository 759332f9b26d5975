import IPsec
import KeyManagement
import Platform
import Primitives

/// The daemon's state in OpenMetrics text (version 1.0.0): what Prometheus reads.
package struct Metrics {
    /// Seconds of a handshake, from the first message to the IKE SA, by upper bounds.
    static let handshakeBounds: [Double] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

    private var text = ""

    package init() {}

    /// The whole text, with its end.
    package var exposition: String { text + "# EOF\n" }

    /// Begins a family of samples; `unit` must end the name where there is one.
    package mutating func family(_ name: String, _ type: String, _ help: String, unit: String = "") {
        text += "# TYPE \(name) \(type)\n"
        if !unit.isEmpty { text += "# UNIT \(name) \(unit)\n" }
        text += "# HELP \(name) \(Metrics.escaped(help, quotes: false))\n"
    }

    /// One sample.
    package mutating func sample(_ name: String, _ labels: [(String, String)], _ value: some CustomStringConvertible) {
        text += name
        if !labels.isEmpty {
            text += "{" + labels.map { "\($0.0)=\"\(Metrics.escaped($0.1))\"" }.joined(separator: ",") + "}"
        }
        text += " \(value)\n"
    }

    /// A backslash before what would end a value: OpenMetrics' `escaped-string`.
    private static func escaped(_ text: String, quotes: Bool = true) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\\\"
            case "\"" where quotes: result += "\\\""
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
        return result
    }
}

/// What only counting over time can tell.
struct Tally {
    private(set) var established = 0
    private(set) var refusals: [String: Int] = [:]
    private(set) var buckets = [Int](repeating: 0, count: Metrics.handshakeBounds.count)
    private(set) var seconds = 0.0
    private var begun: [SessionID: Instant] = [:]
    /// Handshakes under way whose beginning is remembered.
    private static let begunMaximum = 65_536

    mutating func record(_ event: Event) {
        guard let session = event.session else { return }
        switch event.kind {
        case .session(.message):
            if begun[session] == nil, begun.count < Tally.begunMaximum { begun[session] = event.time }
        case .session(.established):
            established += 1
            guard let start = begun[session] else { return }
            let taken = Double((event.time - start).wholeNanoseconds) / 1e9
            seconds += taken
            for (index, bound) in Metrics.handshakeBounds.enumerated() where taken <= bound { buckets[index] += 1 }
        case .session(.refused(_, let refusal)): refusals[Tally.kind(refusal), default: 0] += 1
        case .closed(let reason):
            begun[session] = nil
            if case .refused(let refusal) = reason { refusals[Tally.kind(refusal), default: 0] += 1 }
        case .session, .dropped, .noticed: break
        }
    }

    /// A refusal's name in `parley explain`.
    static func kind(_ refusal: Refusal) -> String {
        switch refusal {
        case .noConnection: "no-connection"
        case .noProposal: "no-proposal"
        case .selectors: "selectors"
        case .identity: "identity"
        case .authentication: "authentication"
        case .method: "method"
        case .noCredential: "no-credential"
        case .userAuthentication: "user-authentication"
        case .groups: "groups"
        case .userRefused: "user-refused"
        case .certificate: "certificate"
        case .rounds: "rounds"
        case .peer: "peer"
        case .peerWithKey: "peer-with-key"
        case .protocolViolation: "protocol-violation"
        case .timeout: "timeout"
        case .policy: "policy"
        }
    }
}

extension ControlLoop {
    /// What `/metrics` answers.
    var metrics: String {
        var metrics = Metrics()
        let snapshots = manager.snapshots
        metrics.family("parley_up_seconds", "gauge", "Time since the daemon started.", unit: "seconds")
        metrics.sample("parley_up_seconds", [], (Clock.now() - started).wholeSeconds)
        metrics.family("parley_ike_sas", "gauge", "IKE SAs by connection and state.")
        let groups = Dictionary(grouping: snapshots) { [$0.connection, $0.state.rawValue] }
        for (key, group) in groups.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            metrics.sample("parley_ike_sas", [("connection", key[0]), ("state", key[1])], group.count)
        }
        metrics.family("parley_child_up", "gauge", "Whether a configured child has an SA.")
        let installed = Set(
            snapshots.flatMap { session in
                session.children.filter { $0.state != .deleting }.map {
                    ChildKey(connection: session.connection, child: $0.name)
                }
            })
        for connection in manager.policies.connections {
            for child in connection.children {
                let key = ChildKey(connection: connection.name, child: child.name)
                let labels = [("connection", connection.name), ("child", child.name)]
                metrics.sample("parley_child_up", labels, installed.contains(key) ? 1 : 0)
            }
        }
        addTraffic(snapshots, to: &metrics)
        addCounts(to: &metrics)
        return metrics.exposition
    }

    private func addTraffic(_ snapshots: [SessionSnapshot], to metrics: inout Metrics) {
        var samples: [(labels: [(String, String)], inbound: TrafficCounters, outbound: TrafficCounters)] = []
        for session in snapshots {
            for child in session.children {
                guard let counters = plane.counters(of: child.id) else { continue }
                let labels = [
                    ("connection", session.connection), ("child", child.name), ("uniqueid", "\(child.id)"),
                    ("remote_id", session.remoteIdentity.map { "\($0)" } ?? ""),
                ]
                samples.append((labels, counters.inbound, counters.outbound))
            }
        }
        metrics.family("parley_child_traffic_bytes", "counter", "Octets carried by SAs that live.", unit: "bytes")
        for sample in samples {
            metrics.sample(
                "parley_child_traffic_bytes_total", sample.labels + [("direction", "in")], sample.inbound.octets)
            metrics.sample(
                "parley_child_traffic_bytes_total", sample.labels + [("direction", "out")], sample.outbound.octets)
        }
        metrics.family("parley_child_traffic_packets", "counter", "Packets carried by SAs that live.", unit: "packets")
        for sample in samples {
            metrics.sample(
                "parley_child_traffic_packets_total", sample.labels + [("direction", "in")], sample.inbound.packets)
            metrics.sample(
                "parley_child_traffic_packets_total", sample.labels + [("direction", "out")], sample.outbound.packets)
        }
    }

    private func addCounts(to metrics: inout Metrics) {
        metrics.family("parley_handshake_seconds", "histogram", "First message to established IKE SA.", unit: "seconds")
        for (bound, count) in zip(Metrics.handshakeBounds, tally.buckets) {
            metrics.sample("parley_handshake_seconds_bucket", [("le", "\(bound)")], count)
        }
        metrics.sample("parley_handshake_seconds_bucket", [("le", "+Inf")], tally.established)
        metrics.sample("parley_handshake_seconds_count", [], tally.established)
        metrics.sample("parley_handshake_seconds_sum", [], tally.seconds)
        metrics.family("parley_refusals", "counter", "Negotiations and children refused, by reason.")
        for (kind, count) in tally.refusals.sorted(by: { $0.key < $1.key }) {
            metrics.sample("parley_refusals_total", [("reason", kind)], count)
        }
        metrics.family("parley_ike_dropped", "counter", "IKE messages that reached no SA, by reason.")
        let counters = manager.counters
        for (reason, count) in [
            ("malformed", counters.malformed), ("unknown-spi", counters.unknownSPI),
            ("not-admitted", counters.notAdmitted),
            ("challenged", counters.challenged),
        ] {
            metrics.sample("parley_ike_dropped_total", [("reason", reason)], count)
        }
        metrics.family("parley_packets_dropped", "counter", "Packets that the data plane dropped, by reason.")
        for (reason, count) in plane.dropCounters.nonzero.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            metrics.sample("parley_packets_dropped_total", [("reason", "\(reason)")], count)
        }
    }
}
