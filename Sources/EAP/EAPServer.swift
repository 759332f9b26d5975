package import Cryptography
package import IPsec
package import Primitives

/// The gateway's end of EAP (RFC 3748): asks who the user is, then for one method's proof. A value; whether the proof holds is
/// asked from outside.
package struct EAPServer: Sendable {
    /// Packets that a user may send before it has proved anything.
    static let maximumPackets = 8
    /// The same, where an authentication server leads: certificates come in many fragments.
    static let maximumRelayedPackets = 64
    /// The same, where TLS runs here.
    static let maximumTunnelPackets = 2 * TunnelFraming.maximumMessage / TunnelFraming.fragmentOctets
    /// Octets of a name or of a password.
    static let maximumOctets = 253
    private static let name = Array("parley".utf8)

    package enum Step: Sendable {
        case send([UInt8])
        /// Whether the password is the user's.
        case check(Secret, user: Identity)
        case judge(UserProof, user: Identity)
        /// What an authentication server says to the user's packet.
        case relay([UInt8], user: Identity, state: [UInt8])
        /// TLS inside the packets goes on.
        case tunnel(TunnelRequest.Input)
        /// EAP-Success is to be sent; the key is the method's, if it makes one.
        case succeed([UInt8], user: Identity, masterSessionKey: Secret?)
        /// EAP-Failure is to be sent.
        case fail([UInt8], user: Identity?, reason: String)
    }

    private enum State: Sendable {
        case awaitingIdentity
        case awaitingProof(challenge: [UInt8])
        case judging
        /// An authentication server's request is with the user.
        case awaitingRelayed(serverState: [UInt8])
        case relaying
        case awaitingConfirmation(UserAnswer)
        case awaitingAcknowledgement
        case tunnelling
        case over
    }

    private let method: UserMethod
    private let pattern: IdentityPattern
    /// Whether the user says who it is, or is who the end is.
    private let isAsked: Bool
    /// With PEAP: the user is asked to bind the method inside to TLS.
    private let asksBinding: Bool
    private var state = State.awaitingIdentity
    /// Of the request that the user is to answer.
    private(set) var identifier: UInt8
    private var user: Identity?
    private var tunnel: TunnelServer?
    private var received = 0
    /// The method that an authentication server last asked for.
    private var relayedType: EAPPacket.MethodType?

    /// Whether the method that was used proves both ends (RFC 5998 §4).
    package var isMutual: Bool { relayedType.map { EAPPacket.MethodType.mutual.contains($0) } ?? method.isMutual }

    /// - Parameters:
    ///   - method: not `any`.
    ///   - user: who it is; `nil`: it is asked, and must be one of `pattern`.
    ///   - asksBinding: with PEAP, whether the user is asked for crypto-binding; one that says none comes in all the same.
    package init(
        _ method: UserMethod, user: Identity?, pattern: IdentityPattern, asksBinding: Bool = false,
        _ randomness: inout Randomness
    ) {
        self.asksBinding = asksBinding
        self.method = method
        self.pattern = pattern
        self.user = user
        isAsked = user == nil
        identifier = UInt8(truncatingIfNeeded: randomness.uint32())
    }

    /// A server inside EAP-TTLS or PEAP, to which the user says who it is.
    ///
    /// - Parameter awaiting: the identifier of the user's first packet.
    init(inside method: UserMethod, pattern: IdentityPattern, awaiting: UInt8) {
        asksBinding = false
        self.method = method
        self.pattern = pattern
        isAsked = true
        identifier = awaiting
    }

    /// Asks who the user is.
    mutating func askIdentity() -> [UInt8] { request(.identity, []) }

    /// Why the user's certificate will not do, where that is what was wrong.
    package var report: ChainReport? { tunnel?.report }

    /// The first request.
    package mutating func start(_ randomness: inout Randomness) -> [UInt8] {
        // An authentication server gets the user's own answer, whoever the end is.
        user == nil || method == .radius ? request(.identity, []) : challenge(&randomness)
    }

    private mutating func request(_ type: EAPPacket.MethodType, _ data: [UInt8]) -> [UInt8] {
        identifier &+= 1
        return EAPPacket(.request, identifier: identifier, type: type, data: data).octets
    }

    private mutating func challenge(_ randomness: inout Randomness) -> [UInt8] {
        if let type = method.tunnelType, let user {
            state = .tunnelling
            tunnel = TunnelServer(
                method, claimed: user, pattern: isAsked ? pattern : .exactly(user), asksBinding: asksBinding)
            return request(type, TunnelFraming.start)
        }
        let challenge = randomness.octets(MSCHAPv2.challengeOctets)
        state = .awaitingProof(challenge: challenge)
        let value = [UInt8(challenge.count)] + challenge + Self.name
        switch method {
        case .md5: return request(.md5Challenge, value)
        case .gtc: return request(.tokenCard, Array("Password".utf8))
        case .mschapv2, .any, .radius, .tls, .ttls, .peap:
            return request(
                .mschapv2, MSCHAPv2Packet(MSCHAPv2Packet.challenge, identifier: identifier &+ 1, value).octets)
        }
    }

    private mutating func fail(_ reason: String) -> Step {
        state = .over
        return .fail(EAPPacket(.failure, identifier: identifier).octets, user: user, reason: reason)
    }

    private mutating func succeed(_ key: Secret?) -> Step {
        guard let user else { return fail("nobody is known") }
        state = .over
        return .succeed(EAPPacket(.success, identifier: identifier).octets, user: user, masterSessionKey: key)
    }

    /// Takes a packet of the user's.
    package mutating func receive(_ octets: [UInt8], _ randomness: inout Randomness) throws(ParseError) -> Step {
        let packet = try EAPPacket(parsing: octets)
        received += 1
        let limit =
            method == .radius
            ? Self.maximumRelayedPackets
            : method.tunnelType == nil ? Self.maximumPackets : Self.maximumTunnelPackets
        guard received <= limit else { return fail("the user sends packet after packet") }
        guard packet.code == .response, packet.identifier == identifier else {
            return fail("the user answers another request than the last")
        }
        if case .awaitingRelayed(let serverState) = state, let user {
            state = .relaying
            return .relay(packet.octets, user: user, state: serverState)
        }
        if packet.type == .nak { return fail("the user does not want \(method.rawValue)") }
        switch state {
        case .awaitingIdentity:
            guard packet.type == .identity, (1...Self.maximumOctets).contains(packet.data.count) else {
                return fail("the user does not say who it is")
            }
            let named = Identity(user: packet.data)
            // Whom the connection does not want fails like whom nobody knows: with its proof.
            user = named
            if method == .radius {
                state = .relaying
                return .relay(packet.octets, user: named, state: [])
            }
            return .send(challenge(&randomness))
        case .awaitingProof(let challenge): return receiveProof(packet, challenge)
        case .tunnelling:
            guard packet.type == method.tunnelType, var running = tunnel else {
                return fail("the user answers with another method than \(method.rawValue)")
            }
            do throws(ParseError) {
                let step = try running.receive(packet.data)
                return carry(step, running)
            } catch {
                return fail("the user's packet of \(method.rawValue): \(error)")
            }
        case .awaitingConfirmation(let answer):
            guard packet.type == .mschapv2, packet.data.first == MSCHAPv2Packet.success else {
                return fail("the user does not believe that we have its password")
            }
            return succeed(answer.masterSessionKey)
        case .awaitingAcknowledgement: return fail("the password is not right, or nobody has that name")
        case .judging, .awaitingRelayed, .relaying, .over: return fail("no packet is awaited")
        }
    }

    private mutating func receiveProof(_ packet: EAPPacket, _ challenge: [UInt8]) -> Step {
        guard let user else { return fail("nobody is known") }
        let broken = "the user's answer has not the form of \(method.rawValue)"
        switch (method, packet.type) {
        case (.md5, .md5Challenge):
            guard packet.data.count >= 17, packet.data[0] == 16 else { return fail(broken) }
            state = .judging
            return .judge(
                UserProof(.md5(identifier: identifier, challenge: challenge), response: Array(packet.data[1...16])),
                user: user)
        case (.gtc, .tokenCard):
            guard (1...Self.maximumOctets).contains(packet.data.count) else { return fail(broken) }
            state = .judging
            return .check(Secret(packet.data), user: user)
        case (.mschapv2, .mschapv2):
            guard let inner = MSCHAPv2Packet(parsing: packet.data), inner.operation == MSCHAPv2Packet.response,
                inner.data.count >= 50, Int(inner.data[0]) == MSCHAPv2Packet.responseValueOctets,
                inner.data.count <= 50 + Self.maximumOctets
            else { return fail(broken) }
            state = .judging
            let exchange = MSCHAPv2.Exchange(
                userName: Array(inner.data[50...]), authenticatorChallenge: challenge,
                peerChallenge: Array(inner.data[1...16]))
            return .judge(UserProof(.mschapv2(exchange), response: Array(inner.data[25...48])), user: user)
        default: return fail(broken)
        }
    }

    /// Whom the last packet refuses, before EAP-Failure: MSCHAPv2 waits for the host to acknowledge that, and some hosts leave instead.
    package var refused: Identity? {
        if case .awaitingAcknowledgement = state { return user }
        return tunnel?.refused
    }

    /// The verdict on what was asked about last; `nil`: the proof does not hold. A user whom the connection does not want has no
    /// better one.
    package mutating func judge(_ answer: UserAnswer?, _ randomness: inout Randomness) -> Step {
        if case .tunnelling = state, var running = tunnel {
            let step = running.judge(answer, &randomness)
            return carry(step, running)
        }
        guard case .judging = state else { return fail("nothing was asked") }
        if let answer, let user, pattern.matches(user) {
            guard method == .mschapv2 else { return succeed(nil) }
            state = .awaitingConfirmation(answer)
            return .send(
                request(
                    .mschapv2,
                    MSCHAPv2Packet(
                        MSCHAPv2Packet.success, identifier: identifier, answer.confirmation + Array(" M=OK".utf8)
                    ).octets))
        }
        guard method == .mschapv2 else { return fail("the password is not right, or nobody has that name") }
        // RFC 2759 §6: authentication failure, no retry on this SA.
        state = .awaitingAcknowledgement
        let challenge = randomness.octets(MSCHAPv2.challengeOctets).flatMap { octet -> [UInt8] in
            let text = String(octet, radix: 16, uppercase: true)
            return Array((text.count == 1 ? "0" + text : text).utf8)
        }
        return .send(
            request(
                .mschapv2,
                MSCHAPv2Packet(
                    MSCHAPv2Packet.failure, identifier: identifier,
                    Array("E=691 R=0 C=".utf8) + challenge + Array(" V=3 M=Authentication failed".utf8)
                ).octets))
    }

    /// What came of what TLS was asked for.
    package mutating func take(_ progress: TunnelProgress, _ randomness: inout Randomness) -> Step {
        guard case .tunnelling = state, var running = tunnel else { return fail("nothing was asked") }
        do throws(ParseError) {
            let step = try running.take(progress, &randomness)
            return carry(step, running)
        } catch {
            return fail("what the user says inside \(method.rawValue): \(error)")
        }
    }

    private mutating func carry(_ step: TunnelServer.Step, _ running: TunnelServer) -> Step {
        tunnel = running
        switch step {
        case .send(let data): return .send(request(method.tunnelType ?? .nak, data))
        case .ask(let input): return .tunnel(input)
        case .check(let password, let user): return .check(password, user: user)
        case .judge(let proof, let user): return .judge(proof, user: user)
        case .succeed(let proved, let key):
            user = proved
            return succeed(key)
        case .fail(let reason): return fail(reason)
        }
    }

    /// What the authentication server says. Its packets go on as they are, where they are EAP's.
    package mutating func take(_ verdict: UserVerdict) -> Step {
        guard case .relaying = state else { return fail("nothing was asked") }
        func packet(_ octets: [UInt8]?, _ code: EAPPacket.Code) -> EAPPacket? {
            octets.flatMap { try? EAPPacket(parsing: $0) }.flatMap { $0.code == code ? $0 : nil }
        }
        switch verdict {
        case .goOn(let octets, let serverState):
            guard let request = packet(octets, .request) else {
                return fail("the authentication server's challenge holds no request of EAP")
            }
            identifier = request.identifier
            if let type = request.type, type != .identity, type != .notification { relayedType = type }
            state = .awaitingRelayed(serverState: serverState)
            return .send(request.octets)
        case .accepted(let grant, let octets):
            guard let user, pattern.matches(user) else { return fail("the connection is not for that user") }
            if let success = packet(octets, .success) { identifier = success.identifier }
            return succeed(grant.masterSessionKey)
        case .refused(let octets):
            if let failure = packet(octets, .failure) { identifier = failure.identifier }
            return fail("the authentication server refuses the user")
        case .unreachable: return fail("no authentication server answers")
        }
    }
}
