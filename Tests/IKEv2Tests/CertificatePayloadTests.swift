import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Signatures and certificates in IKE_AUTH (RFC 7296 §1.2, §3.6, §3.7), whatever they are worth.
@Suite struct CertificatePayloadTests {
    private static func connection(isLeft: Bool) -> Connection {
        var connection = Pair.connection(isLeft: isLeft)
        for (rounds, isOwn) in [(\Connection.local, true), (\.remote, false)] {
            connection[keyPath: rounds][0].method = .publicKey(KeyConstraint())
            if isOwn {
                connection[keyPath: rounds][0].certificates.certificates = [[0x30, isLeft ? 1 : 2], [0x30, 3]]
            } else {
                connection[keyPath: rounds][0].certificates.authorityHashes = [[UInt8](repeating: 7, count: 20)]
            }
        }
        return connection
    }

    private static func pair() -> Pair { Pair(connection(isLeft: true), connection(isLeft: false)) }

    @Test func eachCertificateIsSentOnce() {
        var pair = Self.pair()
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.responder.verifications.map(\.proof.certificates) == [[[0x30, 1], [0x30, 3]]])
        #expect(pair.initiator.verifications.map(\.proof.certificates) == [[[0x30, 2], [0x30, 3]]])
        #expect(pair.initiator.verifications.first?.identity == Identity("right.example"))
    }

    /// `send_cert = never`: the peer must have them.
    @Test func whoShowsNoCertificatesSendsNone() {
        var connections = [Self.connection(isLeft: true), Self.connection(isLeft: false)]
        connections[0].showsCertificates = false
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.responder.verifications.map(\.proof.certificates) == [[]])
        #expect(pair.initiator.verifications.map(\.proof.certificates) == [[[0x30, 2], [0x30, 3]]])
    }

    /// `send_certreq = no`.
    @Test func whoAsksForNoCertificatesSendsNoRequest() {
        var connection = Self.connection(isLeft: true)
        #expect(connection.requestedAuthorities.count == 1)
        connection.usesCertificateLocations = true
        connection.requestsCertificates = false
        #expect(connection.requestedAuthorities.isEmpty && connection.lookupPayloads.isEmpty)
    }

    /// OCSP answers inside IKE (RFC 4806): each end says them only to a peer that asks, and both need not want the same.
    @Test(arguments: Connection.StatusUse.allCases, Connection.StatusUse.allCases)
    func statusesAreSaidToWhoAsks(_ left: Connection.StatusUse, _ right: Connection.StatusUse) {
        var connections = [Self.connection(isLeft: true), Self.connection(isLeft: false)]
        connections[0].statusUse = left
        connections[1].statusUse = right
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        let said: [[UInt8]] = [[0x30, 9]]
        #expect(
            pair.responder.verifications.map(\.proof.statuses) == [right.requests && left.replies ? said : []])
        #expect(
            pair.initiator.verifications.map(\.proof.statuses) == [left.requests && right.replies ? said : []])
        // They are no certificates, and these stay what they were.
        #expect(pair.responder.verifications.map(\.proof.certificates) == [[[0x30, 1], [0x30, 3]]])
    }

    /// Raw public keys (RFC 7670): each end says its own to a peer that knows it by its key, and asks so.
    @Test(arguments: [false, true], [false, true]) func publicKeysAreSaidToWhoAsks(_ left: Bool, _ right: Bool) {
        var connections = [Self.connection(isLeft: true), Self.connection(isLeft: false)]
        for (index, asks) in [left, right].enumerated() {
            connections[index].remote[0].publicKeyFiles = asks ? ["peer.pub"] : []
        }
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        let said: [[UInt8]] = [[0x30, 15]]
        #expect(pair.responder.verifications.map(\.proof.publicKeys) == [right ? said : []])
        #expect(pair.initiator.verifications.map(\.proof.publicKeys) == [left ? said : []])
        #expect(pair.responder.verifications.map(\.proof.certificates) == [[[0x30, 1], [0x30, 3]]])
    }

    @Test func publicKeysAreReadAsTheyAreWritten() throws {
        let payload = CertificatePayload.publicKeyPayload([0x30, 1, 2])
        #expect(payload.body == [15, 0x30, 1, 2])
        let content = try MessageContent([payload, CertificateRequestPayload.publicKeyPayload])
        #expect(content.publicKeys == [[0x30, 1, 2]] && content.certificates.isEmpty && content.wantsPublicKey)
        #expect(content.certificateRequests.isEmpty && !content.wantsStatuses)
        #expect(CertificateRequestPayload.publicKeyPayload.body == [15])
        let many = [Payload](repeating: payload, count: 17)
        #expect(try MessageContent(Array(many.dropLast())).publicKeys.count == 16)
        #expect(throws: Fault.self) { try MessageContent(many) }
    }

    /// Where a certificate is, instead of the certificate (RFC 7296 §3.6): only to whom takes it, and from whom was told.
    @Test(arguments: [false, true], [false, true]) func placesAreSaidToWhoFetches(_ left: Bool, _ right: Bool) {
        var connections = [Self.connection(isLeft: true), Self.connection(isLeft: false)]
        connections[0].usesCertificateLocations = left
        connections[1].usesCertificateLocations = right
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        let said = left && right ? [Pair.place] : []
        for side in Pair.Side.allCases { #expect(pair[side].verifications.map(\.proof.locations) == [said]) }
    }

    @Test func placesAreReadAsTheyAreWritten() throws {
        func read(_ payload: Payload) throws -> [CertificateLocation] { try MessageContent([payload]).locations }
        #expect(try read(CertificatePayload.payload(Pair.place)) == [Pair.place])
        let bundle = CertificateLocation(hash: Pair.place.hash, uri: "http://x/b", isBundle: true)
        #expect(CertificatePayload.payload(bundle).body.first == 13)
        #expect(try read(CertificatePayload.payload(bundle)) == [bundle])
        let hash = Pair.place.hash
        for uri in [
            [], [0x20], Array("http://x/\r\nHost: y".utf8), Array("http://é/".utf8),
            [UInt8](repeating: 0x61, count: 1025),
        ] {
            #expect(try read(Payload(.certificateV2, body: [12] + hash + uri)).isEmpty)
        }
        #expect(throws: Fault.self) { try read(Payload(.certificateV2, body: [12] + hash.dropLast())) }
        let many = (0..<9).map { CertificatePayload.payload(CertificateLocation(hash: hash, uri: "http://x/\($0)")) }
        #expect(try MessageContent(many).locations.count == 4)
    }

    /// A peer brings as many as it likes; more than any path needs are refused.
    @Test func statusesAreBounded() throws {
        func content(_ count: Int) throws(Fault) -> MessageContent {
            try MessageContent(
                (0..<count).map { _ in CertificatePayload.statusPayload([0x30, 0]) })
        }
        #expect(try content(16).statuses.count == 16)
        #expect(throws: Fault.self) { try content(17) }
        // An encoding that nobody uses is read over, a URL without its hash as well (RFC 7296 §3.6).
        let other = try MessageContent([Payload(.certificateV2, body: [1, 2, 3]), Payload(.certificateV2, body: [11])])
        #expect(other.certificates.isEmpty && other.statuses.isEmpty)
        let asking = try MessageContent([CertificateRequestPayload.statusPayload([])])
        #expect(asking.wantsStatuses && asking.certificateRequests.isEmpty)
    }

    @Test(arguments: Pair.Side.allCases) func aSignatureIsNoSharedKey(side: Pair.Side) {
        var connections = [Pair.connection(isLeft: true), Pair.connection(isLeft: false)]
        connections[side.rawValue].local[0].method = .publicKey(KeyConstraint())
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        let peer = Identity(side == .initiator ? "left.example" : "right.example")!
        pair.run(for: .seconds(300))
        #expect(pair[side.other].closed == .refused(.method(peer: peer, wanted: ["psk"], seen: ["pubkey"])))
        // What cannot be the right proof costs nobody a look at it.
        #expect(pair[side.other].verifications.isEmpty && pair[side.other].usable.isEmpty)
        #expect(pair[side].closed == .refused(.peer(notification: 24, name: "AUTHENTICATION_FAILED")))
    }

    /// Who is to sign, and proves itself with a pre-shared key, is not let in.
    @Test(arguments: Pair.Side.allCases) func theOtherMethodIsRefused(side: Pair.Side) {
        var connections = [Self.connection(isLeft: true), Self.connection(isLeft: false)]
        connections[side.rawValue].local[0].method = .preSharedKey
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair[side.other].usable.isEmpty)
        pair.run(for: .seconds(300))
        let peer = Identity(side == .initiator ? "left.example" : "right.example")!
        #expect(pair[side.other].closed == .refused(.method(peer: peer, wanted: ["pubkey"], seen: ["psk"])))
        #expect(pair.initiator.closed != nil && pair.responder.closed != nil)
        #expect(pair.initiator.inbound.isEmpty && pair.responder.inbound.isEmpty)
    }
}
