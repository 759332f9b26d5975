import Configuration
import Credentials
import Cryptography
import Explain
import IPsec
import KeyManagement
import Primitives

/// Two hosts with real key exchanges and keys, and between them nothing but a queue: what one sends the other gets. Time
/// jumps to the next deadline when nothing is on its way.
struct TwoHosts {
    enum Side: Int { case left, right }

    private struct Host {
        var manager: KeyManager
        var keys: SharedKeyStore
        var secrets: [SecretOwners]
        var book = DecisionBook()
    }

    static let addresses = [IPAddress(v4: 0xC000_0201), IPAddress(v4: 0xC000_0202)]
    private var hosts: [Host]
    private var now = Instant(nanoseconds: 0)
    private var lastRequest: UInt64 = 0
    private var answered: Set<UInt64> = []

    /// - Throws: where one of the two texts is no configuration.
    init(left: String, right: String) throws {
        hosts = try zip([left, right], TwoHosts.addresses).enumerated().map { index, pair in
            let configuration = try Configuration.read(SourceFile(name: "swanctl.conf", text: pair.0))
            let address = pair.1
            return Host(
                manager: KeyManager(
                    now: Instant(nanoseconds: 0), randomness: .seeded(UInt64(index + 1)),
                    policies: configuration.policies, settings: configuration.settings.engine,
                    sourceAddress: { _ in address }),
                keys: SharedKeyStore(configuration.secrets, policies: configuration.policies),
                secrets: configuration.secrets.map { SecretOwners(name: $0.name, identities: $0.identities) })
        }
    }

    func records(_ side: Side) -> [DecisionRecord] { hosts[side.rawValue].book.records }
    var isUp: Bool { hosts.allSatisfy { $0.manager.snapshots.contains { !$0.children.isEmpty } } }

    /// Gives the left host a command and lets things run until it is answered and nothing is on its way, or too long.
    mutating func command(_ command: Command) {
        lastRequest += 1
        let request = lastRequest
        var queue = feed(.command(command, RequestID(request)), to: 0)
        for _ in 0..<10_000 {
            if let (datagram, sender) = queue.first {
                queue.removeFirst()
                let receiver = 1 - sender
                guard datagram.remote.address == TwoHosts.addresses[receiver] else { continue }
                let arrived = Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)
                queue += feed(.datagram(arrived), to: receiver)
            } else if answered.contains(request) {
                return
            } else {
                let deadlines = hosts.compactMap(\.manager.nextDeadline)
                guard let next = deadlines.min(), next < Instant(nanoseconds: 0) + .seconds(600) else { return }
                now = max(now, next)
                for index in hosts.indices where hosts[index].manager.nextDeadline.map({ $0 <= now }) == true {
                    queue += feed(.deadline, to: index)
                }
            }
        }
    }

    /// Hands an input to a host; what it sends, with whose it is.
    private mutating func feed(_ input: Input, to index: Int) -> [(Datagram, Int)] {
        var inputs = [input]
        var sent: [(Datagram, Int)] = []
        while !inputs.isEmpty {
            for effect in hosts[index].manager.handle(inputs.removeFirst(), now: now) {
                switch effect {
                case .send(let datagram): sent.append((datagram, index))
                case .ask(let id, let question): inputs.append(.answer(id, hosts[index].keys.answer(question)))
                case .reply(let request, _): answered.insert(request.value)
                case .report(let event):
                    let host = hosts[index]
                    _ = hosts[index].book.record(
                        event, policies: host.manager.policies, secrets: host.secrets,
                        secretName: {
                            (host.keys.key(local: $0, remote: $1) ?? host.keys.keyForMainMode(local: $0, remote: $1))?
                                .name
                        })
                default: break
                }
            }
        }
        return sent
    }
}
