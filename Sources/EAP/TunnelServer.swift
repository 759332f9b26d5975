import Cryptography
import IPsec
import Primitives

/// The gateway's end of the methods that run TLS: EAP-TLS (RFC 5216, RFC 9190), EAP-TTLS version 0 (RFC 5281) and PEAP version 0
/// (draft-kamath-pppext-peapv0). TLS itself is asked for outside.
struct TunnelServer: Sendable {
    enum Step: Sendable {
        /// Data of the method's next request.
        case send([UInt8])
        case ask(TunnelRequest.Input)
        case check(Secret, user: Identity)
        case judge(UserProof, user: Identity)
        case succeed(user: Identity, masterSessionKey: Secret)
        case fail(String)
    }

    private enum Phase: Sendable {
        case handshake
        /// The last thing to say inside is on its way into a record: EAP-TLS's protected indication with TLS 1.3 (RFC 9190
        /// §2.1.1), or that we have the password too.
        case indicating(Identity)
        /// The last message is sent; its acknowledgement ends it.
        case concluding(Identity)
        /// The user proves itself inside.
        case inside
        /// PEAP: both ends tell the result inside; the failure's reason, where it is one; and the binding that the user was asked
        /// for.
        case awaitingResult(Identity?, failure: String?, binding: PEAPBinding? = nil)
        /// An alert is sent; whatever comes ends it.
        case failing(String)
    }

    /// Who proves itself inside. Indirect: such a server could hold another.
    private indirect enum Inside: Sendable {
        case nobody
        case method(EAPServer)
        /// Attributes of RFC 5281 §11.2 with a user's password, or what follows from it.
        case attributes(user: Identity, confirms: Bool)
    }

    private let method: UserMethod
    /// Of EAP inside.
    private let innerMethod: UserMethod
    private let claimed: Identity
    private let pattern: IdentityPattern
    /// PEAP: the user is asked to bind the method inside to TLS. One that does not know how comes in all the same.
    private let asksBinding: Bool
    private var framing: TunnelFraming
    private var phase = Phase.handshake
    private var inside = Inside.nobody
    private var facts: TunnelFacts?
    /// TTLS: the user was once asked to begin.
    private var hasWaited = false
    /// Why the user's certificate will not do.
    private(set) var report: ChainReport?

    /// - Parameters:
    ///   - claimed: who the user says it is, outside, where nobody vouches for it.
    ///   - pattern: who it must be.
    init(
        _ method: UserMethod, inner: UserMethod = .mschapv2, claimed: Identity,
        pattern: IdentityPattern, asksBinding: Bool = false,
        fragmentOctets: Int = TunnelFraming.fragmentOctets
    ) {
        self.asksBinding = asksBinding
        self.method = method
        innerMethod = inner
        self.claimed = claimed
        self.pattern = pattern
        framing = TunnelFraming(fragmentOctets: fragmentOctets)
    }

    /// Whom the last message inside refuses.
    var refused: Identity? {
        if case .method(let server) = inside { return server.refused }
        return nil
    }

    // MARK: Packets

    /// Takes a response's data.
    mutating func receive(_ data: [UInt8]) throws(ParseError) -> Step {
        if method != .tls, let flags = data.first, flags & TunnelFraming.versionMask != 0 {
            return .fail("the user speaks another version of \(method.rawValue)")
        }
        switch try framing.take(data) {
        case .start: return .fail("the user begins what the gateway begins")
        case .part: return .send(TunnelFraming.empty)
        case .message(let records):
            if case .failing(let reason) = phase { return .fail(reason) }
            return .ask(.records(records))
        case .acknowledgement: return framing.hasMore ? .send(framing.next()) : acknowledged()
        }
    }

    private mutating func acknowledged() -> Step {
        switch phase {
        case .handshake, .indicating: return .fail("the user says nothing where TLS wants something")
        case .concluding(let user): return succeed(user)
        case .failing(let reason): return .fail(reason)
        case .awaitingResult(_, let failure, _):
            return .fail(failure ?? "the user does not acknowledge the result")
        case .inside:
            guard case .nobody = inside, !hasWaited else {
                return .fail("the user says nothing inside TLS")
            }
            hasWaited = true
            return beginInside()
        }
    }

    private mutating func send(_ records: [UInt8]) -> Step {
        framing.put(records)
        return .send(framing.next())
    }

