import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Rekeyings that leave out what stays the same, between two sessions that both know them, and with one that does not.
@Suite struct OptimizedRekeyTests {
    private static func pair(
        _ change: (inout Connection) -> Void = { _ in }, responderKnows: Bool = true, initiatorKnows: Bool = true
    ) -> Pair {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        for index in left.children.indices { left.children[index].mode = .tunnel }
        change(&left)
        change(&right)
        left.optimizesRekeying = initiatorKnows
        right.optimizesRekeying = responderKnows
        var pair = Pair(left, right)
        pair.establish()
        return pair
    }

    /// The payloads of the only message in flight.
    private static func inFlight(_ pair: Pair) throws -> [Payload] {
        let (side, datagram) = try #require(pair.wire.first)
        var sa = try #require(pair[side].session.current)
        var reader = ByteReader(datagram.octets)
        return try #require(try sa.open(datagram.octets, try Header(from: &reader))).inner
    }

    private static func types(_ payloads: [Payload]) throws -> [String] {
        try payloads.map { payload in
            switch payload.type {
            case .notify: try NotifyPayload(parsing: payload).type.name
            case .nonceV2: "N"
            case .keyExchangeV2: "KE"
            case .securityAssociationV2: "SA"
            case .selectorsInitiator, .selectorsResponder: "TS"
            default: "\(payload.type.rawValue)"
            }
        }
    }

