import Cryptography
import IPsec
import Primitives

/// The user's end of the methods that run TLS: EAP-TLS (RFC 5216, RFC 9190), EAP-TTLS version 0 (RFC 5281) and PEAP version 0
/// (draft-kamath-pppext-peapv0). TLS itself is asked for outside.
struct TunnelPeer: Sendable {
    enum Step: Sendable {
        /// Data of the method's next response.
        case send([UInt8])
        case ask(TunnelRequest.Input)
        case prove(UserChallenge)
        case password
        case fail(String)
    }

    private enum Phase: Sendable {
        case idle
        case handshake
        /// EAP-TLS with TLS 1.3: the server is to say that it has taken our proof (RFC 9190 §2.1.1).
        case awaitingIndication
        case inside
        case proved
        case failing(String)
    }

    /// Indirect: such a peer could hold another.
    private indirect enum Inside: Sendable {
        case peer(EAPPeer)
    }

    let method: UserMethod
    private let name: [UInt8]
    private var framing: TunnelFraming
    private var phase = Phase.idle
    private var inside: Inside
    private var facts: TunnelFacts?
    /// TLS's last flight, which goes out together with what is said inside.
    private var pending: [UInt8] = []
    private var hasBegun = false
    /// PEAP: MSK, where the server had it bound to the method inside.
    private var boundKey: Secret?
    /// The server has heard that it comes to nothing, has asked on, and has been answered once.
    private var hasConceded = false
    /// Why the server's certificate will not do.
    private(set) var report: ChainReport?

    init(_ method: UserMethod, user: Identity, fragmentOctets: Int = TunnelFraming.fragmentOctets) {
        self.method = method
        name = user.userName
        framing = TunnelFraming(fragmentOctets: fragmentOctets)
        inside = .peer(EAPPeer(inside: user))
    }

    private var peer: EAPPeer {
        get {
            switch inside {
            case .peer(let peer): peer
            }
        }
        set { inside = .peer(newValue) }
    }

    /// MSK, once the server has proved itself and seen our proof.
    var masterSessionKey: Secret? {
        guard let facts, facts.keys.count >= 64 else { return nil }
        switch phase {
        case .proved: return boundKey ?? facts.keys[0..<64]
        case .inside where method == .ttls && peer.isProved: return facts.keys[0..<64]
        default: return nil
        }
    }

    /// What went wrong, once it did.
    var failure: String? {
        if case .failing(let reason) = phase { return reason }
        return nil
    }

    // MARK: Packets

    /// Takes a request's data.
    mutating func receive(_ data: [UInt8]) throws(ParseError) -> Step {
        // A server that speaks a later version as well answers in ours.
        switch try framing.take(data) {
        case .start:
            guard case .idle = phase else { return .fail("the peer begins anew") }
            phase = .handshake
            return .ask(.open)
        case .part:
            if case .failing(let reason) = phase { return concede(reason) }
            return .send(TunnelFraming.empty)
        case .message(let records):
            switch phase {
            case .idle: return .fail("the peer goes on where nothing has begun")
            case .failing(let reason): return concede(reason)
            case .handshake, .awaitingIndication, .inside, .proved: return .ask(.records(records))
            }
        case .acknowledgement:
            if framing.hasMore { return .send(framing.next()) }
            if case .failing(let reason) = phase { return concede(reason) }
            if method == .ttls, case .inside = phase, !hasBegun { return begin() }
            return .fail("the peer says nothing where TLS wants something")
        }
    }

    /// A server that has our alert says EAP-Failure (RFC 5216 §2.1.3). One that asks on, as Libreswan does, is answered once; a
    /// second time would be for nothing.
    private mutating func concede(_ reason: String) -> Step {
        guard !hasConceded else { return .fail(reason) }
        hasConceded = true
        return .send(TunnelFraming.empty)
    }

    private mutating func send(_ records: [UInt8]) -> Step {
        framing.put(pending + records)
        pending = []
        return .send(framing.next())
    }

    // MARK: TLS

