import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives
import Testing

@testable import IKEv2

/// A client of version 2 that says what its script says, octet for octet but for what is random, and does with the keys what
/// RFC 7296 wants. It decides nothing.
struct ScriptedClient {
    /// What follows SA, KE and Nonce in the first message.
    enum Extra {
        case natDetectionSource
        case natDetectionDestination
        case notify(IKEv2.NotificationType, [UInt8] = [])
        case vendor([UInt8])
    }

    /// The first message.
    struct Opening {
        var proposals: [WireProposal]
        /// Of the first KE payload.
        var group: KeyExchangeID
        var nonceOctets: Int
        var extras: [Extra]
    }

    /// What a child was agreed to be.
    struct Child {
        var ownSPI: SPI
        var gatewaySPI: SPI
        var suite: Suite
        var fromClient: KeyMaterial
        var fromGateway: KeyMaterial
        /// As the gateway narrowed them.
        var ownSelectors: [TrafficSelector]
        var gatewaySelectors: [TrafficSelector]
    }

    let opening: Opening
    /// Its address as it knows it, and as the gateway sees it: others where there is a NAT.
    var inner: Endpoint
    var outer: Endpoint
    var gatewayPort: UInt16 = 500
    /// Octets of its own messages beyond which it cuts them (RFC 7383).
    var messageLimit = 1200
    /// Groups that it was told to take, in order.
    private(set) var wantedGroups: [KeyExchangeID] = []
    private(set) var firstRequest: [UInt8] = []
    private(set) var firstResponse: [Payload] = []
    private(set) var ownNonce: [UInt8] = []
    private(set) var gatewayNonce: [UInt8] = []
    private(set) var proofs = ProofKeys(initiator: Secret([]), responder: Secret([]))
    /// Requests of the gateway's that came meanwhile.
    private(set) var requests: [[Payload]] = []
    /// Datagrams of its last request, and of the answer.
    private(set) var lastPieces = (request: 0, response: 0)
    private var response: [UInt8] = []
    private(set) var association: IKESA?
    private var randomness: Randomness
    private let spi: UInt64

    init(_ opening: Opening, inner: Endpoint, outer: Endpoint? = nil, seed: UInt64 = 5) {
        self.opening = opening
        self.inner = inner
        self.outer = outer ?? inner
        randomness = .seeded(seed)
        spi = randomness.uint64()
    }

    private var gateway: Endpoint { Endpoint(Gateway.address, port: gatewayPort) }

    // MARK: IKE_SA_INIT

    /// Sends the first message, again with each group that the gateway wants, and makes the keys.
    mutating func open(_ gateway: inout Gateway) throws {
        ownNonce = randomness.octets(opening.nonceOctets)
        var group = opening.group
        for _ in 0..<4 {
            let pair = try KeyDetermination.generate(group, &randomness)
            let answer = try #require(try sendFirst(pair, &gateway))
            let notified = try answer.filter { $0.type == .notify }.map { try NotifyPayload(parsing: $0) }
            if let wanted = notified.first(where: { $0.type == .invalidKeyExchange }) {
                group = KeyExchangeID(rawValue: UInt16(wanted.data[0]) << 8 | UInt16(wanted.data[1]))
                wantedGroups.append(group)
                continue
            }
            if let error = notified.first(where: \.type.isError) { throw ScriptFault.refused(error.type) }
            return try agree(answer, pair)
        }
        throw ScriptFault.endless
    }

    private mutating func sendFirst(_ pair: KeyPair, _ gateway: inout Gateway) throws -> [Payload]? {
        var payloads = [
            WireProposal.payload(opening.proposals, protocol: 1, spi: []),
            KeyExchangePayload(group: pair.group, value: pair.publicValue).payload,
            Payload(.nonceV2, body: ownNonce),
        ]
        for extra in opening.extras {
            switch extra {
            case .natDetectionSource:
                payloads.append(NotifyPayload(.natDetectionSource, data: try NATTraversal.hash(spi, 0, inner)).payload)
            case .natDetectionDestination:
                let hash = try NATTraversal.hash(spi, 0, self.gateway)
                payloads.append(NotifyPayload(.natDetectionDestination, data: hash).payload)
            case .notify(let type, let data): payloads.append(NotifyPayload(type, data: data).payload)
            case .vendor(let octets): payloads.append(Payload(.vendorIDV2, body: octets))
            }
        }
        let header = Header(
            initiator: Cookie(spi), responder: .zero, majorVersion: 2, exchange: .ikeSAInit, flags: [.initiator])
        firstRequest = Message(header: header, payloads: payloads).octets
        let answers = gateway.take(Datagram(local: outer, remote: self.gateway, octets: firstRequest))
        guard let answer = answers.first, answers.count == 1 else { return nil }
        response = answer.octets
        var reader = ByteReader(answer.octets)
        let head = try Header(from: &reader)
        #expect(head.flags == [.response] && head.messageID == 0 && head.initiator == Cookie(spi))
        gatewaySPI = head.responder.value
        return try PayloadChain.read(first: head.nextPayload, from: &reader).payloads
    }

