import IPsec
import Primitives
import Testing

/// Which connections a message between two addresses can mean, beside asking every connection.
@Suite struct PolicyDatabaseTests {
    private static let addresses = (1...6).map { IPAddress(v4: 0xC000_0200 + $0) }

    private static let patterns: [IdentityPattern] =
        [
            "a.example", "b.example", "B.Example", "C=DE, CN=a", "C=DE, CN=b", "user@example.org", "User@Example.org",
            "keyid:A", "keyid:a", "192.0.2.7",
        ].compactMap(Identity.init(_:)).map { .exactly($0) } + [.any, .suffix(.fqdn, ".example")]
    private static let identities = [
        "a.example", "A.EXAMPLE", "b.example", "C=DE, CN=a", "user@example.org", "USER@example.org", "keyid:a",
        "192.0.2.7",
        "nobody.invalid",
    ].compactMap(Identity.init(_:))

    private static func connection(_ name: String, _ randomness: inout SeededNumbers) -> Connection {
        var connection = Connection(name: name, proposals: [], children: [])
        func pattern() -> AddressPattern {
            let some = addresses[randomness.below(addresses.count)]
            let other = addresses[randomness.below(addresses.count)]
            switch randomness.below(6) {
            case 0: return .any(nil)
            case 1: return .any(.v6)
            case 2: return .range(min(some, other), max(some, other))
            case 3: return .name("peer.example", [some, other])
            default: return .range(some, some)
            }
        }
        connection.localAddresses = (0...randomness.below(2)).map { _ in pattern() }
        connection.remoteAddresses = (0..<randomness.below(3)).map { _ in pattern() }
        let names = ["a.example", "b.example"].compactMap(Identity.init(_:))
        connection.localIdentity = [nil, names[0], names[1]][randomness.below(3)]
        connection.remoteIdentity = patterns[randomness.below(patterns.count)]
        connection.version = [.any, .v1, .v2][randomness.below(3)]
        return connection
    }

    /// What the index must say: every connection asked, the closest first, equals by their order.
    private static func expected(
        _ connections: [Connection], _ local: IPAddress, _ remote: IPAddress, _ version: IKEVersion
    ) -> [String] {
        let fitting = connections.filter {
            ($0.version == .any || $0.version == version) && $0.specificity(local: local, remote: remote) > 0
        }
        let levels = Set(fitting.map { $0.specificity(local: local, remote: remote) }).sorted(by: >)
        return levels.flatMap { level in
            fitting.filter { $0.specificity(local: local, remote: remote) == level }.map(\.name)
        }
    }

    @Test(arguments: 1...40) func itSaysWhatAskingEveryConnectionWould(seed: Int) {
        var numbers = SeededNumbers(UInt64(seed))
        var kept = (0..<12).map { Self.connection("c\($0)", &numbers) }
        var database = PolicyDatabase(connections: kept)
        var found = 0
        for step in 0..<40 {
            switch numbers.below(4) {
            case 0:
                let new = Self.connection("c\(numbers.below(16))", &numbers)
                database.put(new)
                if let position = kept.firstIndex(where: { $0.name == new.name }) {
                    kept[position] = new
                } else {
                    kept.append(new)
                }
            case 1:
                let name = "c\(numbers.below(16))"
                database.remove(name)
                kept.removeAll { $0.name == name }
            default: break
            }
            #expect(database.connections.map(\.name) == kept.map(\.name), "step \(step)")
            for connection in kept {
                let siblings = kept.filter {
                    $0.localIdentity == connection.localIdentity && $0.remoteIdentity == connection.remoteIdentity
                }
                #expect(database.names(betweenIdentitiesOf: connection) == Set(siblings.map(\.name)))
            }
            for local in Self.addresses {
                for remote in Self.addresses {
                    for version in [IKEVersion.v1, .v2] {
                        let names = database.candidates(local: local, remote: remote, version: version).map(\.name)
                        #expect(names == Self.expected(kept, local, remote, version))
                        found += names.count
                        let identity = Self.identities[numbers.below(Self.identities.count)]
                        let matching = database.candidates(
                            local: local, remote: remote, version: version, identity: identity
                        ).filter { $0.remoteIdentity.matches(identity) }
                        let fitting = kept.filter { $0.remoteIdentity.matches(identity) }
                        #expect(
                            matching.map(\.name) == Self.expected(fitting, local, remote, version), "\(identity)")
                    }
                }
            }
        }
        #expect(found > 100)
    }

    private struct SeededNumbers {
        private var state: UInt64
        init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
        mutating func below(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int((state >> 33) % UInt64(bound))
        }
    }
}
