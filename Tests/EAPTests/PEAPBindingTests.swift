import Cryptography
import IPsec
import Primitives
import TLS
import Testing

@testable import EAP

/// PEAP's crypto-binding: both ends have the keys of TLS and of the method inside.
@Suite struct PEAPBindingTests {
    private static let tunnel = Secret((0..<64).map { UInt8($0) })
    private static let inside = Secret((0..<64).map { UInt8(200 - $0) })
    private static let nonce = (0..<32).map { UInt8($0 &* 7) }

    private func binding(_ tunnel: Secret = tunnel, _ inside: Secret? = inside) throws -> PEAPBinding {
        try PEAPBinding(tunnel: tunnel, inside: inside)
    }

    @Test func itsFormIsMicrosofts() throws {
        let octets = try binding().octets(.request, nonce: Self.nonce)
        #expect(octets.count == 60 && Array(octets[..<8]) == [0, 12, 0, 56, 0, 0, 0, 0])
        #expect(Array(octets[8..<40]) == Self.nonce)
        #expect(try binding().octets(.response, nonce: Self.nonce)[7] == 1)
        // Of the method inside 32 octets count, of TLS's keys 40; what makes no key counts as zeros.
        #expect(try binding(Self.tunnel[0..<40], Self.inside[0..<32]).octets(.request, nonce: Self.nonce) == octets)
        let zeros = Secret([UInt8](repeating: 0, count: 32))
        #expect(
            try binding(Self.tunnel, nil).octets(.request, nonce: Self.nonce)
                == binding(Self.tunnel, zeros).octets(.request, nonce: Self.nonce))
        #expect(try binding().masterSessionKey.count == 64)
        #expect(try binding().masterSessionKey != binding(Self.tunnel, nil).masterSessionKey)
    }

    /// The blocks of PRF+, one by one.
    @Test func keysComeOfBoth() throws {
        func mac(_ key: Secret, _ parts: [UInt8]) throws -> [UInt8] {
            try PseudorandomFunction.compute(.hmacSHA1, key: key, [.open(parts)])
        }
        let key = Self.tunnel[0..<40]
        let seed = Array("Inner Methods Compound Keys".utf8) + Array(Self.inside.exposed.prefix(32))
        let one = try mac(key, seed + [1, 0, 0])
        let two = try mac(key, one + seed + [2, 0, 0])
        let three = try mac(key, two + seed + [3, 0, 0])
        let octets = try binding().octets(.request, nonce: Self.nonce)
        #expect(
            try Array(octets.suffix(20))
                == mac(Secret(three), Array(octets.prefix(40)) + [UInt8](repeating: 0, count: 20) + [25]))
        let label = Array("Session Key Generating Function".utf8) + [0]
        let first = try mac(Secret(one + two), label + [1, 0, 0])
        #expect(try Array(binding().masterSessionKey.exposed.prefix(20)) == first)
    }

    @Test func nothingElseHolds() throws {
        let binding = try binding()
        let value = Array(try binding.octets(.request, nonce: Self.nonce).dropFirst(4))
        #expect(try binding.nonce(of: value, .request) == Self.nonce)
        // What one end says is not what the other one does.
        #expect(try binding.nonce(of: value, .response) == nil)
        for index in value.indices {
            var forged = value
            forged[index] ^= 1
            #expect(try binding.nonce(of: forged, .request) == nil, "octet \(index)")
        }
        for count in [0, 1, 4, 55, 57] {
            let other = Array((value + [0]).prefix(count))
            #expect(try binding.nonce(of: other, .request) == nil, "\(count) octets")
        }
        #expect(try self.binding(Self.inside, Self.tunnel).nonce(of: value, .request) == nil)
        #expect(try self.binding(Self.tunnel, nil).nonce(of: value, .request) == nil)
    }

    @Test func packetsCarryIt() throws {
        let octets = try binding().octets(.request, nonce: Self.nonce)
        let packet = PEAPPacket.result(.success, .request, identifier: 9, binding: octets)
        #expect(packet.count == 5 + 6 + 60 && PEAPPacket.result(packet, .request) == .success)
        #expect(PEAPPacket.binding(packet, .request) == Array(octets.dropFirst(4)))
        let plain = PEAPPacket.result(.failure, .response, identifier: 9)
        #expect(PEAPPacket.binding(plain, .response) == nil && PEAPPacket.result(plain, .response) == .failure)
        // A cut one is none.
        var cut = Array(packet.dropLast())
        cut[3] -= 1
        #expect(PEAPPacket.binding(cut, .request) == nil)
    }

    @Test(arguments: TunnelTests.versions) func usersAreBound(_ version: TLSConnection.Version) throws {
        var setting = TunnelLab.Setting(method: .peap, versions: version...version)
        let plain = try TunnelLab.run(setting)
        setting.asksBinding = true
        let bound = try TunnelLab.run(setting)
        for outcome in [plain, bound] {
            #expect(outcome.user == Identity("joe@example.org"), "\(outcome.failure ?? "") \(outcome.refusal ?? "")")
            #expect(outcome.serverKey != nil && outcome.serverKey == outcome.peerKey)
            #expect(outcome.peerKey?.count == 64)
        }
        #expect(plain.packets.count == bound.packets.count)
        // Result and binding, both ways: two packets are longer by a TLV.
        let sizes = zip(plain.packets, bound.packets).map { $1.count - $0.count }
        #expect(sizes.filter { $0 >= 50 }.count == 2)
        setting.password = "another"
        let wrong = try TunnelLab.run(setting)
        #expect(wrong.user == nil && wrong.peerKey == nil && wrong.serverKey == nil)
    }
}

