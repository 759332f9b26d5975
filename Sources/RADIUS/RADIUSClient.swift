package import Cryptography
package import Primitives

/// The client's end of RADIUS: what is asked, of which server, how often, and which answers hold. A value: it sends nothing
/// itself.
package struct RADIUSClient: Sendable {
    package enum Service: Hashable, Sendable {
        case access
        case accounting
    }

    /// Names a request until its outcome.
    package typealias Token = UInt64

    /// What is asked. The octets that a server's secret or its answers' authenticator takes part in are made for each server.
    package struct Inquiry: Sendable {
        package var service: Service
        package var attributes: [RADIUSAttribute]
        /// A user's password, for User-Password.
        package var password: Secret?
        /// The server that the conversation is with; `nil`: any.
        package var server: Int?

        package init(
            _ service: Service, _ attributes: [RADIUSAttribute], password: Secret? = nil, server: Int? = nil
        ) {
            self.service = service
            self.attributes = attributes
            self.password = password
            self.server = server
        }
    }

    package enum Outcome: Sendable {
        /// An answer that holds, of which server, and the request's authenticator, by which values in it are hidden.
        case answered(RADIUSPacket, server: Int, requestAuthenticator: [UInt8])
        /// No server answered; for the log.
        case silent(String)
        /// Why nobody was asked; for the log.
        case failed(String)
    }

    package enum Effect: Sendable {
        case send([UInt8], to: Endpoint)
        case finish(Token, Outcome)
        case complain(String)
    }

    /// Requests that wait for answers, in all; each has an identifier of its server's 256.
    static let maximumPending = 1024
    /// How long a server that did not answer is asked after the others.
    static let penalty = Duration.seconds(60)

    private struct Pending: Sendable {
        var token: Token
        var inquiry: Inquiry
        var server: Int
        var identifier: UInt8
        var authenticator: [UInt8]
        var octets: [UInt8]
        var attempt: Int
        var deadline: Instant
        /// Servers that were asked before.
        var asked: Set<Int>
    }

    package let settings: RADIUSSettings
    private var pending: [Pending] = []
    private var lastToken: Token = 0
    /// The last identifier of each server and service.
    private var identifiers: [Int: UInt8] = [:]
    private var silentUntil: [Int: Instant] = [:]
    /// Servers whose answers did not hold were told of once.
    private var complained: Set<Int> = []

    package init(_ settings: RADIUSSettings) { self.settings = settings }

    package var nextDeadline: Instant? { pending.map(\.deadline).min() }
    package var pendingCount: Int { pending.count }

    private func endpoint(_ server: Int, _ service: Service) -> Endpoint {
        let chosen = settings.servers[server]
        return Endpoint(chosen.address, port: service == .access ? chosen.accessPort : chosen.accountingPort)
    }

    /// Asks. The outcome may be among the effects at once.
    package mutating func ask(
        _ inquiry: Inquiry, now: Instant, _ randomness: inout Randomness
    ) -> (token: Token, effects: [Effect]) {
        lastToken += 1
        return (lastToken, begin(inquiry, lastToken, asked: [], now, &randomness))
    }

    private mutating func begin(
        _ inquiry: Inquiry, _ token: Token, asked: Set<Int>, _ now: Instant, _ randomness: inout Randomness
    ) -> [Effect] {
        guard !settings.servers.isEmpty else {
            return [.finish(token, .failed("no RADIUS server is configured (radius.servers)"))]
        }
        guard pending.count < Self.maximumPending else {
            return [.finish(token, .failed("too many requests wait for RADIUS servers"))]
        }
        let candidates = settings.servers.indices.filter { !asked.contains($0) && (inquiry.server ?? $0) == $0 }
        func isSilent(_ server: Int) -> Bool { silentUntil[server].map { $0 > now } ?? false }
        guard let server = candidates.first(where: { !isSilent($0) }) ?? candidates.first else {
            let names = asked.sorted().map { "'\(settings.servers[$0].name)' at \(endpoint($0, inquiry.service))" }
            return [
                .finish(
                    token,
                    .silent(
                        "no answer from RADIUS server \(names.joined(separator: " and ")): it is not there, does not know "
                            + "us as a client, or has another secret"))
            ]
        }
        guard let identifier = freeIdentifier(server, inquiry.service) else {
            return [
                .finish(token, .failed("too many requests wait for RADIUS server '\(settings.servers[server].name)'"))
            ]
        }
        do throws(CryptographyError) {
            guard let packet = try packet(inquiry, server, identifier, &randomness) else {
                return [.finish(token, .failed("the user's name or password is longer than RADIUS can say"))]
            }
            let octets = packet.octets
            guard octets.count <= RADIUSPacket.maximumOctets else {
                return [.finish(token, .failed("the request is longer than RADIUS can say"))]
            }
            pending.append(
                Pending(
                    token: token, inquiry: inquiry, server: server, identifier: identifier,
                    authenticator: packet.authenticator, octets: octets, attempt: 1,
                    deadline: now + settings.retransmitTimeout, asked: asked.union([server])))
            return [.send(octets, to: endpoint(server, inquiry.service))]
        } catch {
            return [.finish(token, .failed("\(error)"))]
        }
    }

    private mutating func freeIdentifier(_ server: Int, _ service: Service) -> UInt8? {
        let slot = server * 2 + (service == .access ? 0 : 1)
        let taken = Set(pending.filter { $0.server == server && $0.inquiry.service == service }.map(\.identifier))
        guard taken.count < 256 else { return nil }
        var identifier = (identifiers[slot] ?? 0) &+ 1
        while taken.contains(identifier) { identifier &+= 1 }
        identifiers[slot] = identifier
        return identifier
    }

    private func packet(
        _ inquiry: Inquiry, _ server: Int, _ identifier: UInt8, _ randomness: inout Randomness
    ) throws(CryptographyError) -> RADIUSPacket? {
        let chosen = settings.servers[server]
        var attributes = inquiry.attributes
        attributes.append(RADIUSAttribute(.nasIdentifier, chosen.identifier))
        switch inquiry.service {
        case .accounting:
            return try RADIUSPacket(.accountingRequest, identifier: identifier, attributes).signedRequest(chosen.secret)
        case .access:
            let authenticator = randomness.octets(RADIUSPacket.authenticatorOctets)
            if let password = inquiry.password {
                guard
                    let hidden = try HiddenValues.password(password, chosen.secret, authenticator: authenticator)
                else { return nil }
                attributes.append(RADIUSAttribute(.userPassword, hidden))
            }
            return try RADIUSPacket(
                .accessRequest, identifier: identifier, authenticator: authenticator, attributes
            ).signedAccess(chosen.secret)
        }
    }

    /// Takes a datagram. What is no answer to what was asked, from whom it was asked, changes nothing.
    package mutating func receive(_ octets: [UInt8], from source: Endpoint) -> [Effect] {
        guard let packet = try? RADIUSPacket(parsing: octets),
            let index = pending.firstIndex(where: {
                endpoint($0.server, $0.inquiry.service) == source && $0.identifier == packet.identifier
            })
        else { return [] }
        let request = pending[index]
        let isExpected =
            switch request.inquiry.service {
            case .access: [.accessAccept, .accessReject, .accessChallenge].contains(packet.code)
            case .accounting: packet.code == .accountingResponse
            }
        guard isExpected else { return [] }
        let server = settings.servers[request.server]
        // Without it, who is between us and the server can make an answer by a collision of MD5.
        let needsMessageAuthenticator =
            request.inquiry.service == .access
            && (server.needsMessageAuthenticator || request.inquiry.password == nil
                || packet.first(.eapMessage) != nil)
        guard
            packet.isResponse(
                to: request.authenticator, server.secret, needsMessageAuthenticator: needsMessageAuthenticator)
        else {
            guard complained.insert(request.server).inserted else { return [] }
            let why =
                packet.first(.messageAuthenticator) == nil && needsMessageAuthenticator
                ? "has no Message-Authenticator (require_message_authenticator)" : "was made with another secret"
            return [.complain("an answer of RADIUS server '\(server.name)' does not count: it \(why)")]
        }
        pending.remove(at: index)
        silentUntil[request.server] = nil
        complained.remove(request.server)
        return [
            .finish(
                request.token,
                .answered(packet, server: request.server, requestAuthenticator: request.authenticator))
        ]
    }

    /// Sends again what is due, to the next server where one has been asked often enough.
    package mutating func expire(now: Instant, _ randomness: inout Randomness) -> [Effect] {
        var effects: [Effect] = []
        var given: [Pending] = []
        for index in pending.indices where pending[index].deadline <= now {
            var request = pending[index]
            guard request.attempt < settings.retransmitTries else {
                given.append(request)
                continue
            }
            var wait = settings.retransmitTimeout
            for _ in 0..<request.attempt { wait = wait * settings.retransmitBase }
            request.attempt += 1
            request.deadline = now + wait
            pending[index] = request
            effects.append(.send(request.octets, to: endpoint(request.server, request.inquiry.service)))
        }
        let over = Set(given.map(\.token))
        pending.removeAll { over.contains($0.token) }
        for request in given {
            silentUntil[request.server] = now + Self.penalty
            effects += begin(request.inquiry, request.token, asked: request.asked, now, &randomness)
        }
        return effects
    }
}
