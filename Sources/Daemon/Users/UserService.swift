import Cryptography
import IPsec
import KeyManagement
import Platform
import Primitives
import RADIUS

/// Users that authentication servers know: the sockets around ``RADIUSClient`` and ``DynamicAuthorization``, and the visits of
/// those users. Used by the control loop's thread alone.
final class UserService {
    private(set) var settings: RADIUSSettings
    private var client: RADIUSClient
    private var authorization: DynamicAuthorization?
    private var sockets: [IPAddress.Family: QuerySocket] = [:]
    private var authorizationSocket: QuerySocket?
    private var randomness = Randomness.buffered
    private var inquiries: [RADIUSClient.Token: (question: QuestionID, relay: UserRelay)] = [:]
    var visits: [SessionID: Visit] = [:]
    /// Tells this run's sessions from an earlier one's.
    private let runNumber = Clock.wallTime().seconds

    /// What came of a question, and what to tell the log.
    private struct Results {
        var answers: [(QuestionID, Answer)] = []
        var notes: [String] = []
    }

    init() {
        settings = RADIUSSettings()
        client = RADIUSClient(settings)
    }

    var interests: [Poller.Interest] {
        (Array(sockets.values) + (authorizationSocket.map { [$0] } ?? [])).map { Poller.Interest($0.descriptor) }
    }

    var nextDeadline: Instant? { client.nextDeadline }

    /// Puts settings in force. What waits for an answer of an old server has none.
    ///
    /// - Returns: what went wrong, for the log.
    func use(_ new: RADIUSSettings, loop: ControlLoop) {
        guard new != settings else { return }
        let isMoved = new.dynamicAuthorization != settings.dynamicAuthorization
        let told = settings.accounts ? settings.servers : []
        // Said once: nobody waits for what a server that is no longer configured answers.
        for index in told.indices where !new.accounts || !new.servers.contains(told[index]) {
            tell(.off, index, loop: loop)
        }
        settings = new
        client = RADIUSClient(new)
        let waiting = inquiries.values.map(\.question)
        inquiries = [:]
        sockets = [:]
        for family in Set(new.servers.map(\.address.family)) {
            do throws(PlatformError) { sockets[family] = try QuerySocket(.any(family)) } catch {
                loop.note(.daemon, "RADIUS: \(error)")
            }
        }
        if isMoved {
            authorizationSocket = nil
            authorization = new.dynamicAuthorization.map { DynamicAuthorization(secret: $0.secret) }
            if let listener = new.dynamicAuthorization {
                do throws(PlatformError) {
                    authorizationSocket = try QuerySocket(listener.address, port: listener.port)
                } catch {
                    loop.note(.daemon, "RADIUS: no dynamic authorization: \(error)")
                }
            }
        }
        for question in waiting { loop.feed(.answer(question, .relayed(.unreachable))) }
        for (index, server) in new.servers.enumerated() where new.accounts && !told.contains(server) {
            tell(.on, index, loop: loop)
        }
    }

    /// Tells each server that no more accounting comes.
    func signOff(loop: ControlLoop) {
        guard settings.accounts else { return }
        for index in settings.servers.indices { tell(.off, index, loop: loop) }
    }

    /// Whether no server's answer is awaited.
    var isQuiet: Bool { client.pendingCount == 0 }

    /// Tells one server that accounting begins or ends, by which it knows that our earlier sessions are over (RFC 2866 §5.1).
    private func tell(_ status: Visit.Status, _ server: Int, loop: ControlLoop) {
        let attributes = [
            RADIUSAttribute(.accountingStatus, status.rawValue),
            RADIUSAttribute(.accountingSessionID, String(runNumber, radix: 16)),
            RADIUSAttribute(.eventTimestamp, UInt32(clamping: Clock.wallTime().seconds)),
        ]
        account(attributes, server: server, loop: loop)
    }

    // MARK: Questions

