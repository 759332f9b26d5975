import Certificates
import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives
import Testing

@testable import IKEv1

/// A client of version 1 that says what its script says, octet for octet but for what is random, and does with the keys what
/// RFC 2409 wants. It decides nothing.
struct ISAKMPClient {
    /// How it proves who it is in phase 1, and what it expects of the gateway.
    enum Proof {
        case sharedKey(Secret)
        /// Both ends sign.
        case certificate(TestAuthority.Holder, TestAuthority)
        /// The gateway signs; the client's user follows.
        case gatewayAlone(TestAuthority)
    }

    /// The first message, and what is in others.
    struct Opening {
        var transforms: [WireTransform]
        var vendors: [[UInt8]]
        var nonceOctets: Int
        /// ID's body, with protocol and port as the client has them.
        var identity: [UInt8]
        /// How it speaks of NAT.
        var dialect = NATDialect.standard
    }

    /// What a child was agreed to be.
    struct Child {
        var ownSPI: SPI
        var gatewaySPI: SPI
        /// Number and attributes of the transform that the gateway took.
        var transform: TransformPayload
        var fromClient: Secret
        var fromGateway: Secret
        /// What the gateway's answer says of the ends.
        var identities: [[UInt8]]
    }

    let opening: Opening
    /// Its address as it knows it, and as the gateway sees it: others where there is a NAT.
    var inner: Endpoint
    var outer: Endpoint
    var gatewayPort: UInt16 = 500
    private(set) var firstMessage: [UInt8] = []
    /// The transform of phase 1 that the gateway took.
    private(set) var chosen: TransformPayload?
    private(set) var gatewayVendors: [[UInt8]] = []
    /// Whether it takes itself, or the gateway, for being behind a NAT.
    private(set) var isBehindNAT = false
    private(set) var seesGatewayBehindNAT = false
    private(set) var lastRequest: [UInt8] = []
    /// What the gateway said of itself: ID's body and certificates.
    private(set) var gatewayIdentity: [UInt8] = []
    private(set) var keys: PhaseOneKeys?
    private var lastBlock: [UInt8] = []
    private var randomness: Randomness
    private let cookie: UInt64
    private var gatewayCookie: UInt64 = 0
    private var suite: Suite?
    private var pair: KeyPair?
    private var nonce: [UInt8] = []
    private var gatewayNonce: [UInt8] = []
    private var gatewayValue: [UInt8] = []
    private var seed = Secret([])
    /// Chains of exchanges of the gateway's that await our answer.
    private var chains: [UInt32: CipherChain] = [:]

    init(_ opening: Opening, inner: Endpoint, outer: Endpoint? = nil, seed: UInt64 = 5) {
        self.opening = opening
        self.inner = inner
        self.outer = outer ?? inner
        randomness = .seeded(seed)
        cookie = randomness.uint64()
    }

    var gateway: Endpoint { Endpoint(Gateway.address, port: gatewayPort) }
    private var offer: [UInt8] { WireTransform.phaseOne(opening.transforms) }

    private func header(_ exchange: ExchangeType, messageID: UInt32 = 0) -> Header {
        Header(
            initiator: Cookie(cookie), responder: Cookie(gatewayCookie), majorVersion: 1, exchange: exchange,
            messageID: messageID)
    }

    // MARK: Phase 1

    private mutating func say(_ exchange: ExchangeType, _ payloads: [Payload], _ gateway: inout Gateway) throws
        -> Datagram
    {
        lastRequest = Message(header: header(exchange), payloads: payloads).octets
        if firstMessage.isEmpty { firstMessage = lastRequest }
        let answers = gateway.take(Datagram(local: outer, remote: self.gateway, octets: lastRequest))
        guard answers.count == 1 else { throw ISAKMPFault.silence(answers.count, gateway.refusals) }
        return answers[0]
    }

    private static func clear(_ datagram: Datagram) throws -> (header: Header, payloads: [Payload]) {
        var reader = ByteReader(datagram.octets)
        let header = try Header(from: &reader)
        return (header, try PayloadChain.read(first: header.nextPayload, from: &reader).payloads)
    }

