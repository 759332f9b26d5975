import Certificates
import Configuration
import Control
import Credentials
import Cryptography
import DataPlane
import Explain
import IPsec
import KeyManagement
import Logging
import Platform
import Primitives

/// The one thread that drives key management: inputs in, effects performed, in order.
final class ControlLoop {
    /// Where the configuration stands; `nil` where it comes over the control socket alone.
    let files: String?
    /// A `strongswan.conf` that was named; `nil`: the one that belongs to ``files``, where there is one.
    let settingsFile: String?
    private let inbox: Inbox
    let names: NameWatch
    let plane: UserspaceEngine
    let server: ViciServer
    private(set) var manager: KeyManager
    private(set) var journal: Journal
    /// What is in force, but for the connections and pools, which ``manager`` has.
    var running: Configuration
    /// The keys of swanctl's directories that are in force.
    var keyFiles = KeyFiles.Found()
    /// The rounds of the connections as they were configured, before keys and certificates were looked up, by name.
    var declared: [String: DeclaredRounds] = [:]
    /// What was in force before, newest last, for a reload that is regretted.
    var earlier: [Loaded] = []
    /// Made of ``running``, ``keyFiles`` and the policies when a key is asked for; `nil` after each of their changes.
    private var keys: CredentialStore?
    private var users: UserStore?
    private let tunnels = TunnelKeeper()
    let userService = UserService()
    private let idleChildren = IdleChildren()
    private let scripts: UpdownScripts
    let revocation: RevocationService
    private let leaseArchive: LeaseArchive?
    private var nameServers: NameServers?
    var messageCounters = MessageCounters()
    var rehearsals = Rehearsals()
    private(set) var tally = Tally()
    private let notifier: ServiceNotifier
    /// SAs as they were when they last came up, by which a rekeying is told from what it replaces.
    private(set) var known = KnownAssociations()
    /// Pools that a control client loaded, by name; they stay when the files are read again.
    private var loadedPools: [String: AddressPool] = [:]
    let started: Instant
    let startDate = Machine.date()
    private var lastRequest: UInt64 = 0
    /// The client to answer, by request.
    private var waiting: [RequestID: (Response) -> Void] = [:]
    private var alarms = Alarms()
    var standing: [ChildKey: SecurityPolicy] = [:]
    private var isEnding = false
    /// Whether accounting has been told of the end.
    private var hasSignedOff = false
    private let keyLog: KeyLog?
    private(set) var livingKeys = LivingKeys()
    /// The levels of the command line, which those of the settings do not change; `nil`: it says none.
    private let ownLogLevels: LogLevels?

    /// Commands beyond this many are refused while so many wait for SAs to come or go.
    private static let waitingMaximum = 1024
    /// How long to wait for peers to hear of our end, and then for the servers that account for their users.
    private static let farewell = Duration.seconds(3)

    init(
        files: String?, settingsFile: String? = nil, configuration: Configuration, inbox: Inbox, plane: UserspaceEngine,
        server: ViciServer,
        logger: Logger, logLevels: LogLevels? = LogLevels(), notifier: ServiceNotifier = ServiceNotifier(),
        keyLog: KeyLog? = nil, standingSecret: Secret? = nil, stateDirectory: String? = nil,
        leaseArchive: LeaseArchive? = nil
    ) {
        self.files = files
        self.settingsFile = settingsFile
        ownLogLevels = logLevels
        self.inbox = inbox
        self.plane = plane
        self.server = server
        journal = Journal(logger: logger, levels: logLevels ?? LogLevels(charon: configuration.settings.logLevels))
        self.notifier = notifier
        self.keyLog = keyLog
        started = Clock.now()
        names = NameWatch(inbox: inbox)
        scripts = UpdownScripts { [inbox] in inbox.post(.scriptSaid($0)) }
        revocation = RevocationService(inbox: inbox, directory: stateDirectory)
        if let files { keyFiles = KeyFiles.load(beside: files, configuration.passphrases) }
        declared = DeclaredRounds.of(configuration.connections)
        let policies = keyFiles.completing(ControlLoop.resolved(configuration.policies), configuration.authorities)
        running = configuration
        running.connections = []
        manager = KeyManager(
            now: started, randomness: .buffered, policies: policies,
            settings: ControlLoop.settings(configuration, plane, disclosesKeys: keyLog != nil),
            standingSecret: standingSecret,
            epoch: Clock.wallTime().seconds - started.nanoseconds / 1_000_000_000,
            sourceAddress: { [plane] in plane.sourceAddress(for: $0) })
        self.leaseArchive = leaseArchive
        if leaseArchive != nil { manager.recordLeaseChanges() }
        restoreLeases()
        nameServers = configuration.settings.nameServerFile.map {
            NameServers($0, device: plane.tunnelName) { [logger] in logger.warning("\($0)") }
        }
        // An earlier run may have been killed.
        if let problem = nameServers?.write() { note(.daemon, problem) }
        names.watch(policies.names)
        for problem in keyFiles.problems(with: policies, running.authorities) { note(.configuration, problem) }
        for text in configuration.settings.notes + configuration.notes { note(.configuration, text) }
        userService.use(configuration.radius, loop: self)
        keyLog?.complain = { [logger] in logger.warning("\($0)") }
    }

