import Cryptography
import IPsec
import ISAKMP
import Primitives

/// What a session knows of its ends' addresses (RFC 4555, MOBIKE).
struct Mobility: Sendable {
    /// Addresses of the peer's that are remembered.
    static let maximumAddresses = 16

    /// Whether both ends announced it.
    var isSupported = false
    /// Further addresses of the peer's (RFC 4555 §3.4).
    var peerAddresses: [IPAddress] = []
    /// The hash of our own address as the peer last saw it, where a NAT stands before us (RFC 4555 §3.8).
    var seenAs: [UInt8] = []
}

/// The IKE SA and its children move to other addresses; the initiator decides which (RFC 4555 §3.5).
///
///     HDR, SK {N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_…), N(COOKIE2)}  -->
///                         <--  HDR, SK {N(NAT_DETECTION_…), N(COOKIE2)}
///                         <--  HDR, SK {N(COOKIE2)}            the responder's return routability check
///     HDR, SK {N(COOKIE2)}  -->
extension IKESession {
    static let routabilityCookieOctets = 16

    // MARK: Announcing

    /// N(MOBIKE_SUPPORTED), in IKE_AUTH (RFC 4555 §3.3).
    var mobilityPayloads: [Payload] {
        connection?.isMobile == true ? [NotifyPayload(.mobikeSupported).payload] : []
    }

    mutating func noteMobility(_ content: MessageContent) {
        mobility.isSupported = connection?.isMobile == true && content.notification(.mobikeSupported) != nil
        if mobility.isSupported { noteAddresses(content) }
    }

    /// The peer's list replaces what we knew; an empty one says so.
    private mutating func noteAddresses(_ content: MessageContent) {
        let listed = content.notifications.filter {
            [.additionalIPv4Address, .additionalIPv6Address].contains($0.type)
        }
        guard !listed.isEmpty || content.notification(.noAdditionalAddresses) != nil else { return }
        mobility.peerAddresses = listed.prefix(Mobility.maximumAddresses).compactMap { IPAddress(octets: $0.data[...]) }
    }

    // MARK: Initiator

    /// Our address is another from now on.
    mutating func move(to address: IPAddress, _ context: inout Context) throws(Fault) {
        guard isEstablished, mobility.isSupported else { throw .unexpected("the peer does not know MOBIKE") }
        guard isInitiator else { throw .unexpected("the initiator decides on addresses") }
        guard address != local.address else { return }
        moveTo(local: Endpoint(address, port: local.port, isStream: local.isStream), remote: remote, &context)
    }

    private mutating func moveTo(local newLocal: Endpoint, remote newRemote: Endpoint, _ context: inout Context) {
        local = newLocal
        remote = newRemote
        for child in children { context.emit(.move(child.id, local: local, remote: remote)) }
        context.note("moved to \(local) and \(remote)")
        // What is under way must be answered before anything else is asked.
        for pending in current?.pending ?? [] { context.send(pending.datagrams, from: local, to: remote) }
        plan(.updateAddresses, first: true)
        measurePath(&context)
    }

    /// Requests go unanswered: the peer may be met at another of its addresses.
    mutating func tryOtherAddress(_ context: inout Context) {
        guard isEstablished, isInitiator, mobility.isSupported,
            let index = mobility.peerAddresses.firstIndex(where: {
                $0.family == remote.address.family && $0 != remote.address
            })
        else { return }
        let next = mobility.peerAddresses.remove(at: index)
        mobility.peerAddresses.append(remote.address)
        moveTo(local: local, remote: Endpoint(next, port: remote.port, isStream: remote.isStream), &context)
    }

    mutating func startUpdate(_ context: inout Context) throws(Fault) {
        guard let sa = current else { return }
        try requestUpdate(on: sa, &context)
        // Of a successor that the peer asked for it may not know yet that it is there: our answer was lost, and it asks again
        // where we are no more. What it knows is the SA before.
        guard !sa.isInitiator else { return }
        for old in associations where old.role == .replaced && old.pending.isEmpty {
            try requestUpdate(on: old, &context)
        }
    }

    private mutating func requestUpdate(on sa: IKESA, _ context: inout Context) throws(Fault) {
        let cookie = context.environment.randomness.octets(IKESession.routabilityCookieOctets)
        var payloads = [NotifyPayload(.updateSAAddresses).payload]
        payloads += try natNotifications(sa, local: local, remote: remote, context)
        payloads.append(NotifyPayload(.cookie2, data: cookie).payload)
        try request(
            sa.ownSPI, .informationalV2, payloads, .updateAddresses(local: local, remote: remote, cookie: cookie),
            &context)
    }

    mutating func concludeUpdate(
        _ content: MessageContent, local sentFrom: Endpoint, remote sentTo: Endpoint, cookie: [UInt8],
        _ context: inout Context
    ) throws(Fault) {
        if let error = content.error {
            context.report(.refused(child: nil, .peer(notification: error.type.rawValue, name: error.type.name)))
            return
        }
        guard let echoed = content.notification(.cookie2), ConstantTime.equal(echoed.data, cookie) else {
            // RFC 4555 §3.7: somebody answers who did not see the request.
            throw .violation("COOKIE2 comes back as it was sent")
        }
        guard sentFrom == local, sentTo == remote else {
            plan(.updateAddresses, first: true)
            return
        }
        if let sa = current { try noteNAT(content, sa, &context) }
        context.note("the peer follows to \(local) and \(remote)")
    }

    // MARK: Responder