    private var gatewaySPI: UInt64 = 0

    private mutating func agree(_ answer: [Payload], _ pair: KeyPair) throws {
        firstResponse = answer
        func body(_ type: PayloadType) throws -> Payload { try #require(answer.first { $0.type == type }) }
        let offers = try ProposalPayload.parse(try body(.securityAssociationV2))
        let chosen = try #require(offers.first)
        #expect(offers.count == 1 && (1...opening.proposals.count).contains(Int(chosen.number)))
        let suite = Suite(
            encryption: try #require(chosen.proposal.encryption.first), integrity: chosen.proposal.integrity.first,
            prf: chosen.proposal.prf.first, keyExchange: chosen.proposal.keyExchange.first)
        #expect(suite.keyExchange == pair.group)
        let theirs = try KeyExchangePayload(parsing: try body(.keyExchangeV2))
        gatewayNonce = try body(.nonceV2).body
        let secret = try KeyDetermination.sharedSecret(pair, peer: theirs.value)
        let (keys, proofs) = try KeySchedule.initial(
            suite, sharedSecret: secret,
            KeySchedule.Public(
                initiatorNonce: ownNonce, responderNonce: gatewayNonce, initiatorSPI: spi, responderSPI: gatewaySPI))
        self.proofs = proofs
        let takesFragments = try answer.contains {
            try $0.type == .notify && NotifyPayload(parsing: $0).type == .fragmentationSupported
        }
        var sa = IKESA(
            initiatorSPI: spi, responderSPI: gatewaySPI, isInitiator: true, suite: suite, keys: keys,
            nextIV: randomness.uint64(), peerTakesFragments: takesFragments)
        sa.nextRequestID = 1
        association = sa
    }

    // MARK: What comes behind

    /// The client goes on from another port, by NAT or MOBIKE, to the gateway's port for that.
    mutating func float(to port: UInt16 = 4500) {
        gatewayPort = 4500
        (inner.port, outer.port) = (4500, port)
    }

    /// Sends a protected request, and returns what is in the response.
    mutating func ask(
        _ exchange: ExchangeType, _ payloads: [Payload], _ gateway: inout Gateway
    ) throws -> [Payload] {
        var sa = try #require(association)
        let id = sa.nextRequestID
        sa.nextRequestID += 1
        let pieces = try sa.seal(
            exchange, messageID: id, isResponse: false, payloads, &randomness, limit: messageLimit)
        var answers: [Datagram] = []
        for piece in pieces {
            answers += gateway.take(Datagram(local: outer, remote: self.gateway, octets: piece))
        }
        lastPieces = (pieces.count, answers.count)
        association = sa
        return try #require(try receive(answers, answerTo: id, &gateway), "the gateway answers \(exchange)")
    }

    /// Reads what the gateway sent. Its requests get an empty answer, or the COOKIE2 that they bring (RFC 4555 §3.7).
    ///
    /// - Returns: what is in the response to a request of ours.
    @discardableResult mutating func receive(
        _ datagrams: [Datagram], answerTo id: UInt32? = nil, _ gateway: inout Gateway
    ) throws -> [Payload]? {
        var sa = try #require(association)
        var found: [Payload]?
        for datagram in datagrams {
            #expect(datagram.remote == outer && datagram.local == self.gateway)
            var reader = ByteReader(datagram.octets)
            let header = try Header(from: &reader)
            guard let inside = try sa.open(datagram.octets, header)?.inner else { continue }
            if header.flags.contains(.response) {
                if header.messageID == id { found = inside }
                continue
            }
            requests.append(inside)
            let echoed = try inside.filter {
                try $0.type == .notify && NotifyPayload(parsing: $0).type == .cookie2
            }
            for piece in try sa.seal(
                header.exchange, messageID: header.messageID, isResponse: true, echoed, &randomness)
            {
                _ = gateway.take(Datagram(local: outer, remote: self.gateway, octets: piece))
            }
        }
        association = sa
        return found
    }

    // MARK: AUTH

    /// What the client proves as an identity (RFC 7296 §2.15).
    func signedOctets(_ identity: Identity) throws -> [UInt8] {
        try KeySchedule.signedOctets(
            try #require(association).suite, message: firstRequest, otherNonce: gatewayNonce,
            proofKey: proofs.initiator, identity: identity, intermediate: [])
    }

    private func gatewayOctets(_ identity: Identity) throws -> [UInt8] {
        try KeySchedule.signedOctets(
            try #require(association).suite, message: response, otherNonce: ownNonce, proofKey: proofs.responder,
            identity: identity, intermediate: [])
    }

    /// AUTH by a shared key, or by the key that EAP made.
    func proof(_ key: Secret, _ octets: [UInt8]) throws -> [UInt8] {
        let prf = try #require(association?.suite.prf)
        let padded = try PseudorandomFunction.derive(prf, key: key, [.open(Array("Key Pad for IKEv2".utf8))])
        return try PseudorandomFunction.compute(prf, key: padded, [.open(octets)])
    }

    func sharedKeyProof(_ key: Secret, _ identity: Identity) throws -> Payload {
        AuthenticationPayload(proof: try proof(key, try signedOctets(identity))).payload
    }

    /// What the gateway's AUTH says in `payloads`, held to IDr there, or in an earlier message.
    func expectGateway(_ payloads: [Payload], sharedKey: Secret, _ identity: Identity = Gateway.name) throws {
        let found = try AuthenticationPayload(parsing: try #require(payloads.first { $0.type == .authentication }))
        #expect(found.method == AuthenticationPayload.sharedKey)
        #expect(found.proof == (try proof(sharedKey, try gatewayOctets(identity))))
    }

    /// The same by the certificate that comes with it.
    ///
    /// - Returns: the method's number.
    func expectGateway(_ payloads: [Payload], _ authority: TestAuthority) throws -> UInt8 {
        let identity = try IdentityPayload.parse(try #require(payloads.first { $0.type == .identityResponder }))
        #expect(identity == Gateway.name)
        let certificate = try #require(payloads.first { $0.type == .certificateV2 }, "the certificate comes unasked")
        #expect(certificate.body == [4] + authority.gate.certificate.octets)
        let found = try AuthenticationPayload(parsing: try #require(payloads.first { $0.type == .authentication }))
        let key = authority.gate.certificate.subjectPublicKeyInfo
        let octets = try gatewayOctets(identity)
        switch found.method {
        case 1: #expect(DigitalSignature.verifies(found.proof, over: octets, key: key, .rsa(.sha1)))
        case 10:
            let digest = try Digest.compute(.sha384, [.open(octets)])
            #expect(try PublicKey(parsing: key).verifies(found.proof, over: digest, .ecdsa(.p384)))
        default:
            let length = Int(try #require(found.proof.first))
            let algorithm = try #require(
                SignatureAlgorithm(algorithmIdentifier: Array(found.proof[1...length])))
            #expect(
                DigitalSignature.verifies(
                    Array(found.proof[(1 + length)...]), over: octets, key: key, algorithm))
        }
        return found.method
    }

    // MARK: Children

    /// The child that the gateway agreed to.
    ///
    /// - Parameter exchange: the nonces, and what a key exchange made, of CREATE_CHILD_SA.
    func child(
        _ payloads: [Payload], ownSPI: SPI, exchange: (own: [UInt8], secret: Secret?)? = nil
    ) throws -> Child {
        let held = try names(payloads)
        func body(_ type: PayloadType) throws -> Payload {
            try #require(payloads.first { $0.type == type }, "no payload \(type.rawValue) in \(held)")
        }
        let sa = try #require(association)
        let chosen = try #require(try ProposalPayload.parse(try body(.securityAssociationV2)).first)
        let suite = Suite(
            encryption: try #require(chosen.proposal.encryption.first), integrity: chosen.proposal.integrity.first,
            keyExchange: chosen.proposal.keyExchange.first)
        let (one, other) = try KeySchedule.child(
            suite, of: sa.keys, sa.suite, sharedSecret: exchange?.secret,
            initiatorNonce: exchange?.own ?? ownNonce,
            responderNonce: exchange == nil ? gatewayNonce : try body(.nonceV2).body)
        #expect(chosen.spi.count == 4)
        return Child(
            ownSPI: ownSPI, gatewaySPI: SPI(chosen.spi.reduce(0) { $0 << 8 | UInt32($1) }), suite: suite,
            fromClient: one, fromGateway: other,
            ownSelectors: try SelectorPayload.parse(try body(.selectorsInitiator)),
            gatewaySelectors: try SelectorPayload.parse(try body(.selectorsResponder)))
    }

    /// Replaces a child (RFC 7296 §1.3.3), with a key exchange where a group is given, and deletes the old one.
    mutating func rekey(
        _ child: Child, _ proposals: [WireProposal], group: KeyExchangeID? = nil, ownSPI: SPI,
        _ gateway: inout Gateway
    ) throws -> Child {
        let nonce = randomness.octets(opening.nonceOctets)
        var payloads = [
            NotifyPayload(.rekeySA, protocol: .esp, spi: child.ownSPI.wire).payload,
            WireProposal.payload(proposals, protocol: 3, spi: ownSPI.wire), Payload(.nonceV2, body: nonce),
        ]
        let pair = try group.map { try KeyDetermination.generate($0, &randomness) }
        if let pair { payloads.append(KeyExchangePayload(group: pair.group, value: pair.publicValue).payload) }
        payloads += [
            SelectorPayload.payload(.selectorsInitiator, child.ownSelectors),
            SelectorPayload.payload(.selectorsResponder, child.gatewaySelectors),
        ]
        let answer = try ask(.createChildSA, payloads, &gateway)
        for payload in answer where payload.type == .notify {
            let type = try NotifyPayload(parsing: payload).type
            if type.isError { throw ScriptFault.refused(type) }
        }
        let secret = try pair.map { pair in
            let theirs = try #require(answer.first { $0.type == .keyExchangeV2 })
            return try KeyDetermination.sharedSecret(pair, peer: try KeyExchangePayload(parsing: theirs).value)
        }
        let new = try self.child(answer, ownSPI: ownSPI, exchange: (nonce, secret))
        let delete = DeletePayload(securityProtocol: .esp, spis: [child.ownSPI])
        let deleted = try ask(.informationalV2, [delete.payload], &gateway)
        #expect(
            try DeletePayload(parsing: try #require(deleted.first { $0.type == .deleteV2 })).spis == [child.gatewaySPI])
        return new
    }

    /// Goes to another address, and says so (RFC 4555 §3.5).
    mutating func move(inner: Endpoint, outer: Endpoint, _ gateway: inout Gateway) throws -> [Payload] {
        (self.inner, self.outer) = (inner, outer)
        let sa = try #require(association)
        return try ask(
            .informationalV2,
            [
                NotifyPayload(.updateSAAddresses).payload,
                NotifyPayload(
                    .natDetectionSource, data: try NATTraversal.hash(sa.initiatorSPI, sa.responderSPI, inner)
                ).payload,
                NotifyPayload(
                    .natDetectionDestination,
                    data: try NATTraversal.hash(sa.initiatorSPI, sa.responderSPI, self.gateway)
                ).payload,
            ], &gateway)
    }

    /// Both ends have the same keys and selectors for a child, and send ESP to each other where they should.
    func expect(_ child: Child, at gateway: Gateway, _ place: SourceLocation = #_sourceLocation) throws {
        let inbound = try #require(gateway.inbound[child.gatewaySPI], sourceLocation: place)
        let outbound = try #require(gateway.outbound[child.ownSPI], sourceLocation: place)
        #expect(inbound.keys.encryption == child.fromClient.encryption, sourceLocation: place)
        #expect(inbound.keys.integrity == child.fromClient.integrity, sourceLocation: place)
        #expect(outbound.keys.encryption == child.fromGateway.encryption, sourceLocation: place)
        #expect(outbound.keys.integrity == child.fromGateway.integrity, sourceLocation: place)
        #expect(inbound.remoteSelectors == child.ownSelectors, sourceLocation: place)
        #expect(inbound.localSelectors == child.gatewaySelectors, sourceLocation: place)
        #expect(outbound.remote == outer && outbound.local.port == gatewayPort, sourceLocation: place)
    }

    /// The registered names of what is notified, and the numbers of other payloads.
    func names(_ payloads: [Payload]) throws -> [String] {
        try payloads.map { $0.type == .notify ? try NotifyPayload(parsing: $0).type.name : "\($0.type.rawValue)" }
    }
}

extension SPI {
    /// Four octets, in network order.
    var wire: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) } }
}

/// The gateway did not do what the script expects.
enum ScriptFault: Error, Equatable {
    case refused(IKEv2.NotificationType)
    case endless
    case user(String)
}