    static func resolved(_ policies: PolicyDatabase) -> PolicyDatabase {
        policies.resolved(
            Dictionary(uniqueKeysWithValues: policies.names.map { ($0, Resolver.addresses(of: $0)) }))
    }

    /// What the configuration says, with what this data plane needs: its own ports, and ESP inside UDP, always where it
    /// has no raw sockets and otherwise where a connection does not ask for the contrary: the kernel takes and gives
    /// UDP datagrams many at a time, and bare packets one by one.
    private static func settings(
        _ configuration: Configuration, _ plane: UserspaceEngine, disclosesKeys: Bool
    ) -> EngineSettings {
        var settings = configuration.settings.engine
        settings.port = plane.boundPort
        settings.natPort = plane.boundNATPort
        settings.forceEncapsulation = !plane.carriesBarePackets
        settings.preferEncapsulation = true
        settings.packetWorkers = plane.workersEachWay
        settings.probesPaths = configuration.settings.probesPaths
        settings.traceMessages = true
        settings.disclosesKeys = disclosesKeys
        return settings
    }

    /// Runs until a signal ends it.
    func run() {
        for connection in manager.policies.connections {
            for child in connection.children where child.standingAction != nil {
                setStanding(connection.name, child, isSet: true)
            }
        }
        notifier.ready("\(manager.policies.connections.count) connections")
        watchOver()
        var end: Instant?
        while true {
            let ready = Poller.wait(
                [Poller.Interest(inbox.wakeup.descriptor)] + server.interests + userService.interests,
                milliseconds: pause(until: end))
            for item in inbox.take() { take(item) }
            userService.serve(loop: self)
            server.serve(ready, loop: self)
            if let deadline = manager.nextDeadline, deadline <= Clock.now() { feed(.deadline) }
            ring()
            server.serve([], loop: self)
            if isEnding {
                let isOver = end.map { $0 <= Clock.now() } ?? false
                if end == nil { end = Clock.now() + ControlLoop.farewell }
                if hasSignedOff {
                    if userService.isQuiet || isOver { break }
                } else if manager.sessionCounts.all == 0 || isOver {
                    hasSignedOff = true
                    userService.signOff(loop: self)
                    if userService.isQuiet { break }
                    end = Clock.now() + ControlLoop.farewell
                }
            }
        }
        if let problem = nameServers?.removeAll() { note(.daemon, problem) }
        scripts.finish()
        for item in inbox.take() { if case .scriptSaid = item { take(item) } }
    }

    private func pause(until end: Instant?) -> Int32 {
        if server.wantsTurn { return 0 }
        let moments = [manager.nextDeadline, userService.nextDeadline, end, alarms.earliest].compactMap {
            $0
        }
        guard let next = moments.min() else { return -1 }
        let milliseconds = ((next - Clock.now()).wholeNanoseconds + 999_999) / 1_000_000
        return Int32(clamping: max(0, min(milliseconds, 3_600_000)))
    }