    /// The gateway's choice, one of the offered transforms as it was offered (RFC 2409 §5).
    private mutating func takeChoice(_ header: Header, _ payloads: [Payload]) throws {
        if let notification = payloads.first(where: { $0.type == .notification }) {
            throw ISAKMPFault.refused(try NotificationPayload(parsing: notification.body).type)
        }
        gatewayCookie = header.responder.value
        let body = try #require(payloads.first { $0.type == .securityAssociation }).body
        let sa = try SecurityAssociationPayload(parsing: body[...], IPsecDOI.self)
        let transform = try #require(sa.proposals.first?.transforms.first)
        #expect(sa.proposals.count == 1 && sa.proposals[0].transforms.count == 1)
        let index = Int(transform.number) - 1
        #expect(opening.transforms.indices.contains(index))
        #expect(transform.attributes == opening.transforms[index].attributes)
        chosen = transform
        let proposal = try #require(PhaseOneProposal.proposal(transform))
        suite = Suite(
            encryption: try #require(proposal.encryption.first), integrity: proposal.integrity.first,
            prf: proposal.prf.first, keyExchange: proposal.keyExchange.first)
        gatewayVendors = payloads.filter { $0.type == .vendorID }.map(\.body)
    }

    private mutating func makeKeyExchange() throws -> [Payload] {
        let group = try #require(suite?.keyExchange)
        let pair = try KeyDetermination.generate(group, &randomness)
        self.pair = pair
        nonce = randomness.octets(opening.nonceOctets)
        return [Payload(.keyExchange, body: pair.publicValue), Payload(.nonce, body: nonce)]
    }

    /// NAT-D of the gateway's end, then of our own (RFC 3947 §3.2).
    private func discovery() throws -> [Payload] {
        let hash = try #require(suite?.prf?.hash)
        return try [gateway, inner].map {
            Payload(opening.dialect.discovery, body: try NATState.hash(hash, cookie, gatewayCookie, $0))
        }
    }

    private mutating func judgeDiscovery(_ payloads: [Payload]) throws {
        let hash = try #require(suite?.prf?.hash)
        let seen = payloads.filter { $0.type == opening.dialect.discovery }.map(\.body)
        try #require(seen.count == 2, "the gateway says NAT-D twice")
        isBehindNAT = try seen[0] != NATState.hash(hash, cookie, gatewayCookie, inner)
        seesGatewayBehindNAT = try seen[1] != NATState.hash(hash, cookie, gatewayCookie, gateway)
    }

    private mutating func deriveKeys(_ payloads: [Payload], _ proof: Proof) throws {
        let suite = try #require(suite)
        let prf = try #require(suite.prf)
        let pair = try #require(pair)
        gatewayValue = try #require(payloads.first { $0.type == .keyExchange }).body
        gatewayNonce = try #require(payloads.first { $0.type == .nonce }).body
        let shared = try KeyDetermination.sharedSecret(pair, peer: gatewayValue)
        switch proof {
        case .sharedKey(let key):
            seed = try PseudorandomFunction.derive(prf, key: key, [.open(nonce), .open(gatewayNonce)])
        case .certificate, .gatewayAlone:
            seed = try PseudorandomFunction.derive(prf, key: Secret(nonce + gatewayNonce), [.secret(shared)])
        }
        let keys = try PhaseOneKeys(
            suite: suite, seed: seed, sharedSecret: shared, initiator: cookie.octets, responder: gatewayCookie.octets)
        self.keys = keys
        lastBlock = try keys.firstIV(initiatorPublicValue: pair.publicValue, responderPublicValue: gatewayValue)
    }

    /// HASH_I or HASH_R (RFC 2409 §5).
    private func hash(isOwn: Bool, _ identity: [UInt8]) throws -> [UInt8] {
        let own = try #require(pair).publicValue
        let values = isOwn ? [own, gatewayValue] : [gatewayValue, own]
        let cookies = isOwn ? [cookie, gatewayCookie] : [gatewayCookie, cookie]
        return try PseudorandomFunction.compute(
            try #require(suite?.prf), key: seed,
            [.open(values[0] + values[1] + cookies[0].octets + cookies[1].octets + offer + identity)])
    }

    /// HASH, or CERT and SIG.
    private func ownProof(_ proof: Proof) throws -> [Payload] {
        let hash = try hash(isOwn: true, opening.identity)
        guard case .certificate(let holder, _) = proof else { return [Payload(.hash, body: hash)] }
        let certificate = EncodedCertificate(encoding: 4, data: holder.certificate.octets)
        return [
            Payload(.certificate, body: certificate.body),
            Payload(.signature, body: try holder.key.sign(hash, .rsa)),
        ]
    }

