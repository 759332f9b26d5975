import Cryptography
import IPsec
import ISAKMP
import Primitives

/// NAT detection and what follows from it (RFC 7296 §2.23).
enum NATTraversal {
    /// IKE's port without the non-ESP marker.
    static let plainPort: UInt16 = 500

    /// SHA-1(SPIi | SPIr | address | port).
    static func hash(_ initiator: UInt64, _ responder: UInt64, _ endpoint: Endpoint) throws(Fault) -> [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: initiator)
        octets.append(bigEndian: responder)
        octets += endpoint.address.octets
        octets.append(bigEndian: endpoint.port)
        return try Attempt.cryptography { () throws(CryptographyError) in
            try Digest.compute(.sha1, [.open(octets)])
        }
    }

    /// The two notifications of an IKE_SA_INIT message. With `isForced` the source is that of nobody, so that the peer
    /// takes us for being behind a NAT.
    static func notifications(
        _ initiator: UInt64, _ responder: UInt64, local: Endpoint, remote: Endpoint, isForced: Bool
    ) throws(Fault) -> [Payload] {
        let source = isForced ? Endpoint(.any(local.address.family), port: 0) : local
        return [
            NotifyPayload(.natDetectionSource, data: try hash(initiator, responder, source)).payload,
            NotifyPayload(.natDetectionDestination, data: try hash(initiator, responder, remote)).payload,
        ]
    }

    /// What the peer's notifications say. `nil` where it sent none: it cannot traverse NATs.
    static func detect(
        _ content: MessageContent, _ initiator: UInt64, _ responder: UInt64, local: Endpoint, remote: Endpoint
    ) throws(Fault) -> (local: Bool, remote: Bool)? {
        let sources = content.notifications.filter { $0.type == .natDetectionSource }
        guard !sources.isEmpty, let destination = content.notification(.natDetectionDestination) else { return nil }
        // A host with several addresses sends several sources; one match is enough.
        let seen = try hash(initiator, responder, remote)
        let isRemote = !sources.contains { ConstantTime.equal($0.data, seen) }
        let isLocal = !ConstantTime.equal(destination.data, try hash(initiator, responder, local))
        return (isLocal, isRemote)
    }
}

extension IKESession {
    /// Notes what NAT detection found, and floats to port 4500 where we are the initiator: where a NAT makes ESP go in UDP,
    /// and, without that, where the IKE SA may come to move to a path that has one (RFC 4555 §3.3).
    mutating func adopt(_ detected: (local: Bool, remote: Bool)?, isForced: Bool, _ context: inout Context) {
        guard let detected else { return }
        isLocalBehindNAT = detected.local
        isRemoteBehindNAT = detected.remote
        isEncapsulating = detected.local || detected.remote || isForced
        if isInitiator, isEncapsulating || connection?.isMobile == true, remote.port == NATTraversal.plainPort {
            local.port = context.settings.natPort
            remote.port = context.settings.natPort
        }
    }

    /// An authenticated message came from `datagram.remote`: where a NAT in front of the peer changed its mapping, we
    /// follow (RFC 7296 §2.23).
    mutating func follow(_ datagram: Datagram, _ context: inout Context) {
        // With MOBIKE only the initiator's word counts (RFC 4555 §3.8), but a new connection of TCP in place of a broken one
        // comes without one: its originator speaks on it, and so does its responder from then on (RFC 9329 §6.3).
        let follows = isRemoteBehindNAT && !isLocalBehindNAT && !mobility.isSupported
        let isReconnected = !isInitiator && remote.isStream && datagram.remote.isStream
        guard follows || isReconnected, datagram.remote != remote || datagram.local != local else { return }
        local = datagram.local
        remote = datagram.remote
        for child in children { context.emit(.move(child.id, local: local, remote: remote)) }
        context.note("the peer moved to \(remote)")
        measurePath(&context)
    }

    /// RFC 3948 §4: one octet 0xFF keeps the mapping of a NAT in front of us alive.
    mutating func sendKeepalive(_ context: inout Context) {
        guard isLocalBehindNAT, isEstablished else { return }
        context.send([[0xFF]], from: local, to: remote)
        context.set(.keepalive, after: context.settings.keepaliveInterval)
    }
}
