import IPsec
import KeyManagement
import Platform
import Primitives
import RADIUS

/// A user on a session, from its Access-Accept to the session's end: what accounting tells of it (RFC 2866).
struct Visit {
    let session: SessionID
    private let said: [UInt8]
    /// What the server calls the user (RFC 2865 §5.1), or it itself.
    let userName: [UInt8]
    /// Comes back with accounting as it is (RFC 2865 §5.25).
    private let classes: [[UInt8]]
    let interimInterval: Duration?
    let sessionTimeout: Duration?
    var started: Instant?
    /// Whether accounting has been told of it.
    var isTold = false
    /// Whether its time ran out.
    var isTimedOut = false
    var interimAlarm: UInt64?
    var timeoutAlarm: UInt64?
    var children: Set<ChildID> = []
    /// Of children that are gone.
    var past = (inbound: TrafficCounters(), outbound: TrafficCounters())
    var last: SessionSnapshot?

    init(_ relay: UserRelay, _ accept: RADIUSPacket, _ grant: UserGrant) {
        session = relay.session
        said = relay.user.userName
        userName = accept.first(.userName) ?? said
        classes = Array(accept.all(.classText).prefix(16))
        // RFC 2869 §2.1: not under a minute.
        interimInterval = RADIUSAttribute.number(accept.first(.interimInterval)).map { .seconds(Int64(max($0, 60))) }
        sessionTimeout = grant.sessionTimeout
    }

    func isMeant(by selection: DynamicAuthorization.Selection, _ session: SessionSnapshot, _ id: String) -> Bool {
        if let name = selection.userName, name != userName, name != said { return false }
        if let other = selection.accountingSession, other != Array(id.utf8) { return false }
        return selection.addresses.allSatisfy { session.remoteVirtualAddresses.contains($0) }
    }

    /// Acct-Status-Type (RFC 2866 §5.1); the last two tell of this daemon as a whole.
    enum Status: UInt32 {
        case start = 1
        case stop = 2
        case interim = 3
        case on = 7
        case off = 8
    }

    func attributes(
        _ status: Status, id: String, usage: (inbound: TrafficCounters, outbound: TrafficCounters), now: Instant,
        date: WallTime, cause: UInt32?
    ) -> [RADIUSAttribute] {
        var attributes = [
            RADIUSAttribute(.accountingStatus, status.rawValue), RADIUSAttribute(.accountingSessionID, id),
            RADIUSAttribute(.userName, userName), RADIUSAttribute(.serviceType, 2),
            RADIUSAttribute(.accountingAuthentic, 1), RADIUSAttribute(.nasPortType, 5),
            RADIUSAttribute(.nasPort, session.value),
            RADIUSAttribute(.eventTimestamp, UInt32(clamping: date.seconds)),
        ]
        attributes += classes.map { RADIUSAttribute(.classText, $0) }
        if let last {
            attributes.append(RADIUSAttribute(.calledStationID, "\(last.local)"))
            attributes.append(RADIUSAttribute(.callingStationID, "\(last.remote)"))
            for address in last.remoteVirtualAddresses {
                attributes.append(
                    RADIUSAttribute(address.family == .v4 ? .framedIPAddress : .framedIPv6Address, address.octets))
            }
        }
        guard status != .start else { return attributes }
        let seconds = started.map { (now - $0).wholeSeconds } ?? 0
        attributes.append(RADIUSAttribute(.sessionTime, UInt32(clamping: seconds)))
        func count(
            _ octets: RADIUSAttribute.Kind, _ gigawords: RADIUSAttribute.Kind, _ packets: RADIUSAttribute.Kind,
            _ counters: TrafficCounters
        ) {
            attributes.append(RADIUSAttribute(octets, UInt32(truncatingIfNeeded: counters.octets)))
            attributes.append(RADIUSAttribute(gigawords, UInt32(truncatingIfNeeded: counters.octets >> 32)))
            attributes.append(RADIUSAttribute(packets, UInt32(truncatingIfNeeded: counters.packets)))
        }
        count(.inputOctets, .inputGigawords, .inputPackets, usage.inbound)
        count(.outputOctets, .outputGigawords, .outputPackets, usage.outbound)
        if let cause { attributes.append(RADIUSAttribute(.terminateCause, cause)) }
        return attributes
    }
}

