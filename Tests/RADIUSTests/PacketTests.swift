import Cryptography
import Primitives
import Testing

@testable import RADIUS

/// RADIUS on the wire: RFC 2865 §7.1's packets, and values that an independent program made.
@Suite struct RADIUSPacketTests {
    private static let secret = Secret(Array("xyzzy5461".utf8))
    private static let request = [UInt8](
        hex:
            "010000380f403f9473978057bd83d5cb98f4227a01066e656d6f02120dbe708d93d413ce3196e43f782a0aee0406c0a8011005060000"
            + "0003")!
    private static let response = [UInt8](
        hex: "0200002686fe220e7624ba2a1005f6bf9b55e0b20606000000010f06000000000e06c0a80103")!
    /// Access-Accept to the same request, with Message-Authenticator and both MS-MPPE keys of 16 and 32 octets.
    static let accept = [UInt8](
        hex:
            "0200008a55f8c46c899164350448148fb0e9894150127649f025f5d775e6f4bde844e6ad12a91a2a0000013711248001d74fd77a66159a"
            + "f1c00e2603ed8f8a2da18214fcd796204e7e1edd8c11cafce21a3a0000013710348002b1dd20cf4ad7c7e036ffd672fefaf2053742074d"
            + "116e43aedf0a7a2f5eeb42ab7d369edc5239cac9fee76b7aecd35320")!
    private var authenticator: [UInt8] { Array(Self.request[4..<20]) }

    @Test func publishedPacketsAreReadAndWritten() throws {
        let packet = try RADIUSPacket(parsing: Self.request)
        #expect(packet.code == .accessRequest && packet.identifier == 0)
        #expect(packet.first(.userName) == Array("nemo".utf8))
        #expect(RADIUSAttribute.number(packet.first(.nasPort)) == 3)
        #expect(packet.octets == Self.request)
        let hidden = try HiddenValues.password(
            Secret(Array("arctangent".utf8)), Self.secret, authenticator: authenticator)
        #expect(hidden == packet.first(.userPassword))
        // Without Message-Authenticator it holds where none is needed, and there alone.
        let response = try RADIUSPacket(parsing: Self.response)
        #expect(response.isResponse(to: authenticator, Self.secret, needsMessageAuthenticator: false))
        #expect(!response.isResponse(to: authenticator, Self.secret, needsMessageAuthenticator: true))
    }

    @Test func longPasswordsChainTheirBlocks() throws {
        let long = try HiddenValues.password(
            Secret([UInt8](repeating: 0x61, count: 33)), Self.secret, authenticator: authenticator)
        #expect(long?.count == 48)
        #expect(try HiddenValues.password(Secret([]), Self.secret, authenticator: authenticator) == nil)
        let tooLong = Secret([UInt8](repeating: 0x61, count: 129))
        #expect(try HiddenValues.password(tooLong, Self.secret, authenticator: authenticator) == nil)
    }

    @Test func keysOfAnAcceptOpen() throws {
        let packet = try RADIUSPacket(parsing: Self.accept)
        #expect(packet.isResponse(to: authenticator, Self.secret, needsMessageAuthenticator: true))
        let key = try #require(
            HiddenValues.masterSessionKey(packet, Self.secret, requestAuthenticator: authenticator))
        #expect(key.exposed == Array(0..<48) + [UInt8](repeating: 0, count: 16))
        let other = Secret(Array("another".utf8))
        #expect(
            HiddenValues.masterSessionKey(packet, other, requestAuthenticator: authenticator)?.exposed != key.exposed)
    }

    @Test func everyFlippedOctetIsSeen() throws {
        for index in Self.accept.indices {
            var octets = Self.accept
            octets[index] ^= 1
            guard let packet = try? RADIUSPacket(parsing: octets) else { continue }
            #expect(!packet.isResponse(to: authenticator, Self.secret, needsMessageAuthenticator: true), "\(index)")
        }
        let packet = try RADIUSPacket(parsing: Self.accept)
        let other = Secret(Array("xyzzy5462".utf8))
        #expect(!packet.isResponse(to: authenticator, other, needsMessageAuthenticator: true))
    }

    @Test func brokenPacketsAreRefused() {
        for count in 0..<Self.request.count {
            #expect(throws: ParseError.self) { try RADIUSPacket(parsing: Array(Self.request.prefix(count))) }
        }
        for length in [UInt8](0...1) {
            var octets = Self.request
            octets[21] = length
            #expect(throws: ParseError.self) { try RADIUSPacket(parsing: octets) }
        }
    }

    @Test func longValuesAreSplit() {
        let octets = (0..<600).map { UInt8(truncatingIfNeeded: $0) }
        let parts = RADIUSAttribute.split(.eapMessage, octets)
        #expect(parts.map(\.value.count) == [253, 253, 94])
        #expect(parts.flatMap(\.value) == octets)
    }
}

/// Which server is asked how often, and which answers count.
@Suite struct RADIUSClientTests {
    private let secret = Secret(Array("xyzzy5461".utf8))
    private let start = Instant(nanoseconds: 0)