/// Ends that do not hold what they say, with TLS played by hand.
extension PEAPBindingTests {
    private static let password = Secret(Array("clientPass".utf8))

    private static func facts(_ keys: Secret = tunnel) -> TunnelFacts {
        TunnelFacts(isVersion13: false, keys: keys, challenge: Secret([UInt8](1...17)))
    }

    /// What the two ends say inside, up to the server's result: the server, its last request's identifier, the user's end, and the
    /// result.
    private func ends() throws -> (server: TunnelServer, peer: TunnelPeer, result: [UInt8]) {
        var randomness = Randomness.seeded(4)
        let joe = Identity("joe")!
        var server = TunnelServer(.peap, claimed: joe, pattern: .any, asksBinding: true)
        var peer = TunnelPeer(.peap, user: joe)
        _ = try server.receive([0, 22])
        _ = try server.take(TunnelProgress(records: [20], facts: Self.facts()), &randomness)
        _ = try peer.receive([TunnelFraming.startFlag])
        _ = try peer.take(TunnelProgress(records: [22], facts: Self.facts()), identifier: 1, &randomness)
        var asked = try server.receive(TunnelFraming.empty)
        for _ in 0..<6 {
            guard case .ask(.plaintext(let request)) = asked else { break }
            if PEAPPacket.isExtension(request.exposed, .request) { return (server, peer, request.exposed) }
            _ = try server.take(TunnelProgress(records: [23]), &randomness)
            var said = try peer.take(TunnelProgress(plaintext: request), identifier: 2, &randomness)
            if case .prove(let challenge) = said { said = peer.prove(UserAnswer(challenge, password: Self.password)) }
            guard case .ask(.plaintext(let answer)) = said else { break }
            _ = try peer.take(TunnelProgress(records: [23]), identifier: 2, &randomness)
            asked = try server.take(TunnelProgress(plaintext: answer), &randomness)
            if case .judge(let proof, _) = asked {
                asked = server.judge(UserAnswer(proof.challenge, password: Self.password), &randomness)
            }
        }
        throw ParseError.invalid(offset: 0, rule: "the server tells a result")
    }

    private func hear(_ answer: [UInt8], _ server: TunnelServer) throws -> TunnelServer.Step {
        var server = server
        var randomness = Randomness.seeded(5)
        _ = try server.take(TunnelProgress(records: [23]), &randomness)
        return try server.take(TunnelProgress(plaintext: Secret(answer)), &randomness)
    }

    private func answer(_ request: [UInt8], _ peer: TunnelPeer) throws -> (answer: [UInt8], peer: TunnelPeer) {
        var peer = peer
        var randomness = Randomness.seeded(6)
        guard
            case .ask(.plaintext(let answer)) = try peer.take(
                TunnelProgress(plaintext: Secret(request)), identifier: 3, &randomness)
        else { throw ParseError.invalid(offset: 0, rule: "the user answers the result") }
        return (answer.exposed, peer)
    }

    @Test func whoBindsToAnotherTunnelDoesNotComeIn() throws {
        let (server, peer, result) = try ends()
        let (good, user) = try answer(result, peer)
        #expect(PEAPPacket.result(good, .response) == .success && PEAPPacket.binding(good, .response) != nil)
        guard case .succeed(_, let key) = try hear(good, server) else {
            Issue.record("the right answer is not taken")
            return
        }
        #expect(key == user.masterSessionKey && key != Self.tunnel)
        // Any octet of the binding that is another's.
        for index in (good.count - 52)..<good.count {
            var forged = good
            forged[index] ^= 1
            guard case .fail = try hear(forged, server) else {
                Issue.record("octet \(index) may be anything")
                continue
            }
        }
        // The server's own request, thrown back at it.
        var mirrored = result
        mirrored[0] = EAPPacket.Code.response.rawValue
        guard case .fail = try hear(mirrored, server) else {
            Issue.record("the request is taken for an answer")
            return
        }
        // The result alone is what a client says that knows no binding.
        guard
            case .succeed(_, let plain) = try hear(PEAPPacket.result(.success, .response, identifier: 9), server)
        else {
            Issue.record("a client without a binding is kept out")
            return
        }
        #expect(plain == Self.tunnel[0..<64])
    }

    @Test func aServerOfAnotherTunnelIsRefused() throws {
        let (_, peer, result) = try ends()
        for index in [result.count - 1, result.count - 21, result.count - 53] {
            var forged = result
            forged[index] ^= 1
            let (said, user) = try answer(forged, peer)
            #expect(PEAPPacket.result(said, .response) == .failure && PEAPPacket.binding(said, .response) == nil)
            #expect(user.masterSessionKey == nil && user.failure != nil)
        }
        // Without a binding it is what it always was.
        let (said, user) = try answer(PEAPPacket.result(.success, .request, identifier: 9), peer)
        #expect(PEAPPacket.result(said, .response) == .success && PEAPPacket.binding(said, .response) == nil)
        #expect(user.masterSessionKey == Self.tunnel[0..<64])
    }
}