    private func succeed(_ user: Identity) -> Step {
        guard let facts, facts.keys.count >= 64 else { return .fail("TLS made no key") }
        return .succeed(user: user, masterSessionKey: facts.keys[0..<64])
    }

    // MARK: TLS

    mutating func take(_ progress: TunnelProgress, _ randomness: inout Randomness) throws(ParseError)
        -> Step
    {
        if let fault = progress.fault {
            if case .distrusted(let report) = fault { self.report = report }
            guard !progress.records.isEmpty else { return .fail(fault.text) }
            phase = .failing(fault.text)
            return send(progress.records)
        }
        let isFirst = facts == nil
        if let found = progress.facts { facts = facts ?? found }
        guard let facts else {
            return progress.records.isEmpty ? .fail("TLS does not go on") : send(progress.records)
        }
        switch phase {
        case .handshake where method == .tls:
            guard let user = provedUser(facts) else {
                report = facts.report?.lacking(wanted)
                return .fail("the user's certificate does not name whom the connection is for")
            }
            guard facts.isVersion13 else {
                phase = .concluding(user)
                return send(progress.records)
            }
            phase = .indicating(user)
            return .ask(.plaintext(Secret([0])))
        case .handshake:
            phase = .inside
            if progress.plaintext.count > 0 {
                return try receiveInside(progress.plaintext.exposed, &randomness)
            }
            // With TLS 1.3 the user had the last word.
            return progress.records.isEmpty ? acknowledged() : send(progress.records)
        case .indicating(let user):
            phase = .concluding(user)
            return send(progress.records)
        case .concluding: return .fail("the user goes on where TLS is done with")
        case .failing(let reason): return .fail(reason)
        case .inside, .awaitingResult:
            if progress.plaintext.count > 0 {
                return try receiveInside(progress.plaintext.exposed, &randomness)
            }
            if isFirst || !progress.records.isEmpty { return send(progress.records) }
            return .fail("the user says nothing inside TLS")
        }
    }

    private var wanted: Identity {
        if case .exactly(let identity) = pattern { return identity }
        return claimed
    }

    /// The user by the certificate (RFC 5216 §5.2): as whom it came, where the certificate has that name; else a name that it
    /// has, since the name outside may be anybody's for privacy (RFC 9190 §2.1.7).
    private func provedUser(_ facts: TunnelFacts) -> Identity? {
        if facts.peerNames.contains(claimed), pattern.matches(claimed) { return claimed }
        return facts.peerNames.first { pattern.matches($0) }
    }

    // MARK: Inside

    private mutating func beginInside() -> Step {
        // EAP-TTLS: the user speaks first (RFC 5281 §11.2.1).
        guard method == .peap else { return .send(TunnelFraming.empty) }
        var server = EAPServer(inside: innerMethod, pattern: pattern, awaiting: 0)
        let request = server.askIdentity()
        inside = .method(server)
        return say(request)
    }

    /// An EAP packet as the method puts it inside TLS.
    private func say(_ packet: [UInt8]) -> Step {
        method == .peap
            ? .ask(.plaintext(Secret(PEAPPacket.inside(packet))))
            : .ask(.plaintext(Secret(TunnelAttribute(.eapMessage, packet).octets)))
    }

    private mutating func receiveInside(
        _ octets: [UInt8], _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        if method == .peap { return try receivePEAP(octets, &randomness) }
        let attributes = try TunnelAttribute.parse(octets)
        if let message = TunnelAttribute.joined(.eapMessage, in: attributes) {
            return try receiveMethod(message, &randomness)
        }
        guard case .nobody = inside, let facts else {
            return .fail("the user's attributes come out of turn")
        }
        guard let claim = AttributeClaim(attributes, challenge: facts.challenge.exposed) else {
            return .fail("the user proves itself by no method that is known inside eap-ttls")
        }
        switch claim {
        case .password(let user, let password):
            inside = .attributes(user: user, confirms: false)
            return .check(password, user: user)
        case .proof(let user, let proof):
            if case .mschapv2 = proof.challenge {
                inside = .attributes(user: user, confirms: true)
            } else {
                inside = .attributes(user: user, confirms: false)
            }
            return .judge(proof, user: user)
        }
    }