    /// The gateway proves who it is.
    private mutating func expectGateway(_ payloads: [Payload], _ proof: Proof) throws {
        gatewayIdentity = try #require(payloads.first { $0.type == .identification }).body
        let expected = try hash(isOwn: false, gatewayIdentity)
        switch proof {
        case .sharedKey: #expect(payloads.first { $0.type == .hash }?.body == expected)
        case .certificate(_, let authority), .gatewayAlone(let authority):
            let certificates = payloads.filter { $0.type == .certificate }.map(\.body)
            #expect(certificates == [[4] + authority.gate.certificate.octets])
            let signature = try #require(payloads.first { $0.type == .signature }).body
            let key = try PublicKey(parsing: authority.gate.certificate.subjectPublicKeyInfo)
            #expect(key.verifies(signature, over: expected, .rsa))
        }
    }

    private func requests(_ proof: Proof) -> [Payload] {
        switch proof {
        case .sharedKey: []
        case .certificate(_, let authority), .gatewayAlone(let authority):
            [
                Payload(
                    .certificateRequest,
                    body: EncodedCertificate(encoding: 4, data: authority.certificate.subject.octets).body)
            ]
        }
    }

    /// Where a NAT is, the client goes on from port 4500 (RFC 3947 §4).
    private mutating func float(to port: UInt16) {
        guard isBehindNAT || seesGatewayBehindNAT else { return }
        gatewayPort = 4500
        inner.port = 4500
        outer.port = inner.address == outer.address ? 4500 : port
    }

    private var initialContact: Payload {
        NotificationPayload(
            doi: 1, protocolID: 1, spi: cookie.octets + gatewayCookie.octets, type: IPsecDOI.initialContact
        ).payload
    }

    /// Main Mode (RFC 2409 §5.1, §5.4).
    ///
    /// - Parameter port: where the NAT shows the client from port 4500 on.
    /// - Returns: what the gateway says once phase 1 is over.
    mutating func mainMode(_ proof: Proof, port: UInt16 = 34_243, _ gateway: inout Gateway) throws -> [Exchanged] {
        let first = [Payload(.securityAssociation, body: offer)] + opening.vendors.map { Payload(.vendorID, body: $0) }
        let second = try Self.clear(try say(.identityProtection, first, &gateway))
        try takeChoice(second.header, second.payloads)
        // racoon asks for authorities in message 3 only where it wants a certificate.
        let third = try makeKeyExchange() + requests(proof) + discovery()
        let fourth = try Self.clear(try say(.identityProtection, third, &gateway)).payloads
        try deriveKeys(fourth, proof)
        try judgeDiscovery(fourth)
        float(to: port)
        let fifth = [Payload(.identification, body: opening.identity)] + (try ownProof(proof)) + [initialContact]
        let keys = try #require(keys)
        var chain = CipherChain(iv: lastBlock)
        lastRequest = try chain.seal(fifth, header: header(.identityProtection), keys: keys)
        let answers = gateway.take(Datagram(local: outer, remote: self.gateway, octets: lastRequest))
        guard let sixth = answers.first, sixth.octets[18] == ExchangeType.identityProtection.rawValue else {
            throw ISAKMPFault.silence(answers.count, gateway.refusals)
        }
        #expect(sixth.remote == outer && sixth.local == self.gateway)
        var reader = ByteReader(sixth.octets)
        let opened = try chain.open(sixth.octets, header: try Header(from: &reader), keys: keys).payloads
        try expectGateway(opened, proof)
        lastBlock = chain.iv
        return try receive(Array(answers.dropFirst()))
    }

