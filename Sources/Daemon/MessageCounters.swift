import Control
import IPsec
import ISAKMP
import KeyManagement
import Primitives

/// Counts of IKEv2 messages and rekeyings, in all and for each connection: vici's `get-counters`, with charon's names.
struct MessageCounters {
    /// charon's names, in charon's order.
    static let names: [String] =
        ["ike-rekey-init", "ike-rekey-resp", "child-rekey", "invalid", "invalid-spi"]
        + ["ike-init", "ike-auth", "create-child", "info"].flatMap { exchange in
            ["-in-req", "-in-resp", "-out-req", "-out-resp"].map { exchange + $0 }
        }
    /// Connections that are counted apart; more of them are counted in all alone.
    private static let connectionMaximum = 10_000

    private var total: [String: UInt64] = [:]
    private var byConnection: [String: [String: UInt64]] = [:]
    /// What key management had counted at the last reset: its counters only grow.
    private var malformedBefore: UInt64 = 0
    private var unknownBefore: UInt64 = 0

    mutating func record(_ event: Event) {
        switch event.kind {
        case .session(.message(let trace)): record(trace, event.connection)
        case .session(.rekeyedIKE):
            count(event.snapshot?.isInitiator == true ? "ike-rekey-init" : "ike-rekey-resp", event.connection)
        case .session(.childRekeyed): count("child-rekey", event.connection)
        case .session, .closed, .dropped, .noticed: break
        }
    }

    private mutating func record(_ trace: MessageTrace, _ connection: String) {
        var reader = ByteReader(trace.header)
        guard let header = try? Header(from: &reader), header.majorVersion == 2 else { return }
        let exchange: String
        switch header.exchange {
        case .ikeSAInit: exchange = "ike-init"
        case .ikeAuth: exchange = "ike-auth"
        case .createChildSA: exchange = "create-child"
        case .informationalV2: exchange = "info"
        default: return
        }
        let kind = header.flags.contains(.response) ? "resp" : "req"
        count("\(exchange)-\(trace.isOutgoing ? "out" : "in")-\(kind)", connection)
    }

    private mutating func count(_ name: String, _ connection: String) {
        total[name, default: 0] += 1
        guard !connection.isEmpty,
            byConnection[connection] != nil || byConnection.count < MessageCounters.connectionMaximum
        else { return }
        byConnection[connection, default: [:]][name, default: 0] += 1
    }

    // MARK: vici

    /// The answer to `get-counters`: with `name` that connection's, with `all` every connection's, else those of all.
    func message(_ request: ViciMessage, _ counters: KeyManagerCounters) -> ViciMessage {
        var sections = ViciMessage()
        if request.flag("all") {
            for (name, counts) in byConnection.sorted(by: { $0.key < $1.key }) {
                sections.add(name, section: MessageCounters.section(counts))
            }
        } else if let name = request.text("name"), !name.isEmpty {
            guard let counts = byConnection[name] else {
                return ViciCommands.outcome("no counters found for this connection")
            }
            sections.add(name, section: MessageCounters.section(counts))
        } else {
            var counts = total
            counts["invalid"] = counters.malformed - malformedBefore
            counts["invalid-spi"] = counters.unknownSPI - unknownBefore
            sections.add("", section: MessageCounters.section(counts))
        }
        var answer = ViciMessage()
        answer.add("counters", section: sections)
        answer.add("success", flag: true)
        return answer
    }

    mutating func reset(_ request: ViciMessage, _ counters: KeyManagerCounters) {
        if request.flag("all") {
            byConnection = [:]
        } else if let name = request.text("name"), !name.isEmpty {
            byConnection[name] = nil
        } else {
            total = [:]
            malformedBefore = counters.malformed
            unknownBefore = counters.unknownSPI
        }
    }

    /// Counts by connection, for observers.
    var all: [(connection: String, counts: [String: UInt64])] {
        byConnection.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static func section(_ counts: [String: UInt64]) -> ViciMessage {
        var section = ViciMessage()
        for name in names { section.add(name, counts[name] ?? 0) }
        return section
    }
}