    mutating func take(
        _ progress: TunnelProgress, identifier: UInt8, _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        if let fault = progress.fault {
            if case .distrusted(let report) = fault { self.report = report }
            if case .noCertificate = fault { return .fail(fault.text) }
            // The alert, or the acknowledgement of the server's: then EAP-Failure is to come (RFC 5216 §2.1.3).
            phase = .failing(fault.text)
            return send(progress.records)
        }
        if let found = progress.facts { facts = facts ?? found }
        guard let facts else { return send(progress.records) }
        switch phase {
        case .handshake:
            switch method {
            case .ttls:
                phase = .inside
                pending = progress.records
                return begin()
            case .peap: phase = .inside
            default: phase = facts.isVersion13 ? .awaitingIndication : .proved
            }
            pending = progress.records
            if progress.plaintext.count > 0 {
                return try hear(progress.plaintext, identifier, &randomness)
            }
            return send([])
        case .awaitingIndication, .inside:
            if progress.plaintext.count > 0 {
                return try hear(progress.plaintext, identifier, &randomness)
            }
            return send(progress.records)
        case .proved:
            return progress.plaintext.count == 0
                ? send(progress.records) : .fail("the peer goes on inside")
        case .failing: return send(progress.records)
        case .idle: return .fail("TLS goes on where nothing has begun")
        }
    }

    private mutating func hear(
        _ plaintext: Secret, _ identifier: UInt8, _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        guard case .awaitingIndication = phase else {
            return try receiveInside(plaintext.exposed, identifier, &randomness)
        }
        guard plaintext == Secret([0]) else {
            return .fail("the peer says something else than that it is done")
        }
        phase = .proved
        return send([])
    }

    // MARK: Inside

    /// EAP-TTLS: says unasked who the user is (RFC 5281 §11.2.1).
    private mutating func begin() -> Step {
        hasBegun = true
        return say(EAPPacket(.response, identifier: 0, type: .identity, data: name).octets)
    }

    private func say(_ packet: [UInt8]) -> Step {
        method == .peap
            ? .ask(.plaintext(Secret(PEAPPacket.inside(packet))))
            : .ask(.plaintext(Secret(TunnelAttribute(.eapMessage, packet).octets)))
    }

    private mutating func receiveInside(
        _ octets: [UInt8], _ identifier: UInt8, _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        guard method == .peap else {
            let attributes = try TunnelAttribute.parse(octets)
            guard let message = TunnelAttribute.joined(.eapMessage, in: attributes) else {
                return attributes.contains(where: \.isMandatory)
                    ? .fail("the peer says inside eap-ttls what nobody asked") : .send(TunnelFraming.empty)
            }
            return try receiveMethod(message, &randomness)
        }
        guard PEAPPacket.isExtension(octets, .request) else {
            return try receiveMethod(
                PEAPPacket.outside(octets, .request, identifier: identifier), &randomness)
        }
        // Success is none before the server has shown that it has the password too.
        var failure =
            PEAPPacket.result(octets, .request) == .success && peer.isProved ? nil : "the peer refuses the user"
        var binding: [UInt8] = []
        if failure == nil, let asked = PEAPPacket.binding(octets, .request) {
            if let (answer, key) = bind(asked) {
                (binding, boundKey) = (answer, key)
            } else {
                failure = "what the peer says inside eap-peap is bound to another tunnel"
            }
        }
        phase = failure.map { .failing($0) } ?? .proved
        return .ask(
            .plaintext(
                Secret(
                    PEAPPacket.result(
                        failure == nil ? .success : .failure, .response, identifier: octets[1], binding: binding))))
    }

    /// The answer to the server's crypto-binding, and MSK; `nil`: the server has other keys than we.
    private func bind(_ asked: [UInt8]) -> (answer: [UInt8], key: Secret)? {
        guard let facts, let keys = try? PEAPBinding(tunnel: facts.keys, inside: peer.provedKey),
            let nonce = try? keys.nonce(of: asked, .request),
            let answer = try? keys.octets(.response, nonce: nonce), let key = try? keys.masterSessionKey
        else { return nil }
        return (answer, key)
    }

    private mutating func receiveMethod(
        _ message: [UInt8], _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        var running = peer
        let step = try running.receive(message, &randomness)
        peer = running
        return carry(step)
    }

    private mutating func carry(_ step: EAPPeer.Step) -> Step {
        switch step {
        case .send(let packet): return say(packet)
        case .prove(let challenge): return .prove(challenge)
        case .password: return .password
        case .tunnel: return .fail("there is no such method inside \(method.rawValue)")
        // The packet around has the last word.
        case .succeed: return .send(TunnelFraming.empty)
        case .fail(let reason): return .fail(reason)
        }
    }

    /// What follows from the password inside; `nil`: there is none.
    mutating func prove(_ answer: UserAnswer?) -> Step {
        var running = peer
        let step = running.prove(answer)
        peer = running
        return carry(step)
    }

    mutating func give(_ password: Secret?) -> Step {
        var running = peer
        let step = running.give(password)
        peer = running
        return carry(step)
    }
}