    /// Asks a server; the answer comes back at once only where there is nobody to ask.
    func ask(_ question: QuestionID, _ relay: UserRelay, loop: ControlLoop) -> Answer? {
        guard let inquiry = inquiry(relay) else { return .relayed(.unreachable) }
        let (token, effects) = client.ask(inquiry, now: Clock.now(), &randomness)
        inquiries[token] = (question, relay)
        let results = perform(effects, loop)
        for text in results.notes { loop.note(.ike, text) }
        return results.answers.first { $0.0 == question }?.1
    }

    private func inquiry(_ relay: UserRelay) -> RADIUSClient.Inquiry? {
        var attributes = [
            RADIUSAttribute(.userName, relay.user.userName), RADIUSAttribute(.serviceType, 2),
            RADIUSAttribute(.nasPortType, 5), RADIUSAttribute(.nasPort, relay.session.value),
            RADIUSAttribute(.calledStationID, "\(relay.local)"), RADIUSAttribute(.callingStationID, "\(relay.remote)"),
            RADIUSAttribute(.accountingSessionID, accountingID(relay.session)),
        ]
        var server: Int?
        if let first = relay.state.first {
            server = Int(first)
            if relay.state.count > 1 { attributes.append(RADIUSAttribute(.state, Array(relay.state.dropFirst()))) }
        }
        switch relay.message {
        case .packet(let octets):
            attributes += RADIUSAttribute.split(.eapMessage, octets)
            return RADIUSClient.Inquiry(.access, attributes, server: server)
        case .password(let password):
            return RADIUSClient.Inquiry(.access, attributes, password: password, server: server)
        }
    }

    func accountingID(_ session: SessionID) -> String { "\(String(runNumber, radix: 16))-\(session)" }

    /// Sends accounting's request; what comes of it is nobody's to wait for.
    ///
    /// - Parameter server: the one to tell; `nil`: the first that answers.
    func account(_ attributes: [RADIUSAttribute], server: Int? = nil, loop: ControlLoop) {
        let inquiry = RADIUSClient.Inquiry(.accounting, attributes, server: server)
        let (_, effects) = client.ask(inquiry, now: Clock.now(), &randomness)
        for text in perform(effects, loop).notes { loop.note(.ike, text) }
    }

    private func perform(_ effects: [RADIUSClient.Effect], _ loop: ControlLoop) -> Results {
        var results = Results()
        for effect in effects {
            switch effect {
            case .send(let octets, let target): sockets[target.address.family]?.send(octets, to: target)
            case .complain(let text): results.notes.append(text)
            case .finish(let token, let outcome):
                let inquiry = inquiries.removeValue(forKey: token)
                if case .silent = outcome {
                    let session = inquiry.flatMap { loop.manager.snapshot(of: $0.relay.session) }
                    loop.server.publish("alert", Alerts.message(Alerts.silentServers, session, loop))
                }
                guard let inquiry else {
                    switch outcome {
                    case .failed(let reason), .silent(let reason): results.notes.append("accounting: \(reason)")
                    case .answered: break
                    }
                    continue
                }
                let (verdict, text) = verdict(outcome, inquiry.relay, loop)
                if let text { results.notes.append(text) }
                results.answers.append((inquiry.question, .relayed(verdict)))
            }
        }
        return results
    }

    private func verdict(
        _ outcome: RADIUSClient.Outcome, _ relay: UserRelay, _ loop: ControlLoop
    ) -> (UserVerdict, String?) {
        switch outcome {
        case .failed(let reason), .silent(let reason): return (.unreachable, reason)
        case .answered(let packet, let server, let authenticator):
            let eap = packet.all(.eapMessage).flatMap { $0 }
            let message = packet.all(.replyMessage).first.map { UserService.printable($0) }
            let text = message.map { "the RADIUS server says of '\(relay.user)': \($0)" }
            switch packet.code {
            case .accessChallenge:
                return (
                    .goOn(packet: eap, state: [UInt8(truncatingIfNeeded: server)] + (packet.first(.state) ?? [])), text
                )
            case .accessAccept:
                var grant = UserGrant(
                    packet, secret: settings.servers[server].secret, requestAuthenticator: authenticator)
                grant.groups = settings.groups(in: packet)
                admit(Visit(relay, packet, grant), loop)
                return (.accepted(grant, packet: eap.isEmpty ? nil : eap), text)
            default: return (.refused(packet: eap.isEmpty ? nil : eap), text)
            }
        }
    }