    private func take(_ item: Inbox.Item) {
        switch item {
        case .datagram(let datagram): feed(.datagram(datagram))
        case .inboundTraffic(let child): feed(.traffic(.inbound(child)))
        case .exhausted(let child): feed(.traffic(.exhausted(child)))
        case .expired(let child): feed(.traffic(.expired(child)))
        case .acquire(let connection, let child): feed(.traffic(.acquire(connection: connection, child: child)))
        case .mappingChanged(let child, let endpoint): follow(child, to: endpoint)
        case .pathsChanged: feed(.pathsChanged)
        case .scriptSaid(let text): note(.child, "updown: \(text)")
        case .resolved(let answers): take(answers)
        case .signal(.reload): if let problem = reload().problem { note(.configuration, problem) }
        case .signal(.terminate): shutDown()
        case .observe(let subject, let reply): reply(observation(of: subject))
        case .fetched(let inquiry, let result): revocation.receive(result, of: inquiry, loop: self)
        }
    }

    /// Names have been looked up.
    private func take(_ answers: [String: [IPAddress]]) {
        let policies = manager.policies.resolved(answers)
        for (name, addresses) in policies.changedNames(since: manager.policies) {
            note(.configuration, "\(name) is \(addresses.map { "\($0)" }.joined(separator: ", ")) now")
        }
        replacePolicies(policies)
    }

    /// A peer behind NAT sends from elsewhere, and proved it with a packet (RFC 7296 §2.23).
    private func follow(_ child: ChildID, to endpoint: Endpoint) {
        for session in manager.snapshots where session.isRemoteBehindNAT {
            for known in session.children where known.id == child {
                move(child, local: session.local, remote: endpoint)
                note(
                    .child, "packets of \(known.name) {\(child)} come from \(endpoint) now", of: session, child: known)
            }
        }
    }