    private mutating func receiveMethod(
        _ message: [UInt8], _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        var server: EAPServer
        switch inside {
        case .method(let running): server = running
        case .nobody:
            // The user says unasked who it is.
            let packet = try EAPPacket(parsing: message)
            server = EAPServer(inside: innerMethod, pattern: pattern, awaiting: packet.identifier)
        case .attributes: return .fail("the user changes its method inside eap-ttls")
        }
        let step = try server.receive(message, &randomness)
        return carry(step, server, &randomness)
    }

    private mutating func receivePEAP(
        _ octets: [UInt8], _ randomness: inout Randomness
    ) throws(ParseError) -> Step {
        if case .awaitingResult(let user, let failure, let binding) = phase {
            if let failure { return .fail(failure) }
            guard let user, PEAPPacket.result(octets, .response) == .success else {
                return .fail("the user does not take the result inside eap-peap for success")
            }
            guard let binding, let said = PEAPPacket.binding(octets, .response) else { return succeed(user) }
            guard (try? binding.nonce(of: said, .response)) != nil, let key = try? binding.masterSessionKey else {
                return .fail("what the user says inside eap-peap is bound to another tunnel")
            }
            return .succeed(user: user, masterSessionKey: key)
        }
        guard case .method(var server) = inside else {
            return .fail("the user speaks inside eap-peap unasked")
        }
        let packet = try PEAPPacket.outside(octets, .response, identifier: server.identifier)
        let step = try server.receive(packet, &randomness)
        return carry(step, server, &randomness)
    }

    /// What a method inside wants, as the tunnel does it.
    private mutating func carry(
        _ step: EAPServer.Step, _ server: EAPServer, _ randomness: inout Randomness
    ) -> Step {
        inside = .method(server)
        switch step {
        case .send(let packet): return say(packet)
        case .check(let password, let user): return .check(password, user: user)
        case .judge(let proof, let user): return .judge(proof, user: user)
        case .relay, .tunnel: return .fail("there is no such method inside \(method.rawValue)")
        case .succeed(_, let user, let key):
            guard method == .peap else { return succeed(user) }
            var binding: (keys: PEAPBinding, octets: [UInt8])?
            if asksBinding, let facts, let keys = try? PEAPBinding(tunnel: facts.keys, inside: key),
                let octets = try? keys.octets(.request, nonce: randomness.octets(PEAPBinding.nonceOctets))
            {
                binding = (keys, octets)
            }
            phase = .awaitingResult(user, failure: nil, binding: binding?.keys)
            return .ask(
                .plaintext(
                    Secret(
                        PEAPPacket.result(
                            .success, .request, identifier: server.identifier &+ 1, binding: binding?.octets ?? []))))
        case .fail(_, _, let reason):
            guard method == .peap else { return .fail(reason) }
            phase = .awaitingResult(nil, failure: reason)
            return .ask(
                .plaintext(
                    Secret(PEAPPacket.result(.failure, .request, identifier: server.identifier &+ 1))))
        }
    }

    /// The verdict on what was asked about inside.
    mutating func judge(_ answer: UserAnswer?, _ randomness: inout Randomness) -> Step {
        switch inside {
        case .nobody: return .fail("nothing was asked")
        case .method(var server):
            let step = server.judge(answer, &randomness)
            return carry(step, server, &randomness)
        case .attributes(let user, let confirms):
            guard let answer, pattern.matches(user) else {
                return .fail("the password is not right, or nobody has that name")
            }
            guard confirms, let identifier = facts?.challenge.exposed.last else { return succeed(user) }
            phase = .indicating(user)
            // RFC 5281 §11.2.4: the same as MS-CHAP2-Success of RFC 2548 §2.3.3.
            let success = TunnelAttribute(.msCHAP2Success, [identifier] + answer.confirmation)
            return .ask(.plaintext(Secret(success.octets)))
        }
    }
}

extension ChainReport {
    /// The same report, where the certificate does not name who was wanted.
    fileprivate func lacking(_ identity: Identity) -> ChainReport {
        var report = self
        report.wanted = identity
        guard !report.links.isEmpty else { return report }
        report.links[0].findings.removeAll { $0.check == .identity }
        report.links[0].findings.append(Finding(check: .identity, outcome: .failed(.identityAbsent)))
        return report
    }
}