    /// A server's text as the log may have it.
    private static func printable(_ octets: [UInt8]) -> String {
        String(decoding: octets.map { (0x20..<0x7F).contains($0) ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }

    /// Visits beyond this many are looked through for those whose session is gone.
    private static let looseVisits = 64

    private func admit(_ visit: Visit, _ loop: ControlLoop) {
        if visits.count >= max(Self.looseVisits, 2 * loop.manager.sessionCounts.all) {
            let sessions = Set(loop.manager.snapshots.map(\.id))
            visits = visits.filter { sessions.contains($0.key) }
        }
        visits[visit.session] = visit
    }

    // MARK: Sockets and time

    /// Takes what has come, and sends again what is due.
    func serve(loop: ControlLoop) {
        var effects: [RADIUSClient.Effect] = []
        for socket in sockets.values {
            for message in socket.receive() {
                effects += client.receive(message.octets, from: message.source)
            }
        }
        if let deadline = client.nextDeadline, deadline <= Clock.now() {
            effects += client.expire(now: Clock.now(), &randomness)
        }
        let results = perform(effects, loop)
        for text in results.notes { loop.note(.ike, text) }
        for (question, answer) in results.answers { loop.feed(.answer(question, answer)) }
        for message in authorizationSocket?.receive() ?? [] { authorize(message, loop) }
    }

    private func authorize(_ message: QuerySocket.Message, _ loop: ControlLoop) {
        guard let step = authorization?.receive(message.octets) else { return }
        func reply(_ octets: [UInt8]) {
            authorizationSocket?.send(octets, to: message.source, from: message.target)
        }
        switch step {
        case .ignore: loop.note(.ike, "a request of dynamic authorization from \(message.source) does not hold")
        case .reply(let octets): reply(octets)
        case .perform(let action, let selection, let request):
            let meant = loop.manager.snapshots.filter { session in
                visits[session.id]?.isMeant(by: selection, session, accountingID(session.id)) == true
            }.map(\.id)
            // The answer is on its way before the sessions end.
            if let octets = authorization?.conclude(request, count: meant.count) { reply(octets) }
            for session in meant {
                switch action {
                case .end:
                    loop.note(
                        .ike, "\(message.source) ends session \(session) (Disconnect-Request)",
                        of: loop.manager.snapshot(of: session))
                    loop.command(.terminate(Target(session: session))) { _ in }
                case .limit(let seconds):
                    loop.note(
                        .ike, "\(message.source) lets session \(session) stay for \(seconds) s (CoA-Request)",
                        of: loop.manager.snapshot(of: session))
                    limit(session, to: .seconds(Int64(seconds)), loop)
                }
            }
        }
    }
}

extension UserGrant {
    /// What an Access-Accept says. 255.255.255.254 and .255 leave the address to us (RFC 2865 §5.8).
    fileprivate init(_ packet: RADIUSPacket, secret: Secret, requestAuthenticator: [UInt8]) {
        let named = [packet.first(.framedIPAddress), packet.first(.framedIPv6Address)].compactMap { value in
            value.flatMap { IPAddress(octets: $0) }
        }
        self.init(
            masterSessionKey: HiddenValues.masterSessionKey(
                packet, secret, requestAuthenticator: requestAuthenticator),
            addresses: named.filter { !($0.family == .v4 && $0.value >= 0xFFFF_FFFE) },
            sessionTimeout: RADIUSAttribute.number(packet.first(.sessionTimeout)).flatMap {
                $0 > 0 ? .seconds(Int64($0)) : nil
            })
    }
}