    /// A child's packets go between other ends, by which Wireshark's tables find its keys.
    private func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        plane.move(child, local: local, remote: remote)
        for keys in livingKeys.move(child, local: local.address, remote: remote.address) { giveAway { KeyLine(keys) } }
    }

    /// Writes keys where the operator asked for them when the daemon started, and hands them to who listens for them now.
    private func giveAway(_ keys: () -> KeyLine) {
        guard keyLog != nil || server.sharesKeys else { return }
        let keys = keys()
        keyLog?.note(keys)
        share(keys)
    }

    // MARK: Key management

    func feed(_ input: Input) {
        var inputs = [input]
        while !inputs.isEmpty {
            for effect in manager.handle(inputs.removeFirst(), now: Clock.now()) {
                if let answer = perform(effect) { inputs.append(answer) }
            }
        }
        leaseArchive?.record(manager.takeLeaseChanges())
    }

    /// What an earlier run gave from the pools that are in force.
    private func restoreLeases() {
        if let leaseArchive { manager.restore(leaseArchive.take(manager.policies.pools)) }
    }

    /// Performs one effect; an answer to a question comes back as the next input.
    private func perform(_ effect: Effect) -> Input? {
        switch effect {
        case .send(let datagram): _ = plane.sendIKE(datagram)
        case .install(let association):
            if let keys = PacketKeys(association) {
                livingKeys.install(keys, association.direction, of: association.child)
                giveAway { KeyLine(keys) }
            }
            plane.install(association)
        case .expect(let spi): plane.expect(spi)
        case .disclose(let keys): giveAway { KeyLine(keys) }
        case .remove(let spi, let direction, let child):
            userService.noteRemoval(direction, of: child) { [plane] in plane.counters(of: child) }
            livingKeys.remove(spi, direction, of: child)
            plane.remove(spi, direction, of: child)
            if direction == .inbound { scripts.fall(child, loop: self) }
        case .move(let child, let local, let remote):
            move(child, local: local, remote: remote)
            if let before = known.move(child, local: local, remote: remote) {
                server.publish("ike-update", ViciEvents.update(before, local: local, remote: remote, self))
            }
        case .addAddress(let address):
            if running.settings.installsAddresses { plane.addAddress(address) }
        case .removeAddress(let address): plane.removeAddress(address)
        case .trap(let connection, let child, let isSet):
            setStanding(connection, child, isSet: isSet)
        case .ask(let id, .relayUser(let relay)):
            return userService.ask(id, relay, loop: self).map { .answer(id, $0) }
        case .ask(let id, .tunnel(let request)):
            return revocation.answer(id, .tunnel(request), loop: self).map { .answer(id, $0) }
        case .ask(let id, .signMessage(let signing)) where signing.wantsStatuses:
            return revocation.answer(id, .signMessage(signing), loop: self).map { .answer(id, $0) }
        case .ask(let id, .verifyMessage(let verification)):
            return revocation.answer(id, .verifyMessage(verification), loop: self).map { .answer(id, $0) }
        case .ask(let id, .verifyDigest(let verification)):
            return revocation.answer(id, .verifyDigest(verification), loop: self).map { .answer(id, $0) }
        case .ask(let id, let question): return .answer(id, answer(question))
        case .reply(let request, let response): waiting.removeValue(forKey: request)?(response)
        case .report(let event):
            let lines = journal.record(event, known: known, living: manager.snapshot(of:))
            if event.doubtsPeer { names.doubt(manager.policies.connection(event.connection)?.names ?? []) }
            messageCounters.record(event)
            tally.record(event)
            userService.record(event, loop: self)
            idleChildren.record(event, loop: self)
            scripts.record(event, loop: self)
            tunnels.record(event)
            if let problem = nameServers?.record(event) { note(.daemon, problem) }
            if case .session(.pathMeasured(let octets)) = event.kind, let peer = event.snapshot?.remote.address {
                plane.learn(path: octets, to: peer)
            }
            let record = journal.decisions.record(
                event, policies: manager.policies,
                secrets: running.secrets.map { SecretOwners(name: $0.name, identities: $0.identities) },
                secretName: { [self] in secretName(local: $0, remote: $1) })
            if let record {
                server.publish("decision", DecisionMessages.message(record, now: Clock.now()))
            }
            server.publish(event, lines, loop: self)
            known.record(event)
            for done in rehearsals.record(event, newest: journal.decisions.records.last) { done() }
        }
        return nil
    }

    private func answer(_ question: Question) -> Answer {
        switch question {
        case .checkPassword(let password, let user): userStore.check(password, of: user)
        case .password(let user, let peer): userStore.password(of: user, for: peer)
        case .judgeUser(let proof, let user): userStore.judge(proof, of: user)
        case .proveUser(let challenge, let user, let peer): userStore.prove(challenge, of: user, for: peer)
        case .relayUser: .relayed(.unreachable)
        case .tunnel(let request): judge(request, fetched: RevocationStore(), asked: []).answer
        case .prove, .verify, .seed, .mix, .sign, .verifySignature, .encrypt, .decrypt, .signMessage, .verifyMessage,
            .signDigest, .verifyDigest:
            keyStore.answer(question, now: Clock.wallTime())
        }
    }

    /// Gives key management a command; `reply` is called when it is done with, maybe at once.
    func command(_ command: Command, reply: @escaping (Response) -> Void) {
        lastRequest += 1
        let request = RequestID(lastRequest)
        waiting[request] = reply
        feed(.command(command, request))
    }

    /// Whether a client of the control socket asked for an event.
    func hasListener(_ event: String) -> Bool { server.hasListener(event) }

    /// Whether another command may wait for SAs to come or go.
    var hasRoomForCommands: Bool { waiting.count < ControlLoop.waitingMaximum }
    /// What has come from other threads and has not been looked at.
    var inboxDepth: Int { inbox.count }
    /// Timers and alarms that are set.
    var scheduledCount: Int { manager.scheduledCount + alarms.count }

    /// Calls `ring` once, that much later, unless the alarm is cancelled by the number that comes back.
    func alarm(after duration: Duration, ring: @escaping () -> Void) -> UInt64 {
        alarms.set(at: Clock.now() + duration, ring)
    }

    func cancel(alarm: UInt64) { alarms.cancel(alarm) }

    func ring() {
        let now = Clock.now()
        while let ring = alarms.takeDue(at: now) { ring() }
    }

    /// A session as `list-sa` shows it.
    func message(of session: SessionSnapshot) -> ViciMessage {
        SnapshotMessages.message(session, now: Clock.now(), sizes: { [plane] in plane.sizes(of: $0) }) { [plane] in
            plane.counters(of: $0)
        }
    }

    /// Logs what no event tells. Where it is about an IKE SA or a child, the line has these as fields.
    func note(
        _ group: LogLine.Group, _ text: String, of session: SessionSnapshot? = nil, child: ChildSnapshot? = nil
    ) {
        let line = LogLine(
            group: group, level: 0, connection: session?.connection ?? "", session: session?.id, text: text,
            fields: session.map { LogFields($0, child: child) } ?? LogFields())
        journal.write(line)
        server.publish(line)
    }

    /// Puts settings in force; those of the machine (ports, devices) need a new start.
    func use(_ settings: Configuration.Settings) {
        running.settings = settings
        if ownLogLevels == nil { journal.levels = LogLevels(charon: settings.logLevels) }
        manager.use(ControlLoop.settings(running, plane, disclosesKeys: keyLog != nil || server.sharesKeys))
    }

    /// The keys that are in force.
    var keyStore: CredentialStore {
        if let keys { return keys }
        let store = CredentialStore(
            sharedKeys: running.secrets, privateKeys: keyFiles.privateKeys, trustedKeys: keyFiles.publicKeys,
            certificates: keyFiles.store(manager.policies, running.authorities), policies: manager.policies)
        keys = store
        return store
    }

    /// TLS inside EAP goes on. What broken sessions left behind does not pile up.
    func judge(
        _ request: TunnelRequest, fetched: RevocationStore, asked: Set<RevocationInquiry>
    ) -> CredentialStore.Judgement {
        if tunnels.count >= max(64, 2 * manager.sessionCounts.all) {
            tunnels.keep(Set(manager.snapshots.map(\.id)))
        }
        tunnels.use(running.settings.tlsVersions)
        return tunnels.judge(request, keyStore, now: Clock.wallTime(), fetched: fetched, asked: asked)
    }

    private var userStore: UserStore {
        if let users { return users }
        let store = UserStore(running.users)
        users = store
        return store
    }

    /// The section of the secret that two ends would use, ours first.
    func secretName(local: Identity, remote: Identity) -> String? {
        let shared = keyStore.sharedKeys
        return (shared.key(local: local, remote: remote) ?? shared.keyForMainMode(local: local, remote: remote))?.name
    }

    /// Lets go of what was made of the configuration before it changes.
    func forgetKeys() { (keys, users) = (nil, nil) }

    /// Puts a pool in force, in the place of one of the same name.
    func load(_ pool: AddressPool) {
        loadedPools[pool.name] = running.settings.completing(pool)
        replacePolicies(manager.policies)
    }

    /// Takes a pool out of force.
    func unload(pool name: String) {
        loadedPools[name] = nil
        var policies = manager.policies
        policies.pools.removeAll { $0.name == name }
        replacePolicies(policies)
    }

    func replacePolicies(_ policies: PolicyDatabase) {
        var policies = policies
        policies.pools = policies.pools.filter { loadedPools[$0.name] == nil }
        policies.pools += loadedPools.values.sorted { $0.name < $1.name }
        guard
            policies.connections != manager.policies.connections || policies.pools != manager.policies.pools
        else { return }
        forgetKeys()
        command(.load(policies)) { _ in }
        restoreLeases()
    }

    /// Tells systemd again and again that this loop turns.
    private func watchOver() {
        guard let interval = notifier.watchdogInterval else { return }
        notifier.alive()
        _ = alarm(after: interval) { [weak self] in self?.watchOver() }
    }

    private func observation(of subject: Observatory.Subject) -> String {
        switch subject {
        case .metrics: metrics
        case .health: health
        case .dashboard: dashboardStatus
        }
    }

    private func shutDown() {
        guard !isEnding else { return }
        isEnding = true
        notifier.stopping()
        server.publish("alert", ["type": "\(Alerts.shutdown)"])
        note(.daemon, "ending: deleting \(manager.sessionCounts.all) IKE SAs")
        command(.shutDown) { _ in }
    }
}

extension UserspaceEngine {
    /// The device's MTU with what a child's path takes; `nil` where that is not known.
    fileprivate func sizes(of child: ChildID) -> ChildSizes? {
        pathSize(of: child).map { ChildSizes(device: mtu, path: $0.path, inner: $0.inner, source: $0.source.rawValue) }
    }
}
