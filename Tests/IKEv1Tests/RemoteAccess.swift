import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// A host, on the left unless said, and a gateway with users and pools.
enum RemoteAccess {
    static let user = Identity("joe")!
    static let pool = AddressPool(name: "pool", IPAddress("10.3.0.0")!, length: 24)!

    /// A pair whose initiator is the host.
    static func pair(
        password: String = "foobar", rightPassword: String = "foobar", isAggressive: Bool = false,
        extended: Bool = true,
        vips: [String] = ["0.0.0.0"], pools: [AddressPool] = [pool], isPulling: Bool = true, seed: UInt64 = 1,
        hostBegins: Bool = true, host changeHost: (inout Connection) -> Void = { _ in },
        gateway changeGateway: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var host = Pair.connection(isLeft: hostBegins)
        var gateway = Pair.connection(isLeft: !hostBegins)
        host.isAggressive = isAggressive
        gateway.isAggressive = isAggressive
        host.virtualAddresses = vips.map { IPAddress($0)! }
        gateway.pools = pools.map(\.name)
        host.isPulling = isPulling
        gateway.isPulling = isPulling
        host.children[0].localSelectors = [.dynamic]
        gateway.children[0].remoteSelectors = [.dynamic]
        if extended {
            host.local.append(AuthenticationRound(.extendedAuthentication, identity: .exactly(user)))
            gateway.remote.append(AuthenticationRound(.extendedAuthentication))
        }
        changeHost(&host)
        changeGateway(&gateway)
        var pair = hostBegins ? Pair(host, gateway, seed: seed) : Pair(gateway, host, seed: seed)
        let (hostSide, gatewaySide): (Pair.Side, Pair.Side) =
            hostBegins ? (.initiator, .responder) : (.responder, .initiator)
        pair[hostSide].passwords = [user: password]
        pair[gatewaySide].passwords = [user: rightPassword]
        pair[gatewaySide].environment.policies.pools = pools
        return pair
    }

    /// The attributes that a side has said or would say next are read with its keys.
    static func keys(_ pair: Pair, _ side: Pair.Side) throws -> PhaseOne { try #require(pair[side].session.phaseOne) }

    /// A first message of a Transaction exchange as `side` could send it, or one behind another under the same message ID.
    static func forge(
        _ payload: AttributesPayload, from side: Pair.Side, _ pair: Pair, messageID: UInt32 = 0x0102_0304,
        breaksHash: Bool = false, behind transaction: Transaction? = nil
    ) throws -> Datagram {
        let messageID = transaction?.messageID ?? messageID
        let session = pair[side].session
        let phaseOne = try keys(pair, side)
        var rest: [UInt8] = []
        PayloadChain.write([payload.payload], to: &rest)
        var hash = try phaseOne.keys.authenticator([messageID.octets, rest])
        if breaksHash { hash[3] ^= 0x10 }
        let first = CipherChain(iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: messageID))
        var chain = transaction?.chain ?? first
        let octets = try chain.seal(
            [Payload(.hash, body: hash), payload.payload], header: session.header(.transaction, messageID: messageID),
            keys: phaseOne.keys)
        return Datagram(local: session.remote, remote: session.local, octets: octets)
    }

    /// Nothing is left of a session that has ended.
    static func expectNothingLeft(
        _ pair: inout Pair, _ comment: Comment = "", _ place: SourceLocation = #_sourceLocation
    ) {
        pair.run(for: .seconds(900))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil, comment, sourceLocation: place)
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty, comment, sourceLocation: place)
            #expect(pair[side].claimed.isEmpty, comment, sourceLocation: place)
            #expect(pair[side].environment.spisInUse.isEmpty, comment, sourceLocation: place)
            #expect(pair[side].environment.leases.isEmpty, comment, sourceLocation: place)
            #expect(pair[side].addresses.isEmpty, comment, sourceLocation: place)
        }
    }
}