    /// Gives the command, and returns what the request and the response hold.
    private static func exchange(
        _ pair: inout Pair, _ command: SessionCommand, by side: Pair.Side
    ) throws -> [[String]] {
        pair.give(.command(command), to: side)
        let request = try types(try inFlight(pair))
        let (to, datagram) = pair.wire.removeFirst()
        pair.give(
            .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)), to: to)
        // The IKE SA's successor is in use already where the response is made: it is read with the asking end's keys.
        let (_, answer) = try #require(pair.wire.first)
        var sa = try #require(pair[side].session.current)
        var reader = ByteReader(answer.octets)
        let response = try types(try #require(try sa.open(answer.octets, try Header(from: &reader))).inner)
        pair.settle()
        return [request, response]
    }

    @Test(arguments: Pair.Side.allCases, [false, true]) func onlyWhatIsNewIsSaid(side: Pair.Side, hasPFS: Bool) throws {
        var pair = Self.pair { if hasPFS { $0.children[0].proposals[0].keyExchange = [.curve25519] } }
        let ke = hasPFS ? ["KE"] : []
        // The first child, whose key exchange was the IKE SA's, and its successor.
        for _ in 0..<2 {
            let old = try #require(pair[side].usable.first)
            let said = try Self.exchange(&pair, .rekeyChild(old.id), by: side)
            #expect(said[0] == ["REKEY_SA", "OPTIMIZED_REKEY", "N"] + ke)
            #expect(said[1] == ["OPTIMIZED_REKEY", "N"] + ke)
            let new = try #require(pair[side].usable.first)
            #expect(pair[side].usable.count == 1 && pair[side.other].usable.count == 1)
            #expect(new.id != old.id && new.inboundSPI != old.inboundSPI)
            #expect(new.suite.keyExchange == (hasPFS ? .curve25519 : nil))
            #expect(new.localSelectors == old.localSelectors && new.remoteSelectors == old.remoteSelectors)
            pair.run(for: .seconds(10))
            #expect(pair.disagreements == [] && pair.initiator.inbound.count == 1)
        }
        let before = try #require(pair[side].session.current)
        #expect(
            try Self.exchange(&pair, .rekeyIKE, by: side)
                == [["OPTIMIZED_REKEY", "N", "KE"], ["OPTIMIZED_REKEY", "N", "KE"]])
        let (one, other) = (try #require(pair.initiator.session.current), try #require(pair.responder.session.current))
        #expect(one.initiatorSPI != before.initiatorSPI && one.initiatorSPI == other.initiatorSPI)
        #expect(one.responderSPI == other.responderSPI && one.suite == before.suite)
        // Its keys hold.
        pair.give(.command(.rekeyChild(pair[side].usable[0].id)), to: side)
        pair.run(for: .seconds(10))
        #expect(pair.disagreements == [] && pair[side].usable.count == 1)
    }

    @Test(arguments: [(true, false), (false, true), (false, false)]) func onePeerThatDoesNotKnowIsEnough(
        initiatorKnows: Bool, responderKnows: Bool
    ) throws {
        var pair = Self.pair(responderKnows: responderKnows, initiatorKnows: initiatorKnows)
        for side in Pair.Side.allCases {
            let said = try Self.exchange(&pair, .rekeyChild(pair[side].usable[0].id), by: side)
            #expect(said == [["REKEY_SA", "SA", "N", "TS", "TS"], ["SA", "N", "TS", "TS"]])
            #expect(
                try Self.exchange(&pair, .rekeyIKE, by: side) == [["SA", "N", "KE"], ["SA", "N", "KE"]])
            pair.run(for: .seconds(10))
            #expect(pair.disagreements == [] && pair[side].usable.count == 1)
        }
    }

    @Test func everyPropertyIsInherited() throws {
        var pair = Self.pair {
            $0.children[0].compresses = true
            $0.children[0].treatment.padding = .octets(200)
        }
        // The peer takes no padding, which only its first message said.
        pair.ends[0].session.children[0].takesPadding = false
        let before = try #require(pair.initiator.outbound.values.first?.compression)
        let said = try Self.exchange(&pair, .rekeyChild(pair.initiator.usable[0].id), by: .initiator)
        #expect(said[0] == ["REKEY_SA", "IPCOMP_SUPPORTED", "OPTIMIZED_REKEY", "N"])
        #expect(said[1] == ["IPCOMP_SUPPORTED", "OPTIMIZED_REKEY", "N"])
        pair.run(for: .seconds(10))
        let outbound = try #require(pair.initiator.outbound.values.first)
        #expect(outbound.compression != nil && outbound.compression != before)
        #expect(outbound.treatment.padding == .none)
        #expect(pair.responder.outbound.values.first?.treatment.padding == .octets(200))
        #expect(pair.disagreements == [])
    }

    @Test func transportModeStays() throws {
        var pair = Self.pair {
            $0.children[0].mode = .transport
            $0.children[0].localSelectors = [.dynamic]
            $0.children[0].remoteSelectors = [.dynamic]
        }
        try #require(pair.initiator.usable.first?.mode == .transport)
        let said = try Self.exchange(&pair, .rekeyChild(pair.responder.usable[0].id), by: .responder)
        #expect(said == [["REKEY_SA", "OPTIMIZED_REKEY", "N"], ["OPTIMIZED_REKEY", "N"]])
        #expect(pair.initiator.usable.map(\.mode) == [.transport] && pair.responder.usable.map(\.mode) == [.transport])
    }

    @Test func furtherKeyExchangesFollow() throws {
        var pair = Self.pair {
            $0.proposals = [MultipleKeyExchangeTests.proposal(Pair.aes, .curve25519, [[.mlkem768]])]
            $0.children[0].proposals = [MultipleKeyExchangeTests.proposal(Pair.esp, .curve25519, [[.mlkem768]])]
        }
        for side in Pair.Side.allCases {
            let said = try Self.exchange(&pair, .rekeyChild(pair[side].usable[0].id), by: side)
            #expect(said[0] == ["REKEY_SA", "OPTIMIZED_REKEY", "N", "KE"])
            #expect(said[1] == ["OPTIMIZED_REKEY", "N", "KE", "ADDITIONAL_KEY_EXCHANGE"])
            #expect(pair[side].usable.map(\.suite.furtherKeyExchanges) == [[.mlkem768]])
            #expect(try Self.exchange(&pair, .rekeyIKE, by: side)[0] == ["OPTIMIZED_REKEY", "N", "KE"])
            #expect(pair[side].session.current?.suite.furtherKeyExchanges == [.mlkem768])
            pair.run(for: .seconds(10))
            #expect(pair.disagreements == [] && pair[side].usable.count == 1)
        }
    }

    @Test func aFirstChildWithAnotherKeyExchangeThanTheIKESAsIsNegotiated() throws {
        var pair = Self.pair { $0.children[0].proposals[0].keyExchange = [.ecp256] }
        let said = try Self.exchange(&pair, .rekeyChild(pair.initiator.usable[0].id), by: .initiator)
        #expect(said[0] == ["REKEY_SA", "SA", "N", "KE", "TS", "TS"])
        // From then on it has one of its own.
        let next = try Self.exchange(&pair, .rekeyChild(pair.initiator.usable[0].id), by: .initiator)
        #expect(next[0] == ["REKEY_SA", "OPTIMIZED_REKEY", "N", "KE"])
        #expect(pair.initiator.usable.first?.suite.keyExchange == .ecp256 && pair.disagreements == [])
    }

    @Test func whatIsRefusedIsNegotiatedWhole() throws {
        var pair = Self.pair()
        // The responder is configured anew: narrower selectors, and another cipher for IKE beside the one in use.
        pair.ends[1].session.connection?.children[0].localSelectors = [Pair.selector("10.2.1.0/24")]
        pair.give(.command(.rekeyChild(pair.initiator.usable[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.usable.map(\.remoteSelectors) == [[TrafficSelector(Prefix("10.2.1.0/24")!)]])
        #expect(pair.disagreements == [] && pair.responder.usable.count == 1)
        var other = Pair.aes
        other.encryption = [Encryption(.aesCBC, keyBits: 256)]
        for side in Pair.Side.allCases { pair.ends[side.rawValue].session.connection?.proposals = [other] }
        // What the initiator itself would not negotiate so any more, it does not ask for.
        pair.ends[0].session.connection?.proposals = [Pair.aes, other]
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.settle()
        #expect(pair.initiator.session.current?.suite.encryption.keyBits == 256)
        #expect(pair.responder.session.current?.suite.encryption.keyBits == 256)
        pair.run(for: .seconds(10))
        #expect(pair.initiator.closed == nil && pair.initiator.inbound.count == 1)
        #expect(pair.responder.environment.spisInUse.count == 1 && pair.initiator.environment.spisInUse.count == 1)
    }

    @Test func twoThatMeetLeaveOne() {
        for _ in 0..<2 {
            var pair = Self.pair()
            for side in Pair.Side.allCases { pair.give(.command(.rekeyChild(pair[side].usable[0].id)), to: side) }
            pair.run(for: .seconds(30))
            #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1 && pair.disagreements == [])
            for side in Pair.Side.allCases { pair.give(.command(.rekeyIKE), to: side) }
            pair.run(for: .seconds(300))
            #expect(pair.initiator.session.associations.count == 1 && pair.responder.session.associations.count == 1)
            #expect(pair.initiator.session.current?.initiatorSPI == pair.responder.session.current?.initiatorSPI)
        }
    }

    /// The responder's answer to a CREATE_CHILD_SA request with these payloads.
    private static func ask(_ pair: inout Pair, _ payloads: [Payload]) throws -> [String] {
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(5)
        let octets = try sa.seal(
            .createChildSA, messageID: sa.nextRequestID, isResponse: false, payloads, &randomness)
        let snapshot = pair.initiator.session.snapshot
        for piece in octets {
            pair.give(
                .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: piece)), to: .responder)
        }
        let answer = try #require(pair.responder.sent.last)
        var reader = ByteReader(answer.octets)
        return try types(try #require(try sa.open(answer.octets, try Header(from: &reader))).inner)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let nonce = Payload(.nonceV2, body: Array(repeating: 5, count: 32))
        func optimized(_ octets: Int) -> Payload {
            NotifyPayload(.optimizedRekey, data: Array(repeating: 9, count: octets)).payload
        }
        func rekey(_ pair: Pair) -> Payload {
            NotifyPayload(.rekeySA, protocol: .esp, spi: pair.initiator.usable[0].inboundSPI.octets).payload
        }
        let ke = KeyExchangePayload(group: .ecp256, value: [4] + Array(repeating: 1, count: 64)).payload
        // An SPI of another size; no group for an IKE SA; a group that is not its; one where the child had none.
        var pair = Self.pair()
        #expect(try Self.ask(&pair, [rekey(pair), optimized(8), nonce]) == ["INVALID_SYNTAX"])
        pair = Self.pair()
        #expect(try Self.ask(&pair, [optimized(4), nonce, ke]) == ["INVALID_SYNTAX"])
        pair = Self.pair()
        #expect(try Self.ask(&pair, [optimized(8), nonce]) == ["NO_PROPOSAL_CHOSEN"])
        pair = Self.pair()
        #expect(try Self.ask(&pair, [optimized(8), nonce, ke]) == ["NO_PROPOSAL_CHOSEN"])
        pair = Self.pair()
        #expect(try Self.ask(&pair, [rekey(pair), optimized(4), nonce, ke]) == ["NO_PROPOSAL_CHOSEN"])
        #expect(pair.responder.usable.count == 1 && pair.responder.environment.spisInUse.count == 1)
        // Nothing was agreed on: the notification means nothing, and the SA payload is missing.
        pair = Self.pair(responderKnows: false)
        #expect(try Self.ask(&pair, [rekey(pair), optimized(4), nonce]) == ["INVALID_SYNTAX"])
    }
}
