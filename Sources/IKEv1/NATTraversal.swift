import Cryptography
import IPsec
import ISAKMP
import Primitives

/// What is known of address translation between the ends (RFC 3947).
struct NATState: Hashable, Sendable {
    /// IKE's port without the non-ESP marker.
    static let plainPort: UInt16 = 500

    /// How both ends speak of NAT; `nil` where they do not.
    var dialect: NATDialect?
    var isSupported: Bool { dialect != nil }
    var isLocalBehindNAT = false
    var isRemoteBehindNAT = false
    /// ESP goes inside UDP: a NAT was seen, or one of the ends claims one.
    var isEncapsulating = false

    /// HASH = hash(CKY-I | CKY-R | address | port) (RFC 3947 §3.2).
    static func hash(
        _ hash: HashID, _ initiator: UInt64, _ responder: UInt64, _ endpoint: Endpoint
    ) throws(Fault) -> [UInt8] {
        try Attempt.cryptography { () throws(CryptographyError) in
            try Digest.compute(
                hash,
                [
                    .open(initiator.octets), .open(responder.octets), .open(endpoint.address.octets),
                    .open(endpoint.port.octets),
                ])
        }
    }
}

extension IKEv1Session {
    func claimsNAT(_ context: Context) -> Bool {
        context.settings.claimsNAT(connection)
    }

    /// The NAT-D payloads of messages 3 and 4, in Aggressive Mode 2 and 3: the peer's end as we see it first, then our own, or, to be taken for
    /// being behind a NAT, nobody's.
    func natDiscoveryPayloads(_ hash: HashID, _ context: Context) throws(Fault) -> [Payload] {
        guard let type = nat.dialect?.discovery else { return [] }
        // A NAT that has been seen needs no other: Windows, as installed, leaves a gateway that is behind one.
        let isSeen = nat.isLocalBehindNAT || nat.isRemoteBehindNAT
        let source = claimsNAT(context) && !isSeen ? Endpoint(.any(local.address.family), port: 0) : local
        let peers = try NATState.hash(hash, initiatorCookie, responderCookie, remote)
        let own = try NATState.hash(hash, initiatorCookie, responderCookie, source)
        return [Payload(type, body: peers), Payload(type, body: own)]
    }

    /// Compares the peer's NAT-D payloads with the ends that their message had here.
    mutating func detectNAT(
        _ payloads: [Payload], local: Endpoint, remote: Endpoint, _ context: Context
    ) throws(Fault) {
        guard let hash = suite?.prf?.hash else { throw .dropped("no suite yet") }
        let hashes = payloads.filter { $0.type == nat.dialect?.discovery }.map(\.body)
        guard nat.isSupported, hashes.count >= 2 else {
            nat.dialect = nil
            return
        }
        let own = try NATState.hash(hash, initiatorCookie, responderCookie, local)
        let peers = try NATState.hash(hash, initiatorCookie, responderCookie, remote)
        nat.isLocalBehindNAT = hashes[0] != own
        nat.isRemoteBehindNAT = !hashes.dropFirst().contains(peers)
        nat.isEncapsulating = nat.isLocalBehindNAT || nat.isRemoteBehindNAT || claimsNAT(context)
    }

    /// From message 5 of Main Mode or 3 of Aggressive Mode on the initiator speaks from port 4500 to port 4500 where there is a NAT (RFC 3947 §4).
    mutating func float(_ context: Context) {
        guard nat.isEncapsulating, remote.port == NATState.plainPort else { return }
        local.port = context.settings.natPort
        remote.port = context.settings.natPort
    }

    /// An authenticated message came from there: where a NAT in front of the peer changed its mapping, or the peer
    /// floated, we follow.
    mutating func follow(_ datagram: Datagram, _ context: inout Context) {
        lastHeard = context.now
        guard nat.isRemoteBehindNAT || nat.isEncapsulating, datagram.remote != remote || datagram.local != local else {
            return
        }
        guard !nat.isLocalBehindNAT || phaseOne == nil else { return }
        local = datagram.local
        remote = datagram.remote
        for child in children { context.emit(.move(child.id, local: local, remote: remote)) }
    }

    /// RFC 3948 §4: one octet 0xFF keeps the mapping of a NAT in front of us alive.
    mutating func sendKeepalive(_ context: inout Context) {
        guard nat.isLocalBehindNAT, phaseOne != nil else { return }
        context.emit(.send(Datagram(local: local, remote: remote, octets: [0xFF])))
        context.set(.keepalive, after: context.settings.keepaliveInterval)
    }
}
