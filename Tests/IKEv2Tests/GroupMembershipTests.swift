import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Connections that are for members of groups, as an authentication server names them.
@Suite struct GroupMembershipTests {
    private static let joe = Identity("joe")!

    /// - Parameter more: other connections of the gateway, each with its groups.
    private func pair(wanted: [String], has: [String]?, more: [(name: String, groups: [String])] = []) -> Pair {
        var host = Pair.connection(isLeft: true)
        var gateway = Pair.connection(isLeft: false)
        host.local[0].method = .extensible(.any)
        host.local[0].userIdentity = .exactly(Self.joe)
        gateway.remote[0].method = .extensible(.radius)
        gateway.remote[0].userIdentity = .any
        gateway.remote[0].groups = wanted
        var pair = Pair(host, gateway)
        let others = more.map { name, groups in
            var other = gateway
            other.name = name
            other.remote[0].groups = groups
            return other
        }
        pair[.responder].environment.policies = PolicyDatabase(connections: [gateway] + others)
        for side in Pair.Side.allCases { pair[side].passwords = [Self.joe: "foobar"] }
        pair[.responder].grant = has.map { UserGrant(groups: $0) }
        pair.establish()
        return pair
    }

    @Test func aMemberComesIn() {
        let pair = pair(wanted: ["staff", "guests"], has: ["other", "guests"])
        #expect(pair.disagreements == [] && pair.responder.usable.count == 1)
        #expect(pair.responder.session.snapshot.remoteUser == Self.joe)
    }

    @Test(arguments: [["other"], []]) func whoIsInNoneIsRefused(has: [String]) {
        var pair = pair(wanted: ["staff"], has: has)
        pair.run(for: .seconds(200))
        let refusal = Refusal.groups(user: Self.joe, wanted: ["staff"], has: has)
        #expect(pair.responder.closed == .refused(refusal))
        #expect(pair.initiator.usable.isEmpty && pair.responder.installed.isEmpty)
        #expect(pair.responder.session.snapshot.remoteUser == nil)
    }

    /// A connection that differs by its groups alone takes over, the first one in the file.
    @Test func anotherConnectionIsForIt() {
        let pair = pair(
            wanted: ["staff"], has: ["guests"], more: [("nobody", ["x"]), ("visitors", ["guests"]), ("all", [])])
        #expect(pair.disagreements == [] && pair.responder.usable.count == 1)
        #expect(pair.responder.session.snapshot.connection == "visitors")
        let last = self.pair(wanted: ["staff"], has: [], more: [("nobody", ["x"]), ("all", [])])
        #expect(last.responder.session.snapshot.connection == "all")
    }

    /// Another that asks more of the peer is none to go to.
    @Test func whatWasNotAskedDoesNotCount() {
        var pair = pair(wanted: ["staff"], has: ["guests"], more: [])
        #expect(pair.responder.usable.isEmpty)
        pair.run(for: .seconds(200))
        #expect(pair.initiator.closed != nil)
    }
}