    private func settings(_ count: Int) -> RADIUSSettings {
        var settings = RADIUSSettings()
        settings.servers = (1...count).map { number in
            RADIUSSettings.Server(name: "s\(number)", address: IPAddress("192.0.2.\(number)")!, secret: secret)
        }
        settings.retransmitTries = 2
        return settings
    }

    private func sent(_ effects: [RADIUSClient.Effect]) -> [(octets: [UInt8], to: Endpoint)] {
        effects.compactMap { if case .send(let octets, let to) = $0 { (octets, to) } else { nil } }
    }

    private func outcome(_ effects: [RADIUSClient.Effect]) -> RADIUSClient.Outcome? {
        for case .finish(_, let outcome) in effects { return outcome }
        return nil
    }

    @Test func theNextServerIsAskedAfterASilentOne() throws {
        var randomness = Randomness.seeded(1)
        var client = RADIUSClient(settings(2))
        let inquiry = RADIUSClient.Inquiry(.access, [RADIUSAttribute(.userName, "joe")])
        let first = sent(client.ask(inquiry, now: start, &randomness).effects)
        #expect(first.map(\.to.description) == ["192.0.2.1[1812]"])
        let packet = try RADIUSPacket(parsing: first[0].octets)
        #expect(packet.attributes.first?.kind == .messageAuthenticator)
        #expect(client.nextDeadline == start + .seconds(2))
        let again = sent(client.expire(now: start + .seconds(2), &randomness))
        #expect(again.map(\.octets) == first.map(\.octets))
        let moment = try #require(client.nextDeadline)
        #expect(moment == start + .seconds(2) + .seconds(2) * 1.4)
        let second = sent(client.expire(now: moment, &randomness))
        #expect(second.map(\.to.description) == ["192.0.2.2[1812]"])
        // Another request goes to the one that may answer, while the silent one is passed over.
        let next = sent(client.ask(inquiry, now: moment, &randomness).effects)
        #expect(next.map(\.to.description) == ["192.0.2.2[1812]"])
        // A conversation stays with its server.
        let bound = RADIUSClient.Inquiry(.access, [], server: 0)
        #expect(sent(client.ask(bound, now: moment, &randomness).effects).map(\.to.description) == ["192.0.2.1[1812]"])
        // In the end nobody has answered, and it is said whom was asked.
        var effects: [RADIUSClient.Effect] = []
        while client.pendingCount > 0, let deadline = client.nextDeadline {
            effects += client.expire(now: deadline, &randomness)
        }
        guard case .silent(let reason)? = outcome(effects) else {
            Issue.record("no failure")
            return
        }
        #expect(reason.contains("another secret"))
        #expect(effects.filter { if case .finish = $0 { true } else { false } }.count == 3)
    }

    @Test func onlyTheServersOwnAnswerCounts() throws {
        var randomness = Randomness.seeded(1)
        var client = RADIUSClient(settings(1))
        let inquiry = RADIUSClient.Inquiry(.access, [], password: Secret(Array("arctangent".utf8)))
        let request = sent(client.ask(inquiry, now: start, &randomness).effects)[0]
        let packet = try RADIUSPacket(parsing: request.octets)
        let accept = RADIUSPacket(.accessAccept, identifier: packet.identifier)
        let good = try accept.signedResponse(secret, to: packet).octets
        #expect(client.receive(good, from: Endpoint(IPAddress("192.0.2.9")!, port: 1812)).isEmpty)
        #expect(client.receive(good, from: Endpoint(request.to.address, port: 1813)).isEmpty)
        let forged = try accept.signedResponse(Secret([1]), to: packet).octets
        guard case .complain(let text)? = client.receive(forged, from: request.to).first else {
            Issue.record("no complaint")
            return
        }
        #expect(text.contains("'s1'"))
        // It is told once.
        #expect(client.receive(forged, from: request.to).isEmpty)
        let wrongKind = RADIUSPacket(.accountingResponse, identifier: packet.identifier)
        #expect(client.receive(try wrongKind.signedResponse(secret, to: packet).octets, from: request.to).isEmpty)
        guard case .answered(let answer, 0, packet.authenticator)? = outcome(client.receive(good, from: request.to))
        else {
            Issue.record("no answer")
            return
        }
        #expect(answer.code == .accessAccept)
        #expect(client.receive(good, from: request.to).isEmpty)
        #expect(client.pendingCount == 0 && client.nextDeadline == nil)
    }

    /// Of a password's answer it may be left out where the configuration says so; of EAP's never.
    @Test(arguments: [true, false], [true, false])
    func messageAuthenticatorsAreNeeded(isPassword: Bool, isLenient: Bool) throws {
        var randomness = Randomness.seeded(1)
        var settings = settings(1)
        settings.servers[0].needsMessageAuthenticator = !isLenient
        var client = RADIUSClient(settings)
        let inquiry = RADIUSClient.Inquiry(.access, [], password: isPassword ? Secret([1, 2, 3]) : nil)
        let request = sent(client.ask(inquiry, now: start, &randomness).effects)[0]
        let packet = try RADIUSPacket(parsing: request.octets)
        var bare = RADIUSPacket(.accessAccept, identifier: packet.identifier)
        bare.authenticator = try Digest.compute(
            .md5, [.open(Array(bare.octets[0..<4])), .open(packet.authenticator), .secret(secret)])
        let effects = client.receive(bare.octets, from: request.to)
        #expect((outcome(effects) != nil) == (isPassword && isLenient))
    }

