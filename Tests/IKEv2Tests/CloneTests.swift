import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Clones of IKE SAs (RFC 7791), between two sessions that both know them, and with one that does not.
@Suite struct CloneTests {
    private static func pair(
        initiator: Int = 2, responder: Int = 2, _ change: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var (left, right) = (Pair.connection(isLeft: true), Pair.connection(isLeft: false))
        change(&left)
        change(&right)
        (left.maximumClones, right.maximumClones) = (initiator, responder)
        var pair = Pair(left, right)
        // On a node no session and no clone have the same number.
        for index in pair.ends.indices {
            for _ in 0..<10 { _ = pair.ends[index].environment.freshSessionID() }
        }
        pair.establish()
        return pair
    }

    /// The names of the notifications of the only message in flight, and the types of its other payloads.
    private static func inFlight(_ pair: Pair) throws -> [String] {
        let (side, datagram) = try #require(pair.wire.first)
        var sa = try #require(pair[side].session.current)
        var reader = ByteReader(datagram.octets)
        let opened = try #require(try sa.open(datagram.octets, try Header(from: &reader)))
        return try opened.inner.map {
            $0.type == .notify ? try NotifyPayload(parsing: $0).type.name : "\($0.type.rawValue)"
        }
    }

    private static func deliverOne(_ pair: inout Pair) {
        let (side, datagram) = pair.wire.removeFirst()
        pair.give(
            .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)), to: side)
    }

    @Test(arguments: Pair.Side.allCases) func theOldOneKeepsItsChildrenAndTheNewOneHasNone(side: Pair.Side) throws {
        var pair = Self.pair()
        let before = Pair.Side.allCases.map { pair[$0].session.current?.ownSPI }
        let children = Pair.Side.allCases.map { pair[$0].usable.map(\.id) }
        pair.give(.command(.clone(tag: 7)), to: side)
        #expect(try Self.inFlight(pair) == ["CLONE_IKE_SA", "33", "40", "34"])
        Self.deliverOne(&pair)
        #expect(try Self.inFlight(pair) == ["CLONE_IKE_SA", "33", "40", "34"])
        // The responder's half is there before the answer is.
        #expect(pair[side.other].clones.count == 1 && pair[side.other].clones[0].tag == nil)
        pair.settle()
        #expect(pair[side].clones.map(\.tag) == [7] && pair[side].notCloned.isEmpty)
        #expect(Pair.Side.allCases.map { pair[$0].session.current?.ownSPI } == before)
        #expect(Pair.Side.allCases.map { pair[$0].usable.map(\.id) } == children)
        #expect(pair.disagreements == [])
        // The old one claims nothing of the new one's.
        #expect(pair[side].claimed == Set(pair[side].session.associations.map(\.ownSPI)))

        var clone = try #require(pair.clone)
        let (one, other) = (
            try #require(clone.initiator.session.current), try #require(clone.responder.session.current)
        )
        #expect(one.keys.all == other.keys.all && one.keys.all != pair.initiator.session.current?.keys.all)
        #expect(one.initiatorSPI == other.initiatorSPI && one.responderSPI == other.responderSPI)
        #expect(one.isInitiator == (side == .initiator) && other.isInitiator != one.isInitiator)
        for each in Pair.Side.allCases {
            let snapshot = clone[each].session.snapshot
            #expect(snapshot.state == .established && snapshot.children.isEmpty)
            #expect(snapshot.clonedFrom == pair[each].session.id && snapshot.id != pair[each].session.id)
            #expect(snapshot.remoteIdentity == pair[each].session.snapshot.remoteIdentity)
            #expect(clone[each].claimed == [each == .initiator ? one.ownSPI : other.ownSPI])
            #expect(clone[each].events.contains(.established))
        }
        // It does all that the first one does: children from either end, rekeyings, and its own end.
        for each in Pair.Side.allCases {
            clone.give(.command(.createChild(name: "net")), to: each)
            clone.settle()
            #expect(clone[each].usable.count == 1 && clone[each.other].usable.count == 1)
            clone.give(.command(.rekeyChild(clone[each].usable[0].id)), to: each)
            clone.run(for: .seconds(10))
            clone.give(.command(.rekeyIKE), to: each)
            clone.run(for: .seconds(10))
            #expect(clone.disagreements == [] && clone[each].usable.count == 1)
            clone.give(.command(.deleteChild(clone[each].usable[0].id)), to: each)
            clone.settle()
        }
        clone.give(.command(.delete), to: side.other)
        clone.settle()
        #expect(clone.initiator.closed != nil && clone.responder.closed != nil)
    }

    @Test(arguments: [(2, 0), (0, 2), (0, 0)]) func aPeerThatDoesNotKnowItGetsNoRequest(ends: (Int, Int)) throws {
        var pair = Self.pair(initiator: ends.0, responder: ends.1)
        let before = pair.initiator.session.current?.ownSPI
        for side in Pair.Side.allCases {
            pair.give(.command(.clone(tag: 1)), to: side)
            #expect(pair.wire.isEmpty && pair[side].notCloned.map(\.tag) == [1])
            pair.settle()
        }
        #expect(pair.initiator.clones.isEmpty && pair.responder.clones.isEmpty)
        #expect(pair.initiator.session.current?.ownSPI == before && pair.initiator.usable.count == 1)
        #expect(!pair.initiator.session.snapshot.takesClones && !pair.responder.session.snapshot.takesClones)
    }

    @Test func whatWasNotAgreedOnIsRefused() throws {
        var pair = Self.pair(responder: 0)
        // An initiator that asks all the same.
        pair.ends[0].session.takesClones = true
        pair.give(.command(.clone(tag: 1)), to: .initiator)
        pair.settle()
        let refusal = try #require(pair.initiator.notCloned.first?.refusal)
        #expect(refusal == .peer(notification: NotificationType.noAdditionalSAs.rawValue, name: "NO_ADDITIONAL_SAS"))
        #expect(pair.responder.clones.isEmpty && pair.responder.session.associations.count == 1)
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
    }

    @Test func thereAreNoMoreThanTheResponderTakes() throws {
        var pair = Self.pair(initiator: 9, responder: 1)
        pair.give(.command(.clone(tag: 1)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.clones.count == 1)
        // Key management counts.
        pair.ends[1].environment.clones.add(to: pair.responder.session.id)
        pair.give(.command(.clone(tag: 2)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.clones.count == 1 && pair.responder.clones.count == 1)
        #expect(pair.initiator.notCloned.map(\.tag) == [2])
        pair.ends[1].environment.clones.remove(from: pair.responder.session.id)
        pair.ends[1].environment.clones.isFull = true
        pair.give(.command(.clone(tag: 3)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.notCloned.map(\.tag) == [2, 3] && pair.responder.clones.count == 1)
    }

    @Test func clonesOfBothEndsMayMeet() throws {
        var pair = Self.pair()
        for side in Pair.Side.allCases { pair.give(.command(.clone(tag: 1)), to: side) }
        pair.settle()
        #expect(pair.initiator.clones.count == 2 && pair.responder.clones.count == 2)
        let keys = Pair.Side.allCases.map { side in
            Set(pair[side].clones.compactMap { $0.session.current?.initiatorSPI })
        }
        #expect(keys[0] == keys[1] && keys[0].count == 2)
    }

    @Test func aCloneWaitsWhileTheIKESAIsReplaced() throws {
        var pair = Self.pair()
        // The peer's rekeying and our clone cross: each refuses the other's, and both come about later.
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.give(.command(.clone(tag: 4)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.clones.isEmpty && pair.initiator.notCloned.isEmpty)
        let before = pair.initiator.session.current?.ownSPI
        pair.run(for: .seconds(20))
        #expect(pair.initiator.clones.map(\.tag) == [4] && pair.responder.clones.count == 1)
        #expect(pair.initiator.session.current?.ownSPI != before)
        #expect(pair.initiator.usable.count == 1 && pair.disagreements == [])
    }

    @Test func aPeerThatCannotJustNowIsNotAskedForEver() throws {
        var pair = Self.pair()
        pair.give(.command(.clone(tag: 4)), to: .initiator)
        var requests = 0
        while let (_, datagram) = pair.wire.first, requests < 20 {
            requests += 1
            pair.wire = []
            var sa = try #require(pair.responder.session.current)
            var reader = ByteReader(datagram.octets)
            let header = try Header(from: &reader)
            let answer = try sa.seal(
                header.exchange, messageID: header.messageID, isResponse: true,
                [NotifyPayload(.temporaryFailure).payload], &pair.ends[1].environment.randomness)
            pair.give(
                .datagram(Datagram(local: datagram.local, remote: datagram.remote, octets: answer[0])), to: .initiator)
            pair.now = pair.now + .seconds(6)
            if pair.ends[0].timers.removeValue(forKey: .retry) != nil { pair.give(.timer(.retry), to: .initiator) }
        }
        #expect(requests == 5 && pair.initiator.notCloned.map(\.tag) == [4] && pair.initiator.clones.isEmpty)
    }

    @Test func aPeerThatRekeysInsteadIsFollowed() throws {
        var pair = Self.pair()
        let before = pair.initiator.session.current?.ownSPI
        pair.give(.command(.clone(tag: 4)), to: .initiator)
        // The word gets lost on the peer: it takes the request for a rekeying.
        let (_, datagram) = pair.wire.removeFirst()
        var sa = try #require(pair.responder.session.current)
        var reader = ByteReader(datagram.octets)
        let header = try Header(from: &reader)
        let inner = try #require(try sa.open(datagram.octets, header)).inner
        var asking = try #require(pair.initiator.session.current)
        let plain = try asking.seal(
            header.exchange, messageID: header.messageID, isResponse: false, Array(inner.dropFirst()),
            &pair.ends[0].environment.randomness)
        pair.give(
            .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: plain[0])), to: .responder)
        pair.run(for: .seconds(10))
        #expect(pair.initiator.clones.isEmpty && pair.responder.clones.isEmpty)
        #expect(pair.initiator.notCloned.map(\.tag) == [4] && pair.initiator.session.current?.ownSPI != before)
        #expect(pair.initiator.session.current?.keys.all == pair.responder.session.current?.keys.all)
        pair.give(.command(.rekeyChild(pair.initiator.usable[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.disagreements == [])
    }

    @Test func furtherKeyExchangesAreDone() throws {
        var pair = Self.pair { $0.proposals[0].additionalKeyExchanges = [[.mlkem768]] }
        #expect(pair.initiator.session.current?.suite.additionalKeyExchanges == [.mlkem768])
        pair.give(.command(.clone(tag: 1)), to: .responder)
        pair.settle()
        let clone = try #require(pair.clone)
        #expect(clone.initiator.session.current?.suite.additionalKeyExchanges == [.mlkem768])
        #expect(clone.initiator.session.current?.keys.all == clone.responder.session.current?.keys.all)
    }

    @Test func anotherGroupIsTaken() throws {
        var pair = Self.pair { $0.proposals[0].keyExchange = [.curve25519, .ecp256] }
        for index in pair.ends.indices {
            pair.ends[index].session.connection?.proposals[0].keyExchange =
                index == 0 ? [.curve25519, .ecp256] : [.ecp256]
        }
        pair.give(.command(.clone(tag: 1)), to: .initiator)
        pair.settle()
        let clone = try #require(pair.clone)
        #expect(clone.initiator.session.current?.suite.keyExchange == .ecp256)
        #expect(clone.responder.session.current?.keys.all == clone.initiator.session.current?.keys.all)
    }

    @Test func itsPeersAreToAuthenticateWhenTheFirstOnesAre() throws {
        var pair = Self.pair { ($0.reauthenticationTime, $0.randomTime) = (.seconds(600), .zero) }
        pair.run(for: .seconds(100))
        let due = try #require(pair.initiator.session.reauthenticateAt)
        pair.give(.command(.clone(tag: 1)), to: .initiator)
        pair.settle()
        let clone = try #require(pair.clone)
        #expect(clone.initiator.timers[.reauthenticate] == due)
        #expect(clone.initiator.session.snapshot.reauthenticateAt == due)
    }
}
