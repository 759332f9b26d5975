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
