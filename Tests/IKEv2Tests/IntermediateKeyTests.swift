import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Post-quantum pre-shared keys in IKE_INTERMEDIATE (RFC 9867).
@Suite struct IntermediateKeyTests {
    private static func name(_ text: String) -> Identity { Identity(.keyID, octets: Array(text.utf8)) }

    private struct Setup {
        var left: String? = "quantum"
        var right: String?
        var leftRequires = false
        var rightRequires = false
        /// Whether the responder knows RFC 9867.
        var isKnown = true
        var further: [[KeyExchangeID]] = []
        var keys: [[String: [UInt8]]] = [["quantum": [1, 2, 3]], ["quantum": [1, 2, 3]]]

        var pair: Pair {
            let ike = MultipleKeyExchangeTests.proposal(Pair.aes, .curve25519, further)
            var one = Pair.connection(isLeft: true, ike: [ike])
            one.postquantumKey = left.map(name)
            one.requiresPostquantumKey = leftRequires
            var other = Pair.connection(isLeft: false, ike: [ike])
            other.postquantumKey = right.map(name)
            other.requiresPostquantumKey = rightRequires
            other.mixesKeyEarly = isKnown
            var pair = Pair(one, other)
            for side in Pair.Side.allCases { pair[side].postquantum = keys[side.rawValue] }
            pair.establish()
            return pair
        }
    }

    /// The exchanges that the initiator began; fragments count once.
    private func exchanges(_ pair: Pair) -> [UInt8] {
        var seen: Set<[UInt8]> = []
        return pair.initiator.sent.filter { $0.octets.count >= 28 && seen.insert(Array($0.octets[18..<24])).inserted }
            .map { $0.octets[18] }
    }

    private func stands(_ pair: Pair) -> Bool {
        pair.initiator.events.contains(.established) && pair.responder.events.contains(.established)
            && pair.disagreements == [] && pair.initiator.usable.count == 1
    }

