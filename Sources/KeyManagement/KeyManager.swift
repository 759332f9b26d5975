package import Cryptography
package import IPsec
import ISAKMP
package import Primitives

/// One sans-IO machine over all SAs of a node: routes datagrams and answers to sessions, keeps their timers, admits new
/// peers, and honours what the configuration and the operator want up.
package struct KeyManager: Sendable {
    /// The two key exchanges, by major version.
    package struct Engines: Sendable {
        package var v1: any KeyExchangeSession.Type
        package var v2: any KeyExchangeSession.Type

        package init(v1: any KeyExchangeSession.Type, v2: any KeyExchangeSession.Type) {
            self.v1 = v1
            self.v2 = v2
        }
    }

    struct InitialKey: Hashable {
        var remote: Endpoint
        var cookie: Cookie
    }

    /// A session with what the manager must know about it.
    struct Entry: Sendable {
        var session: any KeyExchangeSession
        /// 1 or 2.
        let version: UInt8
        var connection: String
        var timers = SessionTimers()
        var spis: [UInt64] = []
        var initialKey: InitialKey?
        /// The source that ``Admission`` counts it for, while it is half-open as responder.
        var halfOpenSource: IPAddress?
        var children: [Child] = []
        /// Children whose SAs were removed just now, until their end is reported.
        var removed: [Child] = []
        /// Children that were asked for and are not up yet.
        var requested: [String] = []
        /// The how many-th try of a first exchange this is.
        var attempt: UInt32 = 1
        /// First requests that went out by UDP, of a connection that falls back to TCP.
        var firstRequests = 0
        /// When the session was begun, and when it was established.
        let begun: Instant
        var established: Instant?
        var isEstablished: Bool { established != nil }
        /// The session that this one was opened to succeed (IKEv1).
        var predecessor: SessionID?
        /// It has just been established, and older siblings may have children for it (IKEv1).
        var mayAdopt = false
        /// A child has just come up on it, which a newer sibling may have to take over (IKEv1).
        var hasNewChild = false
        /// The session that this one's IKE SA was cloned from, over several if need be; its own where it was not.
        var origin: SessionID?
        var isClone = false
        /// The address that it went to, where a DNS name of its connection stood for that.
        var namedRemote: IPAddress?
        /// Others between the same two peers; some may be gone.
        var siblings: [SessionID] = []
        /// It was moved to an address by name, and stays there whatever the routes say.
        var isPinned = false
        /// It ends because of us, or of itself: no action answers the end of its children one by one.
        var isEnding = false
        /// We have said that it is to end, and however it does, nobody wants it back.
        var isDismissed = false
        /// When it was last told that the peer repeats itself.
        var toldRepetition: Instant?
        /// What its packets carry, as its connection last said.
        var trafficClass: UInt8 = 0

        struct Child: Sendable {
            var id: ChildID
            var name: String
            var inbound: SPI?
            var outbound: SPI?
            /// Replaced, and kept only for packets that are on their way: it ends by itself, soon.
            var isLingering = false
            /// We are deleting it.
            var isEnding = false
        }
    }

    let engines: Engines
    /// Which of our addresses would reach a remote one; `nil` where none would. Handed in by the driver, who asks the
    /// machine's routes.
    let sourceAddress: @Sendable (IPAddress) -> IPAddress?
    var environment: SessionEnvironment
    var sessions: [SessionID: Entry] = [:]
    var bySPI: [UInt64: SessionID] = [:]
    var byInitial: [InitialKey: SessionID] = [:]
    var byChild: [ChildID: SessionID] = [:]
    var byConnection: [String: Set<SessionID>] = [:]
    var questions: [QuestionID: SessionID] = [:]
    /// How many of the addresses of each connection's peer have been tried in vain.
    var addressTurns: [String: UInt32] = [:]
    /// Clones that were asked for.
    var cloning: [UInt64: CloneWish] = [:]
    /// Outbound SAs that wait for a sign of the peer's while others serve.
    var held: [ChildID: HeldSA] = [:]
    /// Virtual addresses that peers gave us, with the sessions that use each.
    var addressHolders: [IPAddress: Set<SessionID>] = [:]
    var timers = TimerQueue()
    var admission = Admission()
    var connections = Connections()
    var pending = PendingRequests()
    /// Children whose ``ChildPolicy/standingAction`` is in force, or that were asked to be watched for.
    package internal(set) var traps: Set<ChildKey> = []
    var cookieSecrets: CookieSecrets
    var firstMessages: FirstMessages
    var crashAnswers = CrashAnswers()
    var strangers = StrangerNotices()
    /// Whether a connection ever marked IKE's packets: a session goes on as it was when its connection is gone.
    var hasMarkedPackets = false
    package internal(set) var counters = KeyManagerCounters()

    package init(
        engines: Engines = .standard, now: Instant, randomness: Randomness, policies: PolicyDatabase = PolicyDatabase(),
        settings: EngineSettings = EngineSettings(), limits: AdmissionLimits? = nil, standingSecret: Secret? = nil,
        epoch: Int64 = 0,
        sourceAddress: @escaping @Sendable (IPAddress) -> IPAddress? = { _ in nil }
    ) {
        self.engines = engines
        self.sourceAddress = sourceAddress
        var environment = SessionEnvironment(now: now, randomness: randomness, settings: settings)
        environment.standingSecret = standingSecret
        environment.tickets.secret = standingSecret ?? Secret(environment.randomness.octets(32))
        environment.tickets.epoch = epoch
        self.environment = environment
        cookieSecrets = CookieSecrets(now: now, &self.environment.randomness)
        firstMessages = FirstMessages(&self.environment.randomness)
        admission.limits = limits ?? AdmissionLimits(settings)
        self.environment.policies = policies
        for connection in policies.connections {
            wishFor(connection, at: now)
            for child in connection.children where child.standingAction != nil {
                traps.insert(ChildKey(connection: connection.name, child: child.name))
            }
        }
    }

    /// When ``handle(_:now:)`` must be called with `.deadline` at the latest; `nil` when nothing is awaited.
    package var nextDeadline: Instant? {
        switch (timers.earliest, connections.nextTry) {
        case (let timer?, let intent?): min(timer, intent)
        case (let timer, let intent): timer ?? intent
        }
    }

    /// Has sessions use other settings from their next step on. Our own ports are the sockets', and stay.
    package mutating func use(_ settings: EngineSettings) {
        var settings = settings
        settings.port = environment.settings.port
        settings.natPort = environment.settings.natPort
        environment.settings = settings
        admission.limits = AdmissionLimits(settings)
    }

    /// How many negotiations are borne now.
    package var admissionLimits: AdmissionLimits { admission.limits }
    /// The policies in force.
    package var policies: PolicyDatabase { environment.policies }
    /// IKE SAs, and those among them that are not established and were begun by peers.
    package var sessionCounts: (all: Int, halfOpen: Int) { (sessions.count, admission.halfOpen) }

    /// IKE SAs that are not established, whoever began them.
    package var negotiating: Int { sessions.values.count { !$0.isEstablished } }

    /// Timers of all sessions; those that were moved or cancelled count until their old deadline.
    package var scheduledCount: Int { timers.count }

    /// Every session's number, by age.
    package var sessionIDs: [SessionID] { sessions.keys.sorted { $0.value < $1.value } }

    /// Every session, by age.
    package var snapshots: [SessionSnapshot] {
        sessionIDs.compactMap { sessions[$0]?.session.snapshot }
    }

    package func snapshot(of session: SessionID) -> SessionSnapshot? { sessions[session]?.session.snapshot }

    /// The keys of a session's IKE SAs; none unless ``EngineSettings/disclosesKeys`` asks for them.
    package func disclosedKeys(of session: SessionID) -> [DisclosedKeys] {
        sessions[session]?.session.disclosedKeys(environment.settings) ?? []
    }

    /// Takes one input and says what to do. Never blocks, never fails: bad input costs a counter.
    package mutating func handle(_ input: Input, now: Instant) -> [Effect] {
        environment.now = now
        environment.clones.isFull =
            environment.settings.sessionLimit > 0 && sessions.count >= environment.settings.sessionLimit
        var effects: [Effect] = []
        switch input {
        case .datagram(let datagram): receive(datagram, &effects)
        case .deadline: fireTimers(&effects)
        case .command(let command, let request): perform(command, request, &effects)
        case .answer(let question, let answer):
            if let session = questions.removeValue(forKey: question) {
                feed(.answer(question, answer), to: session, &effects)
            }
        case .traffic(let notice): observe(notice, &effects)
        case .pathsChanged: followPaths(&effects)
        }
        for request in pending.takeSettled() { effects.append(.reply(request.id, request.response)) }
        dropStaleTimers()
        return effects
    }

    /// Removes what was moved or cancelled from the head of the queue, so that nobody wakes for it.
    private mutating func dropStaleTimers() {
        while let entry = timers.first, sessions[entry.session]?.timers[entry.timer] != entry.deadline {
            _ = timers.popDue(at: entry.deadline)
        }
    }

    // MARK: Datagrams

    private mutating func receive(_ datagram: Datagram, _ effects: inout [Effect]) {
        var reader = ByteReader(datagram.octets)
        guard datagram.octets.count <= environment.settings.messageOctets,
            let header = try? Header(from: &reader), Int(header.length) == datagram.octets.count,
            header.majorVersion == 1 || header.majorVersion == 2
        else {
            return countMalformed(datagram, &effects)
        }
        if let session = session(for: header, from: datagram.remote) {
            feed(.datagram(datagram), to: session, &effects)
        } else if header.isFirstMessage {
            admit(datagram, header, &effects)
        } else if !resume(datagram, header, &effects) {
            countUnknown(datagram, &effects)
            answerUnknown(datagram, header, &effects)
        }
    }

    private func session(for header: Header, from remote: Endpoint) -> SessionID? {
        if header.majorVersion == 2 {
            let own = header.flags.contains(.initiator) ? header.responder : header.initiator
            if !own.isZero { return bySPI[own.value].flatMap { hasVersion(2, $0) } }
        } else {
            if let session = bySPI[header.initiator.value].flatMap({ hasVersion(1, $0) }) { return session }
            if !header.responder.isZero { return bySPI[header.responder.value].flatMap { hasVersion(1, $0) } }
        }
        return byInitial[InitialKey(remote: remote, cookie: header.initiator)]
    }

    private func hasVersion(_ version: UInt8, _ session: SessionID) -> SessionID? {
        sessions[session]?.version == version ? session : nil
    }

    private mutating func admit(_ datagram: Datagram, _ header: Header, _ effects: inout [Effect]) {
        let isVersion2 = header.majorVersion == 2
        // Main Mode's second message can be said without state; a fragment of the first one cannot be judged.
        let isStateless = !isVersion2 && header.exchange == .identityProtection && header.nextPayload != .fragment
        cookieSecrets.rotate(now: environment.now, &environment.randomness)
        let verdict = admission.judge(
            source: datagram.remote.address, sessions: sessions.count,
            shown: isVersion2 ? cookieSecrets.shown(by: datagram) : .nothing, canProve: isVersion2 || isStateless,
            // A ticket is cheap to judge, and nobody has one who was not here before.
            isLucky: header.exchange == .ikeSessionResume
                || environment.randomness.below(Admission.legacyShare) == 0)
        switch verdict {
        case .admit: break
        case .challenge where !isVersion2, .puzzle where !isVersion2:
            answerWithoutState(datagram, header, &effects)
            return
        case .challenge, .puzzle:
            let difficulty = verdict == .puzzle ? environment.settings.puzzleDifficulty : nil
            if let challenge = cookieSecrets.challenge(datagram, difficulty: difficulty) {
                counters.challenged += 1
                effects.append(.send(challenge))
            } else {
                counters.malformed += 1
            }
            return
        case .drop(let why):
            counters.notAdmitted += 1
            effects.append(report(nil, connection: "", .dropped("\(datagram.remote): \(why)")))
            return
        }
        _ = openResponder(datagram, header.initiator, isVersion2: isVersion2, &effects)
    }

    /// Begins a session with a peer's first message.
    mutating func openResponder(
        _ datagram: Datagram, _ initiator: Cookie, isVersion2: Bool, _ effects: inout [Effect]
    ) -> SessionID {
        let id = environment.freshSessionID()
        let engine = isVersion2 ? engines.v2 : engines.v1
        var entry = Entry(
            session: engine.init(responder: id, local: datagram.local, remote: datagram.remote, &environment),
            version: isVersion2 ? 2 : 1, connection: "", begun: environment.now)
        entry.initialKey = InitialKey(remote: datagram.remote, cookie: initiator)
        entry.halfOpenSource = datagram.remote.address
        sessions[id] = entry
        entry.initialKey.map { byInitial[$0] = id }
        admission.opened(from: datagram.remote.address)
        feed(.datagram(datagram), to: id, &effects)
        return id
    }

    // MARK: Sessions

    /// Opens a session as initiator; `nil` where the connection names no address to send to.
    mutating func open(_ connection: Connection, attempt: UInt32 = 1) -> SessionID? {
        // Every address is tried in turn, over repeated attempts and beyond.
        let remotes = connection.remoteAddresses.flatMap(\.concrete)
        guard !remotes.isEmpty else { return nil }
        let remote = remotes[Int(addressTurns[connection.name] ?? 0) % remotes.count]
        let locals = connection.localAddresses.flatMap(\.concrete).filter { $0.family == remote.family }
        guard let local = locals.first ?? sourceAddress(remote) else { return nil }
        // A peer on another port than 500 is met on the port that carries the non-ESP marker, as charon does.
        if connection.streamUse == .yes { return openStream(connection, local, remote, attempt: attempt) }
        let usesMarker = connection.remotePort != 500
        let port = usesMarker ? environment.settings.natPort : environment.settings.port
        return open(
            connection, local: Endpoint(local, port: port), remote: Endpoint(remote, port: connection.remotePort),
            isVersion1: connection.version == .v1, attempt: attempt)
    }

    mutating func open(
        _ connection: Connection, local: Endpoint, remote: Endpoint, isVersion1: Bool, attempt: UInt32 = 1
    ) -> SessionID {
        let id = environment.freshSessionID()
        let engine = isVersion1 ? engines.v1 : engines.v2
        let session = engine.init(
            initiator: id, connection: connection, local: local, remote: remote, &environment)
        sessions[id] = Entry(
            session: session, version: isVersion1 ? 1 : 2, connection: connection.name, attempt: attempt,
            begun: environment.now)
        if connection.names(remote.address) { sessions[id]?.namedRemote = remote.address }
        byConnection[connection.name, default: []].insert(id)
        return id
    }

    /// Hands an input to a session and carries its effects over.
    mutating func feed(_ input: SessionInput, to id: SessionID, _ effects: inout [Effect]) {
        if case .command(let command) = input { noteEnd(command, of: id) }
        guard let results = sessions[id]?.session.handle(input, &environment) else { return }
        if case .closed? = results.last { sessions[id]?.isEnding = true }
        for result in results { apply(result, of: id, &effects) }
        if sessions[id]?.removed.isEmpty == false { sessions[id]?.removed = [] }
        if sessions[id]?.mayAdopt == true { adoptChildren(into: id, &effects) }
        if sessions[id]?.hasNewChild == true { handOver(from: id, &effects) }
        if sessions[id]?.predecessor != nil { retirePredecessor(of: id, &effects) }
    }

    private mutating func apply(_ effect: SessionEffect, of id: SessionID, _ effects: inout [Effect]) {
        switch effect {
        case .send(let datagram): effects += transmissions(of: datagram, from: id)
        case .setTimer(let timer, let deadline):
            sessions[id]?.timers[timer] = deadline
            timers.insert(TimerQueue.Entry(deadline: deadline, session: id, timer: timer))
        case .cancelTimer(let timer): sessions[id]?.timers[timer] = nil
        case .ask(let question, let text):
            questions[question] = id
            effects.append(.ask(question, text))
        case .claim(let spi):
            bySPI[spi] = id
            sessions[id]?.spis.append(spi)
        case .release(let spi):
            if bySPI[spi] == id { bySPI[spi] = nil }
            sessions[id]?.spis.removeAll { $0 == spi }
        case .install(let association):
            noteInstalled(association, of: id)
            if !holdBack(association, of: id) { effects.append(.install(association)) }
        case .expect(let spi): effects.append(.expect(spi))
        case .remove(let spi, let direction, let child):
            noteRemoved(spi, direction, child, of: id)
            if direction == .inbound || letGo(spi, of: child, &effects) {
                effects.append(.remove(spi, direction, child))
            }
        case .move(let child, let local, let remote):
            moveHeld(child, local, remote)
            effects.append(.move(child, local: local, remote: remote))
        case .addAddress(let address): addAddress(address, to: id, &effects)
        case .removeAddress(let address): removeAddress(address, from: id, &effects)
        case .report(let event): if isWorthTelling(event, of: id) { digest(event, of: id, &effects) }
        case .disclose(let keys): effects.append(.disclose(keys))
        case .renew: renew(id, &effects)
        case .redirect(let gateway): redirect(id, to: gateway, &effects)
        case .begin(let session, let clone, let tag, let first):
            begin(session, clone, of: id, tag, &effects)
            for effect in first { apply(effect, of: clone, &effects) }
            settle(clone, of: id, tag, &effects)
        case .notCloned(let tag, let refusal): refuseClone(tag, .refused(refusal), &effects)
        case .peerDeleted(let spi): passOn(deleted: spi, from: id, &effects)
        case .closed(let reason): close(id, reason, &effects)
        }
    }

    mutating func digest(_ event: SessionEvent, of id: SessionID, _ effects: inout [Effect]) {
        learnConnection(of: id, at: event)
        let connection = sessions[id]?.connection ?? ""
        var withSnapshot = true
        var childName: String?
        switch event {
        case .established:
            if sessions[id]?.established == nil { environment.establishedConnections[connection, default: 0] += 1 }
            sessions[id]?.established = environment.now
            let hasSiblingsToFollow = sessions[id]?.version == 1
            sessions[id]?.mayAdopt = hasSiblingsToFollow
            settleAdmission(of: id)
            keepUnique(id, connection, &effects)
        case .initialContact: dropLost(by: id, connection, &effects)
        case .childEstablished(let child):
            childName = name(of: child, in: id)
            if let name = childName {
                let key = ChildKey(connection: connection, child: name)
                sessions[id]?.requested.removeAll { $0 == name }
                pending.childIsUp(key)
                connections.isUp(key)
            }
            let isVersion1 = sessions[id]?.version == 1
            sessions[id]?.hasNewChild = isVersion1
        case .childRekeyed(_, let child):
            childName = name(of: child, in: id)
            let isVersion1 = sessions[id]?.version == 1
            sessions[id]?.hasNewChild = isVersion1
        case .rekeyedIKE: break
        case .configured:
            if let snapshot = sessions[id]?.session.snapshot {
                environment.virtualAddresses.note(
                    id, connection: connection, remote: snapshot.remote, ours: snapshot.localVirtualAddresses,
                    theirs: snapshot.remoteVirtualAddresses)
            }
            // Children of a session with these addresses can be taken over now.
            let isVersion1 = sessions[id]?.version == 1
            sessions[id]?.mayAdopt = isVersion1
        case .childClosed(let child):
            childName = name(of: child, in: id)
            childClosed(child, childName, of: id, connection, &effects)
        case .refused(let child?, let refusal):
            childName = child
            let key = ChildKey(connection: connection, child: child)
            sessions[id]?.requested.removeAll { $0 == child }
            pending.childWasRefused(key, refusal)
            connections.failed(key, now: environment.now, &environment.randomness)
        case .refused(nil, _): break
        case .pathMeasured: break
        case .message, .retransmitting, .noticed, .note: withSnapshot = false
        }
        effects.append(
            report(id, connection: connection, .session(event), child: childName, withSnapshot: withSnapshot))
    }

    func report(
        _ session: SessionID?, connection: String, _ kind: Event.Kind, child: String? = nil, withSnapshot: Bool = false
    ) -> Effect {
        .report(
            Event(
                time: environment.now, session: session, connection: connection, kind: kind, child: child,
                snapshot: withSnapshot ? session.flatMap { sessions[$0]?.session.snapshot } : nil))
    }

    mutating func settleAdmission(of id: SessionID) {
        guard let source = sessions[id]?.halfOpenSource else { return }
        sessions[id]?.halfOpenSource = nil
        admission.settled(from: source)
    }

    // MARK: Time

    private mutating func fireTimers(_ effects: inout [Effect]) {
        while let entry = timers.popDue(at: environment.now) {
            // Moved or cancelled since: the session's own list decides.
            guard sessions[entry.session]?.timers[entry.timer] == entry.deadline else { continue }
            sessions[entry.session]?.timers[entry.timer] = nil
            if case .releaseChild(let child) = entry.timer {
                releaseHeld(child, &effects)
                continue
            }
            feed(.timer(entry.timer), to: entry.session, &effects)
        }
        for key in connections.takeDue(at: environment.now) {
            guard initiate(key, &effects) != nil else {
                connections.failed(key, now: environment.now, &environment.randomness)
                continue
            }
        }
    }
}

extension Header {
    /// Whether the message can open a session: no SPI of ours in it yet.
    fileprivate var isFirstMessage: Bool {
        guard responder.isZero, !initiator.isZero else { return false }
        if majorVersion == 2 {
            return (exchange == .ikeSAInit || exchange == .ikeSessionResume) && messageID == 0
                && flags.contains(.initiator)
                && !flags.contains(.response)
        }
        return messageID == 0 && !flags.contains(.encryption)
            && [.base, .identityProtection, .authenticationOnly, .aggressive].contains(exchange)
    }
}
