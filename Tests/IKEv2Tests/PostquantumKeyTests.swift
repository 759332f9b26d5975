import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Post-quantum pre-shared keys (RFC 8784): required, wanted, or unknown to one of the ends.
@Suite struct PostquantumKeyTests {
    private func pair(
        left: String?, right: String? = nil, leftRequires: Bool = false, rightRequires: Bool = false,
        keys: [[String: [UInt8]]] = [["quantum": [1, 2, 3]], ["quantum": [1, 2, 3]]]
    ) -> Pair {
        var one = Pair.connection(isLeft: true)
        one.postquantumKey = left.map { Identity(.keyID, octets: Array($0.utf8)) }
        one.requiresPostquantumKey = leftRequires
        one.mixesKeyEarly = false
        var other = Pair.connection(isLeft: false)
        other.postquantumKey = right.map { Identity(.keyID, octets: Array($0.utf8)) }
        other.requiresPostquantumKey = rightRequires
        other.mixesKeyEarly = false
        var pair = Pair(one, other)
        for side in Pair.Side.allCases { pair[side].postquantum = keys[side.rawValue] }
        pair.establish()
        return pair
    }

    /// SK_d behind IKE_AUTH, and what it would be without the key.
    private func isMixed(_ pair: Pair) throws -> Bool {
        let sa = try #require(pair.initiator.session.current)
        #expect(sa.keys.all == pair.responder.session.current?.keys.all)
        var plain = self.pair(left: nil)
        plain.settle()
        let other = try #require(plain.initiator.session.current)
        // The same seeds make the same keys, but for SK_d.
        let rest = sa.suite.prfOctets..<sa.keys.all.count
        #expect(sa.keys.all[rest] == other.keys.all[rest])
        return sa.keys.derivation(sa.suite) != other.keys.derivation(other.suite)
    }

    @Test(arguments: [false, true], [false, true]) func bothEndsMixTheKeyIn(left: Bool, right: Bool) throws {
        var pair = pair(left: "quantum", right: "quantum", leftRequires: left, rightRequires: right)
        #expect(pair.initiator.events.contains(.established) && pair.responder.events.contains(.established))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(try isMixed(pair))
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.run(for: .seconds(30))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
    }

    @Test func aResponderWithoutTheKeyIsMetWithout() throws {
        let pair = pair(left: "quantum", keys: [["quantum": [1]], [:]])
        #expect(pair.initiator.events.contains(.established) && pair.disagreements == [])
        #expect(try !isMixed(pair))
    }

    @Test func whoRequiresTheKeyTakesNoOther() {
        for keys in [[["quantum": [1]], [:]], [["quantum": [1]], ["quantum": [2]]]] as [[[String: [UInt8]]]] {
            let pair = pair(left: "quantum", leftRequires: true, keys: keys)
            #expect(!pair.initiator.events.contains(.established) && pair.initiator.closed != nil)
            #expect(pair.responder.closed != nil && pair.responder.inbound.isEmpty)
        }
        let unknown = pair(left: "quantum", leftRequires: true, keys: [[:], ["quantum": [1]]])
        #expect(unknown.initiator.closed != nil)
        let demanding = pair(left: nil, rightRequires: true)
        #expect(demanding.responder.closed == .refused(.authentication(peer: Identity("left.example")!)))
        let other = pair(left: "quantum", right: "another", rightRequires: true)
        #expect(other.responder.closed == .refused(.authentication(peer: Identity("left.example")!)))
    }

    /// Two different keys of one name never make an SA, whether required or not: a downgrade would be silent.
    @Test func differentKeysAreRefused() {
        let pair = pair(left: "quantum", keys: [["quantum": [1]], ["quantum": [2]]])
        #expect(!pair.initiator.events.contains(.established))
        #expect(pair.responder.closed == .refused(.authentication(peer: Identity("left.example")!)))
    }

    @Test func anInitiatorThatDoesNotHaveItGoesWithout() throws {
        let pair = pair(left: "quantum", keys: [[:], ["quantum": [1]]])
        #expect(pair.initiator.events.contains(.established))
        #expect(try !isMixed(pair))
    }

    @Test func identitiesAreReadCarefully() {
        #expect(PPKIdentity.parse([]) == nil && PPKIdentity.parse([2]) == nil)
        #expect(PPKIdentity.parse([1, 65]) == nil)
        #expect(PPKIdentity.parse([2] + Array(repeating: 65, count: 256)) == nil)
        #expect(PPKIdentity.parse([2, 65])?.octets == [65])
    }

    @Test func itGoesWithSeveralKeyExchanges() {
        let proposal = MultipleKeyExchangeTests.proposal(Pair.aes, .curve25519, [[.ecp256]])
        var one = Pair.connection(isLeft: true, ike: [proposal])
        one.postquantumKey = Identity(.keyID, octets: Array("quantum".utf8))
        var pair = Pair(one, Pair.connection(isLeft: false, ike: [proposal]))
        for side in Pair.Side.allCases { pair[side].postquantum = ["quantum": [5]] }
        pair.establish()
        #expect(pair.initiator.events.contains(.established) && pair.disagreements == [])
    }
}
