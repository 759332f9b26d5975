import Cryptography
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// Ends that stay anonymous (RFC 7619).
@Suite struct NullAuthenticationTests {
    /// - Parameter anonymous: the ends that prove nothing.
    private static func pair(_ anonymous: Set<Pair.Side>, expecting: Set<Pair.Side>? = nil) -> Pair {
        var connections = [Pair.connection(isLeft: true), Pair.connection(isLeft: false)]
        for side in Pair.Side.allCases {
            if anonymous.contains(side) {
                connections[side.rawValue].local[0] = AuthenticationRound(.null, identity: .exactly(.null))
            }
            if (expecting ?? anonymous).contains(side.other) {
                connections[side.rawValue].remote[0] = AuthenticationRound(.null)
            }
        }
        return Pair(connections[0], connections[1])
    }

    @Test func nobodyHasAName() {
        #expect("\(Identity.null)" == "%null" && Identity("%null") == .null)
    }

    @Test(arguments: [Set<Pair.Side>([.initiator]), [.responder], [.initiator, .responder]])
    func eitherEndOrBoth(_ anonymous: Set<Pair.Side>) {
        var pair = Self.pair(anonymous)
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.disagreements == [])
        for side in Pair.Side.allCases {
            let expected =
                anonymous.contains(side.other)
                ? Identity.null : Identity(side == .initiator ? "right.example" : "left.example")
            #expect(pair[side].session.snapshot.remoteIdentity == expected)
        }
    }

    /// A pre-shared key, or none, is known by what the connection says and not by what the peer would like.
    @Test(arguments: Pair.Side.allCases) func whoMustProveItselfIsNotAnonymous(_ side: Pair.Side) {
        var pair = Self.pair([side], expecting: [])
        pair.establish()
        #expect(pair[side.other].usable.isEmpty && pair[side.other].session.snapshot.children.isEmpty)
        pair.run(for: .seconds(300))
        #expect(pair.initiator.closed != nil && pair.responder.closed != nil)
        var other = Self.pair([], expecting: [side])
        other.establish()
        #expect(other[side.other].usable.isEmpty)
    }

    /// AUTH by RFC 7619 §2.1's equation, computed here once more.
    @Test func theProofIsTheRFCs() throws {
        let key = Secret([UInt8](repeating: 7, count: 32))
        let octets = Array("octets".utf8)
        let padded = try PseudorandomFunction.derive(.hmacSHA256, key: key, [.open(Array("Key Pad for IKEv2".utf8))])
        let expected = try PseudorandomFunction.compute(.hmacSHA256, key: padded, [.open(octets)])
        let session = Self.pair([.initiator]).initiator.session
        #expect(try session.anonymousProof(AuthenticationRound(), .hmacSHA256, key, octets) == nil)
        let round = AuthenticationRound(.null)
        guard case .signedMessage(let proof)? = try session.anonymousProof(round, .hmacSHA256, key, octets) else {
            Issue.record("no proof")
            return
        }
        #expect(proof.method.rawValue == 13 && proof.data == expected && proof.certificates.isEmpty)
    }

    @Test func aProofByOtherKeysIsNone() throws {
        let session = Self.pair([.initiator]).initiator.session
        let round = AuthenticationRound(.null)
        let key = Secret([UInt8](repeating: 7, count: 32))
        let good = try UserKey.proof(.hmacSHA256, key, [1])
        func judge(_ method: UInt8, _ proof: [UInt8], _ key: Secret = key) throws -> Bool {
            let authentication = AuthenticationPayload(method: method, proof: proof)
            let answer = try session.judgeAnonymous(
                round, .hmacSHA256, key, [1], authentication, proof: authentication.proof)
            if case .verified(let peer)? = answer { return peer.identity == .null }
            return false
        }
        #expect(try judge(13, good))
        #expect(try !judge(2, good))
        #expect(try !judge(13, good.dropLast()))
        #expect(try !judge(13, []))
        #expect(try !judge(13, good, Secret([UInt8](repeating: 8, count: 32))))
    }

    /// All who are anonymous have one name, and none of them a right to what another was given.
    @Test func leasesAreNobodysButTheirOwn() {
        let one = Identity.null.leaseHolder(SessionID(1))
        let other = Identity.null.leaseHolder(SessionID(2))
        #expect(one != other && one.kind == .null && one.octets == [0, 0, 0, 0, 0, 0, 0, 1])
        let known = Identity("left.example")!
        #expect(known.leaseHolder(SessionID(1)) == known)
    }
}