    @Test(arguments: [[], [[.mlkem768]], [[.ecp256], [.mlkem768]]] as [[[KeyExchangeID]]])
    func bothEndsMixTheKeyIn(further: [[KeyExchangeID]]) throws {
        var pair = Setup(right: "quantum", leftRequires: true, rightRequires: true, further: further).pair
        #expect(stands(pair))
        // The key goes along with the last key exchange, or alone.
        #expect(exchanges(pair) == [34] + Array(repeating: 43, count: max(further.count, 1)) + [35])
        let sa = try #require(pair.initiator.session.current)
        #expect(sa.keys.all == pair.responder.session.current?.keys.all)
        var plain = Setup(left: nil, further: further).pair
        plain.settle()
        let other = try #require(plain.initiator.session.current)
        // All keys of the IKE SA are others, those of encryption as well.
        #expect(
            sa.keys.encryption(sa.suite, initiator: true) != other.keys.encryption(other.suite, initiator: true))
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.run(for: .seconds(30))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
    }

    @Test func aPeerThatDoesNotKnowItIsMetTheOldWay() throws {
        let pair = Setup(right: "quantum", leftRequires: true, rightRequires: true, isKnown: false).pair
        #expect(stands(pair) && exchanges(pair) == [34, 35])
        guard case .established = pair.initiator.session.phase else { return #expect(Bool(false)) }
    }

    @Test(arguments: [[[:], ["quantum": [1]]], [["quantum": [1]], [:]], [["quantum": [1]], ["quantum": [2]]]])
    func withoutTheSameKeyItGoesWithoutOrNotAtAll(keys: [[String: [UInt8]]]) {
        #expect(stands(Setup(keys: keys).pair))
        let left = Setup(leftRequires: true, keys: keys).pair
        #expect(!left.initiator.events.contains(.established) && left.initiator.closed != nil)
        #expect(left.responder.inbound.isEmpty)
        let right = Setup(rightRequires: true, keys: keys).pair
        #expect(!right.responder.events.contains(.established) && right.responder.closed != nil)
        #expect(!right.initiator.events.contains(.established))
    }

    @Test func whoWantsAnotherKeyTakesNone() {
        let pair = Setup(right: "another", rightRequires: true).pair
        #expect(!pair.responder.events.contains(.established) && pair.responder.closed != nil)
        #expect(stands(Setup(right: "another").pair))
    }

    @Test func aLostAnswerIsSaidAgain() throws {
        var pair = Setup(further: [[.ecp256]]).pair
        let before = pair.sentCount
        // Again from the start, with the first answer of IKE_INTERMEDIATE lost.
        pair = {
            var fresh = Pair(
                pair.initiator.session.connection ?? Pair.connection(isLeft: true),
                pair.responder.environment.policies.connections[0])
            for side in Pair.Side.allCases { fresh[side].postquantum = ["quantum": [1, 2, 3]] }
            var isLost = false
            fresh.network = { _, _, datagram in
                guard !isLost, datagram.octets.count > 18, datagram.octets[18] == 43, datagram.octets[19] & 0x20 != 0
                else { return [datagram] }
                isLost = true
                return []
            }
            fresh.establish()
            fresh.run(for: .seconds(10))
            return fresh
        }()
        #expect(stands(pair) && pair.sentCount > before)
    }

    @Test func offersAreReadCarefully() {
        let offer = PPKOffer(name: Self.name("q"), confirmation: [1, 2, 3, 4, 5, 6, 7, 8])
        #expect(PPKOffer(offer.data) == offer && offer.data == [2, 113, 1, 2, 3, 4, 5, 6, 7, 8])
        #expect(PPKOffer([]) == nil && PPKOffer(Array(offer.data.prefix(9))) == nil)
        #expect(PPKOffer(Array(offer.data.dropFirst(2))) == nil)
    }

    private func hex(_ text: String) -> [UInt8] { [UInt8](hex: text) ?? [] }

    /// Against an implementation of HMAC-SHA-256 and prf+ of its own.
    @Test func keysAreTheRFCs() throws {
        let contributions = KeySchedule.Public(
            initiatorNonce: Array(repeating: 2, count: 32), responderNonce: Array(repeating: 3, count: 32),
            initiatorSPI: 5, responderSPI: 6)
        let key = Secret(Array("quantum".utf8))
        let confirmation = try PseudorandomFunction.compute(.hmacSHA256, key: key, [.open(contributions.seed)])
        #expect(Array(confirmation.prefix(8)) == hex("2e3fc2e034d2fed2"))
        let seed = try PseudorandomFunction.expand(
            .hmacSHA256, key: key, seed: [.secret(Secret(Array(repeating: 1, count: 32)))], count: 32)
        #expect(seed == Secret(hex("ce20257fa76b25c023b0a6061944e52010fccaaba96d9dc29de4e2aca17f4d68")))
        var suite = Suite(encryption: Encryption(.aesCBC, keyBits: 128))
        suite.integrity = .hmacSHA256_128
        suite.prf = .hmacSHA256
        let (keys, proofs) = try KeySchedule.mixed(suite, seed: seed, contributions)
        #expect(
            keys.all
                == Secret(
                    hex(
                        "95bde6a0f94b19ed69c2adc395a4b9c7129e6760a783501ffbd87bc33c3801be"
                            + "e40c57251da245b362aeecf1ace02a0e3c3469f284f2de4ced996966d35e3ff9"
                            + "55ee5363d35352ada3b9131fe2f55bb1bc625026d4b87fa80d1f9076a44951ce"
                            + "4a704d2ca397f10f341cbe987a95cb64d957c97875e8f54b8fc5992f2fb5d38a")))
        #expect(proofs.initiator == Secret(hex("45230eda3f2069b305f8459f2b7d550d0da184f94e1c91370f82ff0947ad59d5")))
        #expect(proofs.responder == Secret(hex("6a4ba13fb6b9633b8fe92ca404a03d26977b2cc2b7c127667dab2c67258e304c")))
    }
}