    /// Aggressive Mode (RFC 2409 §5): the first message has a public value of the one group that all transforms have.
    mutating func aggressiveMode(_ proof: Proof, port: UInt16 = 34_243, _ gateway: inout Gateway) throws -> [Exchanged]
    {
        let offered = try opening.transforms.map { transform in
            try #require(transform.attributes.first { $0.type == 4 }?.number)
        }
        #expect(Set(offered).count == 1)
        suite = Suite(
            encryption: Encryption(.aesCBC, keyBits: 256), integrity: nil, prf: nil,
            keyExchange: KeyExchangeID(rawValue: UInt16(offered[0])))
        let first =
            [Payload(.securityAssociation, body: offer)] + (try makeKeyExchange())
            + [Payload(.identification, body: opening.identity)] + opening.vendors.map { Payload(.vendorID, body: $0) }
        let second = try Self.clear(try say(.aggressive, first, &gateway))
        try takeChoice(second.header, second.payloads)
        try deriveKeys(second.payloads, proof)
        try judgeDiscovery(second.payloads)
        try expectGateway(second.payloads, proof)
        let hashes = try discovery()
        float(to: port)
        let third = try ownProof(proof) + hashes + [initialContact]
        var chain = CipherChain(iv: lastBlock)
        lastRequest = try chain.seal(third, header: header(.aggressive), keys: try #require(keys))
        lastBlock = chain.iv
        return try receive(gateway.take(Datagram(local: outer, remote: self.gateway, octets: lastRequest)))
    }

    // MARK: Phase 2

    /// A protected message of the gateway's, read.
    struct Exchanged {
        var header: Header
        var payloads: [Payload]
        /// Of a Transaction exchange.
        var attributes: AttributesPayload?
    }

    /// Reads what the gateway sends by itself.
    mutating func receive(_ datagrams: [Datagram]) throws -> [Exchanged] {
        try datagrams.map { datagram in
            #expect(datagram.remote == outer && datagram.local == gateway)
            return try read(datagram, isFirst: true)
        }
    }

    private mutating func read(_ datagram: Datagram, isFirst: Bool) throws -> Exchanged {
        let keys = try #require(keys)
        var reader = ByteReader(datagram.octets)
        let header = try Header(from: &reader)
        var chain = CipherChain(iv: [])
        if isFirst {
            chain = CipherChain(iv: try keys.firstIV(lastBlock: lastBlock, messageID: header.messageID))
        } else {
            chain = try #require(chains[header.messageID], "an exchange that is under way")
        }
        let opened = try chain.open(datagram.octets, header: header, keys: keys)
        chains[header.messageID] = chain
        if header.exchange != .quickMode {
            #expect(opened.payloads[0].body == (try keys.authenticator([header.messageID.octets, opened.restOfFirst])))
        }
        var exchanged = Exchanged(header: header, payloads: opened.payloads)
        if let attributes = opened.payloads.first(where: { $0.type == .attributes })?.body {
            exchanged.attributes = try AttributesPayload(parsing: attributes)
            // racoon takes octets behind the last attribute for one that is cut (libreswan 2023).
            let octets = exchanged.attributes?.attributes.reduce(4) { $0 + $1.octets.count }
            #expect(octets == attributes.count)
        }
        return exchanged
    }

    private func sealed(
        _ exchange: ExchangeType, _ messageID: UInt32, _ payloads: [Payload], prefix: [[UInt8]] = [],
        _ chain: inout CipherChain
    ) throws -> [UInt8] {
        let keys = try #require(keys)
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        let hash = try keys.authenticator([messageID.octets] + prefix + [rest])
        return try chain.seal(
            [Payload(.hash, body: hash)] + payloads, header: header(exchange, messageID: messageID), keys: keys)
    }

    /// Answers a Transaction exchange of the gateway's.
    mutating func reply(
        to question: Exchanged, _ type: AttributesPayload.MessageType, _ attributes: [DataAttribute],
        _ gateway: inout Gateway
    ) throws -> [Exchanged] {
        let id = question.header.messageID
        var chain = try #require(chains[id])
        let payload = AttributesPayload(
            type, identifier: try #require(question.attributes).identifier, attributes: attributes
        ).payload
        let octets = try sealed(.transaction, id, [payload], &chain)
        return try receive(gateway.take(Datagram(local: outer, remote: self.gateway, octets: octets)))
    }

    /// A Transaction exchange of our own: REQUEST and its REPLY.
    mutating func request(_ attributes: [DataAttribute], _ gateway: inout Gateway) throws -> AttributesPayload {
        let id = randomness.uint32()
        var chain = CipherChain(iv: try #require(keys).firstIV(lastBlock: lastBlock, messageID: id))
        let payload = AttributesPayload(
            .request, identifier: UInt16(truncatingIfNeeded: randomness.uint32()), attributes: attributes
        ).payload
        let octets = try sealed(.transaction, id, [payload], &chain)
        chains[id] = chain
        let answers = gateway.take(Datagram(local: outer, remote: self.gateway, octets: octets))
        guard let first = answers.first else { throw ISAKMPFault.silence(0, gateway.refusals) }
        let answer = try read(first, isFirst: false)
        #expect(answers.count == 1 && answer.header.messageID == id)
        #expect(answer.attributes?.type == .reply)
        return try #require(answer.attributes)
    }

    /// Quick Mode (RFC 2409 §5.5).
    ///
    /// - Parameters:
    ///   - offer: the SA payload's body with `spi` in its proposals.
    ///   - identities: bodies of IDci and IDcr.
    ///   - originals: NAT-OAi and NAT-OAr, where the client says them.
    mutating func quickMode(
        _ offer: [UInt8], spi: SPI, identities: [[UInt8]], originals: [IPAddress] = [], nonceOctets: Int,
        _ gateway: inout Gateway
    ) throws -> Child {
        let keys = try #require(keys)
        let id = randomness.uint32()
        let nonce = randomness.octets(nonceOctets)
        var chain = CipherChain(iv: try keys.firstIV(lastBlock: lastBlock, messageID: id))
        let first =
            [Payload(.securityAssociation, body: offer), Payload(.nonce, body: nonce)]
            + identities.map { Payload(.identification, body: $0) }
            + originals.map { Payload(opening.dialect.originalAddress, body: [1, 0, 0, 0] + $0.octets) }
        lastRequest = try sealed(.quickMode, id, first, &chain)
        chains[id] = chain
        let answers = gateway.take(Datagram(local: outer, remote: self.gateway, octets: lastRequest))
        guard let answer = answers.first else { throw ISAKMPFault.silence(0, gateway.refusals) }
        guard answer.octets[18] == ExchangeType.quickMode.rawValue else {
            let notified = try read(answer, isFirst: true).payloads.first { $0.type == .notification }
            throw ISAKMPFault.refused(try notified.map { try NotificationPayload(parsing: $0.body).type } ?? 0)
        }
        let second = try read(answer, isFirst: false)
        chain = try #require(chains[id])
        let others = Array(second.payloads.dropFirst())
        var rest: [UInt8] = []
        PayloadChain.write(others, to: &rest)
        #expect(second.payloads[0].body == (try keys.authenticator([id.octets, nonce, rest])))
        let gatewayNonce = try #require(others.first { $0.type == .nonce }).body
        let hash = try keys.authenticator([[0], id.octets, nonce, gatewayNonce])
        let third = try chain.seal(
            [Payload(.hash, body: hash)], header: header(.quickMode, messageID: id), keys: keys)
        #expect(gateway.take(Datagram(local: outer, remote: self.gateway, octets: third)).isEmpty)

        let body = try #require(others.first { $0.type == .securityAssociation }).body
        let sa = try SecurityAssociationPayload(parsing: body[...], IPsecDOI.self)
        let proposal = try #require(sa.proposals.first)
        #expect(sa.proposals.count == 1 && proposal.transforms.count == 1)
        let gatewaySPI = SPI(proposal.spi.reduce(0) { $0 << 8 | UInt32($1) })
        /// KEYMAT = prf(SKEYID_d, protocol | SPI | Ni_b | Nr_b), and again with the block before in front (RFC 2409 §5.5).
        func material(_ spi: SPI) throws -> Secret {
            let tail = Octets.open([3] + spi.wire + nonce + gatewayNonce)
            var blocks = [try PseudorandomFunction.derive(keys.prf, key: keys.derivationKey, [tail])]
            while blocks.reduce(0, { $0 + $1.count }) < 64 {
                blocks.append(
                    try PseudorandomFunction.derive(
                        keys.prf, key: keys.derivationKey, [.secret(blocks[blocks.count - 1]), tail]))
            }
            return Secret(concatenating: blocks)
        }
        return Child(
            ownSPI: spi, gatewaySPI: gatewaySPI, transform: proposal.transforms[0],
            fromClient: try material(gatewaySPI), fromGateway: try material(spi),
            identities: others.filter { $0.type == .identification }.map(\.body))
    }

    /// Both ends have the same keys for a child, and send ESP to each other where they should.
    func expect(
        _ child: Child, at gateway: Gateway, mode: SecurityMode, isInUDP: Bool,
        _ place: SourceLocation = #_sourceLocation
    ) throws {
        let inbound = try #require(gateway.inbound[child.gatewaySPI], sourceLocation: place)
        let outbound = try #require(gateway.outbound[child.ownSPI], sourceLocation: place)
        for (sa, material) in [(inbound, child.fromClient), (outbound, child.fromGateway)] {
            let octets = sa.suite.encryption.keyMaterialOctets
            let integrity = try #require(sa.suite.integrity, sourceLocation: place).keyOctets
            #expect(sa.keys.encryption == material[0..<octets], sourceLocation: place)
            #expect(sa.keys.integrity == material[octets..<(octets + integrity)], sourceLocation: place)
            #expect(sa.mode == mode && sa.udpEncapsulation == isInUDP, sourceLocation: place)
        }
        #expect(outbound.remote == outer && outbound.local == self.gateway, sourceLocation: place)
    }
}

/// The gateway did not do what the script of version 1 expects.
enum ISAKMPFault: Error {
    /// How much it said instead, and why.
    case silence(Int, [Refusal])
    /// By this notification.
    case refused(UInt16)
}