    @Test func accountingIsSignedByItself() throws {
        var randomness = Randomness.seeded(1)
        var client = RADIUSClient(settings(1))
        let request = sent(
            client.ask(.init(.accounting, [RADIUSAttribute(.accountingStatus, 1)]), now: start, &randomness).effects)[0]
        #expect(request.to.port == 1813)
        let packet = try RADIUSPacket(parsing: request.octets)
        #expect(packet.isRequest(secret) && !packet.isRequest(Secret([1])))
        let answer = RADIUSPacket(.accountingResponse, identifier: packet.identifier)
        #expect(client.receive(try answer.signedResponse(secret, to: packet).octets, from: request.to).count == 1)
    }

    @Test func requestsAreBounded() {
        var randomness = Randomness.seeded(1)
        var client = RADIUSClient(settings(1))
        for _ in 0..<256 { #expect(outcome(client.ask(.init(.access, []), now: start, &randomness).effects) == nil) }
        guard case .failed? = outcome(client.ask(.init(.access, []), now: start, &randomness).effects) else {
            Issue.record("a 257th request of one server has no identifier")
            return
        }
        var empty = RADIUSClient(RADIUSSettings())
        guard case .failed(let reason)? = outcome(empty.ask(.init(.access, []), now: start, &randomness).effects) else {
            Issue.record("nobody is there to ask")
            return
        }
        #expect(reason.contains("radius.servers"))
    }
}

/// Requests of a server about our sessions (RFC 5176).
@Suite struct DynamicAuthorizationTests {
    private let secret = Secret(Array("xyzzy5461".utf8))
    /// Disconnect-Request for "joe", by an independent program.
    private let request = [UInt8](hex: "28070019f530f14445723f15cb0a8313e3211aee01056a6f65")!

    private func code(_ octets: [UInt8]) throws -> RADIUSPacket.Code { try RADIUSPacket(parsing: octets).code }

    @Test func aDisconnectRequestIsPerformedOnce() throws {
        var authorization = DynamicAuthorization(secret: secret)
        guard case .perform(.end, let selection, let packet) = authorization.receive(request) else {
            Issue.record("not performed")
            return
        }
        #expect(selection.userName == Array("joe".utf8) && selection.accountingSession == nil)
        let reply = authorization.conclude(packet, count: 1)
        let answer = try RADIUSPacket(parsing: reply)
        #expect(answer.code == .disconnectACK)
        #expect(answer.isResponse(to: packet.authenticator, secret, needsMessageAuthenticator: true))
        guard case .reply(let again) = authorization.receive(request) else {
            Issue.record("performed twice")
            return
        }
        #expect(again == reply)
    }

    @Test func whoIsNotThereIsSaid() throws {
        var authorization = DynamicAuthorization(secret: secret)
        guard case .perform(_, _, let packet) = authorization.receive(request) else { return }
        let answer = try RADIUSPacket(parsing: authorization.conclude(packet, count: 0))
        #expect(answer.code == .disconnectNAK)
        #expect(RADIUSAttribute.number(answer.first(.errorCause)) == 503)
    }

    @Test func othersSecretsAndAttributesAreRefused() throws {
        var authorization = DynamicAuthorization(secret: secret)
        for index in request.indices {
            var octets = request
            octets[index] ^= 1
            guard case .ignore = authorization.receive(octets) else {
                Issue.record("octet \(index)")
                continue
            }
        }
        func reply(_ code: RADIUSPacket.Code, _ attributes: [RADIUSAttribute]) throws -> RADIUSPacket? {
            let packet = try RADIUSPacket(code, identifier: 9, attributes).signedRequest(secret)
            guard case .reply(let octets) = authorization.receive(packet.octets) else { return nil }
            return try RADIUSPacket(parsing: octets)
        }
        // Nobody is meant; an attribute that would say who is not understood; a CoA-Request that changes nothing.
        #expect(RADIUSAttribute.number(try reply(.disconnectRequest, [])?.first(.errorCause)) == 402)
        let filter = RADIUSAttribute(RADIUSAttribute.Kind(rawValue: 11), "x")
        let name = RADIUSAttribute(.userName, "joe")
        #expect(RADIUSAttribute.number(try reply(.disconnectRequest, [name, filter])?.first(.errorCause)) == 401)
        #expect(try reply(.coaRequest, [name])?.code == .coaNAK)
        let limit = try RADIUSPacket(
            .coaRequest, identifier: 10, [name, RADIUSAttribute(.sessionTimeout, 60)]
        ).signedRequest(secret)
        guard case .perform(.limit(60), _, let packet) = authorization.receive(limit.octets) else {
            Issue.record("not performed")
            return
        }
        #expect(try code(authorization.conclude(packet, count: 2)) == .coaACK)
    }
}