extension UserService {
    /// Follows the sessions of visits: accounting starts when one stands, and stops when it ends.
    func record(_ event: Event, loop: ControlLoop) {
        guard let session = event.session, visits[session] != nil else { return }
        if let snapshot = event.snapshot {
            visits[session]?.last = snapshot
            visits[session]?.children.formUnion(snapshot.children.map(\.id))
        }
        switch event.kind {
        case .closed(let reason): leave(session, reason, loop)
        case .session(.established), .session(.configured), .session(.childEstablished):
            if visits[session]?.started == nil, event.snapshot?.state == .established { arrive(session, loop) }
            guard visits[session]?.started != nil else { return }
            if event.kind == .session(.established), awaitsAddress(event, loop) {
                visits[session]?.interimAlarm = loop.alarm(after: Self.addressPatience) { [weak self, weak loop] in
                    guard let self, let loop else { return }
                    begin(session, loop)
                }
            } else {
                begin(session, loop)
            }
        case .session, .dropped, .noticed: break
        }
    }

    /// An SA of a visit's child goes, and its counters with it.
    func noteRemoval(
        _ direction: SecurityAssociation.Direction, of child: ChildID,
        _ counters: () -> (inbound: TrafficCounters, outbound: TrafficCounters)?
    ) {
        guard !visits.isEmpty, let session = visits.first(where: { $0.value.children.contains(child) })?.key,
            let counters = counters(), var visit = visits[session]
        else { return }
        switch direction {
        case .inbound: visit.past.inbound = visit.past.inbound + counters.inbound
        case .outbound: visit.past.outbound = visit.past.outbound + counters.outbound
        }
        visits[session] = visit
    }

    private func arrive(_ session: SessionID, _ loop: ControlLoop) {
        visits[session]?.started = Clock.now()
        if let timeout = visits[session]?.sessionTimeout { limit(session, to: timeout, loop) }
    }

    /// How long accounting waits for the address of a session that is to get one.
    private static let addressPatience = Duration.seconds(5)

    /// IKEv1's hosts ask for their addresses once the SA stands, and accounting's start is to name them.
    private func awaitsAddress(_ event: Event, _ loop: ControlLoop) -> Bool {
        event.snapshot?.remoteVirtualAddresses.isEmpty == true
            && loop.manager.policies.connection(event.connection)?.pools.isEmpty == false
    }

    private func begin(_ session: SessionID, _ loop: ControlLoop) {
        guard settings.accounts, visits[session]?.isTold == false else { return }
        visits[session]?.isTold = true
        if let alarm = visits[session]?.interimAlarm { loop.cancel(alarm: alarm) }
        tell(.start, session, cause: nil, loop)
        let configured = settings.interimInterval > .zero ? settings.interimInterval : nil
        if let interval = visits[session]?.interimInterval ?? configured { setInterim(session, interval, loop) }
    }

    private func setInterim(_ session: SessionID, _ interval: Duration, _ loop: ControlLoop) {
        visits[session]?.interimAlarm = loop.alarm(after: interval) { [weak self, weak loop] in
            guard let self, let loop, self.visits[session] != nil else { return }
            self.tell(.interim, session, cause: nil, loop)
            self.setInterim(session, interval, loop)
        }
    }

    /// The session ends that long from now (Session-Timeout).
    func limit(_ session: SessionID, to duration: Duration, _ loop: ControlLoop) {
        if let alarm = visits[session]?.timeoutAlarm { loop.cancel(alarm: alarm) }
        visits[session]?.timeoutAlarm = loop.alarm(after: duration) { [weak self, weak loop] in
            guard let self, let loop, self.visits[session] != nil else { return }
            self.visits[session]?.isTimedOut = true
            loop.note(
                .ike, "the time that the RADIUS server gave session \(session) is over",
                of: loop.manager.snapshot(of: session))
            loop.command(.terminate(Target(session: session))) { _ in }
        }
    }

    private func leave(_ session: SessionID, _ reason: ClosureReason, _ loop: ControlLoop) {
        if visits[session]?.started != nil { begin(session, loop) }
        guard let visit = visits[session] else { return }
        for alarm in [visit.interimAlarm, visit.timeoutAlarm] { if let alarm { loop.cancel(alarm: alarm) } }
        if visit.started != nil, settings.accounts {
            // Acct-Terminate-Cause (RFC 2866 §5.10).
            let cause: UInt32 =
                switch reason {
                case _ where visit.isTimedOut: 5
                case .deletedByPeer: 1
                case .peerUnresponsive: 2
                case .expired: 5
                case .deletedByUs: 6
                case .replaced: 10
                case .refused: 17
                }
            tell(.stop, session, cause: cause, loop)
        }
        visits[session] = nil
    }

    private func tell(_ status: Visit.Status, _ session: SessionID, cause: UInt32?, _ loop: ControlLoop) {
        guard let visit = visits[session] else { return }
        var usage = visit.past
        for child in visit.children {
            guard let counters = loop.plane.counters(of: child) else { continue }
            usage.inbound = usage.inbound + counters.inbound
            usage.outbound = usage.outbound + counters.outbound
        }
        account(
            visit.attributes(
                status, id: accountingID(session), usage: usage, now: Clock.now(), date: Clock.wallTime(),
                cause: cause), loop: loop)
    }
}