    /// Payloads that an INFORMATIONAL request wants in its answer, and what it changes here.
    ///
    /// - Throws: nothing that ends the SA: a refusal becomes the answer.
    mutating func answerMobility(
        _ content: MessageContent, _ datagram: Datagram, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) -> [Payload] {
        guard mobility.isSupported, let index = index(of: spi) else { return [] }
        let sa = associations[index]
        // The peer has put a candidate to use before we know which of two rekeyings stays: what it says there is its newest word.
        let isNewest = index == 0 || sa.role == .candidate
        if isNewest { noteAddresses(content) }
        var payloads: [Payload] = []
        if content.notification(.natDetectionSource) != nil {
            payloads += try natNotifications(sa, local: datagram.local, remote: datagram.remote, context)
        }
        if let cookie = content.notification(.cookie2), (8...64).contains(cookie.data.count) {
            payloads.append(NotifyPayload(.cookie2, data: cookie.data).payload)
        }
        // On an SA that was replaced meanwhile it is answered, and counts when it comes on the SA in use: what came before
        // that may have come late.
        guard !isInitiator, isNewest, content.notification(.updateSAAddresses) != nil else { return payloads }
        if let prohibited = content.notification(.noNATsAllowed), !matches(prohibited.data, datagram) {
            return [NotifyPayload(.unexpectedNATDetected).payload]
        }
        guard datagram.local != local || datagram.remote != remote else { return payloads }
        local = datagram.local
        remote = datagram.remote
        try noteNAT(content, sa, &context)
        // RFC 4555 §3.7: packets follow once the peer is seen to receive there; or anybody's traffic could be sent to
        // whom it pleases.
        plan(.checkRoutability, first: true)
        return payloads
    }

    mutating func startRoutabilityCheck(_ context: inout Context) throws(Fault) {
        guard let sa = current else { return }
        let cookie = context.environment.randomness.octets(IKESession.routabilityCookieOctets)
        try request(
            sa.ownSPI, .informationalV2, [NotifyPayload(.cookie2, data: cookie).payload],
            .checkRoutability(local: local, remote: remote, cookie: cookie), &context)
    }

    mutating func concludeRoutabilityCheck(
        _ content: MessageContent, local checkedFrom: Endpoint, remote checked: Endpoint, cookie: [UInt8],
        _ context: inout Context
    ) throws(Fault) {
        guard let echoed = content.notification(.cookie2), ConstantTime.equal(echoed.data, cookie) else {
            throw .violation("COOKIE2 comes back as it was sent")
        }
        guard checkedFrom == local, checked == remote else {
            plan(.checkRoutability, first: true)
            return
        }
        for child in children { context.emit(.move(child.id, local: local, remote: remote)) }
        context.note("the peer moved to \(remote)")
    }

    /// What is under way on an SA that is being replaced is asked on its successor: the peer may have replaced it before the
    /// request comes.
    mutating func repeatMobility(of replaced: IKESA) {
        for pending in replaced.pending {
            switch pending.exchange {
            case .updateAddresses: plan(.updateAddresses, first: true)
            case .checkRoutability: plan(.checkRoutability, first: true)
            case .initial, .intermediate, .authentication, .child, .rekeyIKE, .cloneIKE, .deleteChild, .liveness,
                .redirect, .probe, .deleteIKE, .farewell:
                continue
            }
        }
    }

    // MARK: NAT

    func natNotifications(
        _ sa: IKESA, local: Endpoint, remote: Endpoint, _ context: Context
    ) throws(Fault) -> [Payload] {
        try NATTraversal.notifications(
            sa.initiatorSPI, sa.responderSPI, local: local, remote: remote,
            isForced: context.settings.claimsNAT(connection))
    }

    /// Where NATs stand now. Encapsulation, once begun, goes on: both ends are sure of it.
    private mutating func noteNAT(
        _ content: MessageContent, _ sa: IKESA, _ context: inout Context
    ) throws(Fault) {
        guard
            let detected = try NATTraversal.detect(
                content, sa.initiatorSPI, sa.responderSPI, local: local, remote: remote)
        else { return }
        let hadKeepalives = isLocalBehindNAT
        isLocalBehindNAT = detected.local
        isRemoteBehindNAT = detected.remote
        mobility.seenAs = content.notification(.natDetectionDestination)?.data ?? []
        if isLocalBehindNAT, !hadKeepalives { sendKeepalive(&context) }
    }

    /// The payloads of a liveness check: behind a NAT it also asks under which address we are seen (RFC 4555 §3.8).
    func livenessPayloads(_ context: Context) throws(Fault) -> [Payload] {
        guard mobility.isSupported, isInitiator, isLocalBehindNAT, let sa = current else { return [] }
        return try natNotifications(sa, local: local, remote: remote, context)
    }

    /// The NAT before us gave us another address or port: the peer, who does not follow by itself, must be told.
    mutating func concludeLiveness(_ content: MessageContent, _ context: inout Context) {
        holdTicket(content, takesChildless: nil, &context)
        guard mobility.isSupported, isInitiator, let seen = content.notification(.natDetectionDestination)?.data else {
            return
        }
        if !mobility.seenAs.isEmpty, !ConstantTime.equal(seen, mobility.seenAs) {
            plan(.updateAddresses, first: true)
        }
        mobility.seenAs = seen
    }

    /// NO_NATS_ALLOWED lists source and destination address and port, as they were when it was sent (RFC 4555 §3.9).
    private func matches(_ prohibited: [UInt8], _ datagram: Datagram) -> Bool {
        var expected = datagram.remote.address.octets + datagram.local.address.octets
        expected.append(bigEndian: datagram.remote.port)
        expected.append(bigEndian: datagram.local.port)
        return prohibited == expected
    }
}
