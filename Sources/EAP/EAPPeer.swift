package import Cryptography
package import IPsec
package import Primitives

/// The user's end of EAP (RFC 3748). A value; the password is asked for, or what follows from it.
package struct EAPPeer: Sendable {
    /// Requests that are answered: a gateway needs a few.
    static let maximumPackets = 16
    /// The same, where TLS runs: certificates come in many fragments, and ours go in many.
    static let maximumTunnelPackets = 2 * TunnelFraming.maximumMessage / TunnelFraming.fragmentOctets

    package enum Step: Sendable {
        case send([UInt8])
        /// What the user's password answers.
        case prove(UserChallenge)
        /// The password itself.
        case password
        /// TLS inside the packets goes on.
        case tunnel(UserMethod, TunnelRequest.Input)
        /// EAP-Success came where it may; the key is the method's, if it makes one.
        case succeed(masterSessionKey: Secret?)
        case fail(reason: String)
    }

    private enum State: Sendable {
        case idle
        case proving(EAPPacket, MSCHAPv2.Exchange?)
        /// The gateway is to show that it has the password.
        case awaitingConfirmation(UserAnswer)
        case proved(masterSessionKey: Secret?)
        case refused
        /// What TLS was asked for answers the packet.
        case tunnelling(EAPPacket)
    }

    private let method: UserMethod
    private let user: Identity
    private let name: [UInt8]
    /// Inside another method there is no TLS again.
    private let isInside: Bool
    /// The method is to prove the gateway too: one by which it would learn of the password is not answered (RFC 5998 §4).
    private let isMutual: Bool
    /// The gateway asked for a method that does not prove it.
    package private(set) var metUnsafeMethod = false
    private var state = State.idle
    private var tunnel: TunnelPeer?
    private var received = 0

    /// - Parameter isMutual: whether nothing else proves the gateway (RFC 5998).
    package init(_ method: UserMethod, user: Identity, isMutual: Bool = false) {
        self.method = method
        self.user = user
        name = user.userName
        isInside = false
        self.isMutual = isMutual
    }

    /// A peer inside EAP-TTLS or PEAP.
    init(inside user: Identity) {
        method = .any
        self.user = user
        name = user.userName
        isInside = true
        isMutual = false
    }

    /// Whether the user has proved itself, and with MSCHAPv2 the gateway too.
    var isProved: Bool {
        if case .proved = state { return true }
        return false
    }

    /// The method's key, once it is proved and where the method makes one.
    var provedKey: Secret? {
        if case .proved(let key) = state { return key }
        return nil
    }

    /// Why the certificate of TLS's server will not do, where that is what was wrong.
    package var report: ChainReport? { tunnel?.report }

    private var types: [EAPPacket.MethodType] {
        if isMutual {
            return UserMethod.allCases.filter { $0.isMutual && (method == .any || method == $0) }.compactMap(
                \.tunnelType)
        }
        switch method {
        case .any, .radius:
            return [.mschapv2, .md5Challenge, .tokenCard] + (isInside ? [] : [.tls, .ttls, .peap])
        case .tls, .ttls, .peap: return method.tunnelType.map { [$0] } ?? []
        case .md5: return [.md5Challenge]
        case .gtc: return [.tokenCard]
        case .mschapv2: return [.mschapv2]
        }
    }

    private func respond(to packet: EAPPacket, _ type: EAPPacket.MethodType, _ data: [UInt8]) -> Step {
        .send(EAPPacket(.response, identifier: packet.identifier, type: type, data: data).octets)
    }

    /// Takes a packet of the gateway's.
    package mutating func receive(_ octets: [UInt8], _ randomness: inout Randomness) throws(ParseError) -> Step {
        let packet = try EAPPacket(parsing: octets)
        received += 1
        guard received <= (tunnel == nil ? Self.maximumPackets : Self.maximumTunnelPackets) else {
            return .fail(reason: tunnel?.failure ?? "the peer asks and asks")
        }
        switch packet.code {
        case .success:
            // Before the proof, and with MSCHAPv2 before the gateway's own, it means nothing (RFC 3748 §4.2).
            if let key = tunnel?.masterSessionKey { return .succeed(masterSessionKey: key) }
            guard tunnel == nil, case .proved(let key) = state else {
                return .fail(reason: tunnel?.failure ?? "the peer takes us for the user unproved")
            }
            return .succeed(masterSessionKey: key)
        case .failure: return .fail(reason: tunnel?.failure ?? "the peer refuses the user")
        case .response: return .fail(reason: "the peer answers what nobody asked")
        case .request: break
        }
        switch packet.type {
        case .identity?: return respond(to: packet, .identity, name)
        case .notification?: return respond(to: packet, .notification, [])
        case let type? where types.contains(type):
            if let method = UserMethod.allCases.first(where: { $0.tunnelType == type }) {
                return receiveTunnel(packet, method)
            }
            guard tunnel == nil else { return .fail(reason: "the peer changes its method") }
            return answer(packet, type, &randomness)
        case let type? where isMutual && !EAPPacket.MethodType.mutual.contains(type):
            // RFC 5998 §3: nothing more is said.
            metUnsafeMethod = true
            return .fail(reason: "the peer asks for method \(type.rawValue), which does not prove both ends")
        default: return respond(to: packet, .nak, types.map(\.rawValue))
        }
    }

    // MARK: TLS

    private mutating func receiveTunnel(_ packet: EAPPacket, _ method: UserMethod) -> Step {
        var running = tunnel ?? TunnelPeer(method, user: user)
        guard running.method == method else { return .fail(reason: "the peer changes its method") }
        do throws(ParseError) {
            let step = try running.receive(packet.data)
            tunnel = running
            return carry(step, packet, running)
        } catch {
            return .fail(reason: "the peer's packet of \(method.rawValue): \(error)")
        }
    }

    /// What came of what TLS was asked for.
    package mutating func take(_ progress: TunnelProgress, _ randomness: inout Randomness) -> Step {
        guard case .tunnelling(let packet) = state, var running = tunnel else {
            return .fail(reason: "nothing was asked")
        }
        do throws(ParseError) {
            let step = try running.take(progress, identifier: packet.identifier, &randomness)
            tunnel = running
            return carry(step, packet, running)
        } catch {
            return .fail(reason: "what the peer says inside \(running.method.rawValue): \(error)")
        }
    }

    private mutating func carry(_ step: TunnelPeer.Step, _ packet: EAPPacket, _ running: TunnelPeer)
        -> Step
    {
        state = .tunnelling(packet)
        switch step {
        case .send(let data): return respond(to: packet, running.method.tunnelType ?? .nak, data)
        case .ask(let input): return .tunnel(running.method, input)
        case .prove(let challenge): return .prove(challenge)
        case .password: return .password
        case .fail(let reason): return .fail(reason: reason)
        }
    }

    // MARK: The password's methods

    private mutating func answer(
        _ packet: EAPPacket, _ type: EAPPacket.MethodType, _ randomness: inout Randomness
    ) -> Step {
        switch type {
        case .md5Challenge:
            guard let count = packet.data.first.map(Int.init), count > 0, packet.data.count > count else {
                return .fail(reason: "the peer's challenge has not the form")
            }
            state = .proving(packet, nil)
            return .prove(.md5(identifier: packet.identifier, challenge: Array(packet.data[1...count])))
        case .tokenCard:
            state = .proving(packet, nil)
            return .password
        default: return answerMSCHAPv2(packet, &randomness)
        }
    }

    private mutating func answerMSCHAPv2(_ packet: EAPPacket, _ randomness: inout Randomness) -> Step {
        guard let inner = MSCHAPv2Packet(parsing: packet.data) else {
            return .fail(reason: "the peer's packet has not the form of eap-mschapv2")
        }
        switch (inner.operation, state) {
        case (MSCHAPv2Packet.challenge, .idle):
            guard inner.data.count >= 17, inner.data[0] == 16 else {
                return .fail(reason: "the peer's challenge has not the form")
            }
            let exchange = MSCHAPv2.Exchange(
                userName: name, authenticatorChallenge: Array(inner.data[1...16]),
                peerChallenge: randomness.octets(MSCHAPv2.challengeOctets))
            state = .proving(packet, exchange)
            return .prove(.mschapv2(exchange))
        case (MSCHAPv2Packet.success, .awaitingConfirmation(let answer)):
            guard ConstantTime.equal(Array(inner.data.prefix(answer.confirmation.count)), answer.confirmation) else {
                return .fail(reason: "the peer does not have the user's password")
            }
            state = .proved(masterSessionKey: answer.masterSessionKey)
            return respond(to: packet, .mschapv2, [MSCHAPv2Packet.success])
        case (MSCHAPv2Packet.failure, .awaitingConfirmation):
            state = .refused
            return respond(to: packet, .mschapv2, [MSCHAPv2Packet.failure])
        default: return .fail(reason: "the peer's packet comes out of turn")
        }
    }

    /// What follows from the password; `nil`: there is none.
    package mutating func prove(_ answer: UserAnswer?) -> Step {
        if case .tunnelling(let packet) = state, var running = tunnel {
            let step = running.prove(answer)
            tunnel = running
            return carry(step, packet, running)
        }
        guard case .proving(let packet, let exchange) = state, let type = packet.type, let answer else {
            return .fail(reason: "no password is known for the user")
        }
        guard let exchange, let inner = MSCHAPv2Packet(parsing: packet.data) else {
            state = .proved(masterSessionKey: nil)
            return respond(to: packet, type, [UInt8(answer.response.count)] + answer.response + name)
        }
        state = .awaitingConfirmation(answer)
        let value =
            [UInt8(MSCHAPv2Packet.responseValueOctets)] + exchange.peerChallenge + [UInt8](repeating: 0, count: 8)
            + answer.response + [0] + name
        return respond(
            to: packet, type,
            MSCHAPv2Packet(MSCHAPv2Packet.response, identifier: inner.identifier, value).octets)
    }

    /// The password; `nil`: there is none.
    package mutating func give(_ password: Secret?) -> Step {
        if case .tunnelling(let packet) = state, var running = tunnel {
            let step = running.give(password)
            tunnel = running
            return carry(step, packet, running)
        }
        guard case .proving(let packet, _) = state, let password else {
            return .fail(reason: "no password is known for the user")
        }
        state = .proved(masterSessionKey: nil)
        return respond(to: packet, .tokenCard, password.exposed)
    }
}
