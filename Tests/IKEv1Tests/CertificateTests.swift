import Certificates
import Credentials
import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Phase 1 by signatures that rest on certificates (RFC 2409 §5.1, RFC 2408 §3.9, §3.10, RFC 4945).
@Suite struct CertificateTests {
    private static let validity = Authority.Validity(now: Pair.date, days: 30)

    /// An authority and what it issues.
    private struct Issuer {
        var authority: Authority

        init(_ name: String) throws {
            let key = try PrivateKey.make(.ecdsa(.p256))
            authority = try Authority.root(
                DistinguishedName("O=Test, CN=\(name)")!, subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo,
                serialNumber: [1], validity: CertificateTests.validity, signer: Signer(key)!)
        }

        /// One below this.
        func issuer(_ name: String) throws -> Issuer {
            let key = try PrivateKey.make(.ecdsa(.p256))
            let certificate = try authority.subordinate(
                DistinguishedName("O=Test, CN=\(name)")!, subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo,
                serialNumber: [9], validity: CertificateTests.validity)
            var other = self
            other.authority = Authority(certificate: certificate, signer: Signer(key)!)
            return other
        }

        func certificate(_ key: String, for name: String) throws -> Certificate {
            try authority.issue(
                Authority.Subject(
                    name: DistinguishedName("O=Test, CN=\(name)")!, alternativeNames: [.dns(name)],
                    subjectPublicKeyInfo: try TestKeys.privateKey(key).publicKey.subjectPublicKeyInfo),
                serialNumber: [2], validity: CertificateTests.validity)
        }

        var certificate: Certificate { authority.certificate }
    }

    /// What an end has.
    private struct Wallet {
        var keys: [String]
        var entities: [Certificate]
        var authorities: [Certificate]

        func store() throws -> CredentialStore {
            func filed(_ certificates: [Certificate]) -> [CertificateStore.Filed] {
                certificates.enumerated().map {
                    CertificateStore.Filed(file: "\($0.offset)", path: "/\($0.offset)", certificate: $0.element)
                }
            }
            return CredentialStore(
                privateKeys: try keys.map { try TestKeys.privateKey($0) },
                certificates: CertificateStore(entities: filed(entities), authorities: filed(authorities)))
        }
    }

    private static func wallet(_ key: String, _ name: String, by issuer: Issuer, trusting root: Issuer) throws -> Wallet
    {
        Wallet(
            keys: [key], entities: [try issuer.certificate(key, for: name)], authorities: [root.certificate])
    }

    private static func pair(
        _ method: Pair.Method, _ left: Wallet, _ right: Wallet, seed: UInt64 = 1
    ) throws -> Pair {
        let stores = [try left.store(), try right.store()]
        let connections = Pair.Side.allCases.map { side in
            var connection = Pair.connection(isLeft: side == .initiator)
            connection.isAggressive = method.isAggressive
            connection.local[0].method = method.authentication
            // Named, so that it is shown whatever it says.
            connection.local[0].certificates.certificateFiles = ["0", "1"]
            connection.remote[0].method = method.authentication
            return stores[side.rawValue].completing(PolicyDatabase(connections: [connection])).connections[0]
        }
        var pair = Pair(connections[0], connections[1], key: "", seed: seed)
        for side in Pair.Side.allCases { pair[side].credentials = stores[side.rawValue] }
        return pair
    }

    /// The certificates that a side was shown, message by message.
    private static func shown(_ end: Pair.End) -> [[[UInt8]]] {
        end.questions.compactMap { if case .verifyDigest(let asked) = $0 { asked.proof.certificates } else { nil } }
    }

    private static func expectEstablished(_ pair: Pair, _ place: SourceLocation = #_sourceLocation) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, sourceLocation: place)
            #expect(pair[side].usable.count == 1, sourceLocation: place)
        }
        #expect(pair.disagreements == [], sourceLocation: place)
    }

    /// Certificates hold no DSA keys here; and in Aggressive Mode a certificate comes in answer to an address that nobody has proved, which
    /// gets no more than three times what came from it.
    private static let fitting = Pair.Method.signatures.filter { method in
        switch method.number {
        case .ecdsa256, .ecdsa384: true
        case .rsaSignature, .ecdsa521: !method.isAggressive
        default: false
        }
    }

    @Test func whatIsMuchLongerThanTheQuestionIsNotSaid() throws {
        let method = try #require(Pair.Method.signatures.first { $0.number == .rsaSignature && $0.isAggressive })
        let root = try Issuer("Root")
        var pair = try Self.pair(
            method, try Self.wallet(method.left, "left.example", by: root, trusting: root),
            try Self.wallet(method.right, "right.example", by: root, trusting: root))
        pair.establish()
        #expect(pair.sentCount == 1)
        let notes = pair.responder.events.compactMap { if case .note(let text) = $0 { text } else { nil } }
        #expect(notes.contains { $0.contains("three times") }, "\(notes)")
    }

    @Test(arguments: fitting) func establishes(_ method: Pair.Method) throws {
        let root = try Issuer("Root")
        let left = try Self.wallet(method.left, "left.example", by: root, trusting: root)
        let right = try Self.wallet(method.right, "right.example", by: root, trusting: root)
        var pair = try Self.pair(method, left, right)
        pair.establish()
        Self.expectEstablished(pair)
        #expect(pair.sentCount == (method.isAggressive ? 6 : 9))
        #expect(Self.shown(pair.initiator) == [[right.entities[0].octets]])
        #expect(Self.shown(pair.responder) == [[left.entities[0].octets]])
        #expect(pair.initiator.session.snapshot.remoteIdentity == Identity("right.example"))
        #expect(pair.responder.session.snapshot.remoteIdentity == Identity("left.example"))
    }

    /// Each end has the root alone: what stands in between comes with the proof, and the root does not.
    @Test(arguments: Pair.Method.signatures.filter { $0.number == .ecdsa256 })
    func whatStandsInBetweenIsShown(_ method: Pair.Method) throws {
        let root = try Issuer("Root")
        let between = try root.issuer("Between")
        var left = try Self.wallet(method.left, "left.example", by: between, trusting: root)
        left.authorities.append(between.certificate)
        let right = try Self.wallet(method.right, "right.example", by: root, trusting: root)
        var pair = try Self.pair(method, left, right)
        pair.establish()
        Self.expectEstablished(pair)
        #expect(Self.shown(pair.responder) == [[left.entities[0].octets, between.certificate.octets]])
    }

    /// A certificate of an authority that nobody here knows, and one that names another: what is wrong is reported, and the
    /// other end is told.
    @Test(arguments: fitting, Pair.Side.allCases)
    func theChainIsJudged(_ method: Pair.Method, judge: Pair.Side) throws {
        let root = try Issuer("Root")
        let other = try Issuer("Other")
        let names = ["left.example", "right.example"]
        for (issuer, name, check) in [
            (other, names[1 - judge.rawValue], CertificateCheck.trust), (root, "third.example", .identity),
        ] {
            var wallets = [
                try Self.wallet(method.left, names[0], by: root, trusting: root),
                try Self.wallet(method.right, names[1], by: root, trusting: root),
            ]
            let key = judge == .initiator ? method.right : method.left
            wallets[1 - judge.rawValue].entities = [try issuer.certificate(key, for: name)]
            var pair = try Self.pair(method, wallets[0], wallets[1])
            pair.establish()
            pair.run(for: .seconds(900))
            let reports = pair[judge].refusals.compactMap { refusal -> ChainReport? in
                if case .certificate(let report) = refusal { report } else { nil }
            }
            #expect(reports.first?.problems.map(\.check).contains(check) == true, "\(pair[judge].refusals)")
            #expect(pair[judge].closed != nil && pair[judge].installed.isEmpty)
            #expect(pair[judge.other].installed.isEmpty && pair[judge.other].inbound.isEmpty)
        }
    }

    /// Of two certificates the one is shown that comes from whom the peer asks for.
    @Test(arguments: fitting.filter { $0.number == .rsaSignature || $0.number == .ecdsa256 })
    func theAuthorityIsAskedFor(_ method: Pair.Method) throws {
        let roots = [try Issuer("First"), try Issuer("Second")]
        for wanted in roots.indices {
            let left = Wallet(
                keys: [method.left],
                entities: try roots.map { try $0.certificate(method.left, for: "left.example") },
                authorities: roots.map(\.certificate))
            let right = Wallet(
                keys: [method.right],
                entities: try roots.map { try $0.certificate(method.right, for: "right.example") },
                authorities: [roots[wanted].certificate])
            var pair = try Self.pair(method, left, right)
            pair.establish()
            Self.expectEstablished(pair)
            #expect(Self.shown(pair.responder) == [[left.entities[wanted].octets]])
        }
    }

    /// Whoever sees message 1 of Aggressive Mode can answer it with a certificate of its own: that costs the real peer
    /// nothing.
    @Test func aForgedAnswerIsNotTheEnd() throws {
        let method = try #require(Pair.Method.signatures.first { $0.number == .ecdsa256 && $0.isAggressive })
        let root = try Issuer("Root")
        let left = try Self.wallet(method.left, "left.example", by: root, trusting: root)
        let right = try Self.wallet(method.right, "right.example", by: root, trusting: root)
        let impostor = try Self.wallet("ecdsa-256-left", "right.example", by: try Issuer("Root"), trusting: root)
        var stranger = try Self.pair(method, left, impostor)
        stranger.network = { side, _, datagram in side == .initiator ? [datagram] : [] }
        stranger.establish()
        let forged = try #require(stranger.responder.sent.first)
        var pair = try Self.pair(method, left, right)
        pair.network = { side, number, datagram in
            side == .responder && number == 1 ? [forged, datagram] : [datagram]
        }
        pair.establish()
        // Both were looked at, and the second one counted.
        #expect(Self.shown(pair.initiator) == [[impostor.entities[0].octets], [right.entities[0].octets]])
        Self.expectEstablished(pair)
        #expect(pair.initiator.refusals.isEmpty)
    }

    @Test func whatIsNoCertificateIsPassedOver() throws {
        let certificate = Payload(.certificate, body: [4, 0x30, 1])
        let list = Payload(.certificate, body: [7, 0x30, 2])
        #expect(try IKEv1Session.certificates([list, certificate, Payload(.hash, body: [4])]) == [[0x30, 1]])
        #expect(throws: Fault.self) { try IKEv1Session.certificates([Payload(.certificate, body: [])]) }
        let many = [Payload](repeating: certificate, count: IKEv1Session.maximumCertificates + 1)
        #expect(throws: Fault.self) { try IKEv1Session.certificates(many) }
        #expect(try IKEv1Session.certificates(many.dropLast()).count == IKEv1Session.maximumCertificates)
    }

    /// Where keys are known, nobody is asked for certificates; where a user alone proves the other end, neither.
    @Test(arguments: Pair.Method.signatures) func requestsNameTheAuthorities(_ method: Pair.Method) throws {
        let root = try Issuer("Root")
        let left = try Self.wallet(method.left, "left.example", by: root, trusting: root)
        let right = try Self.wallet(method.right, "right.example", by: root, trusting: root)
        let pair = try Self.pair(method, left, right)
        var negotiation = Negotiation(Exchanges.mainMode(method.number), role: .initiator)
        negotiation.method = method.number
        #expect(
            pair.initiator.session.certificateRequests(negotiation)
                == [Payload(.certificateRequest, body: [4] + root.certificate.subject.octets)])
        var other = negotiation
        other.takeRequests(pair.initiator.session.certificateRequests(negotiation), pair.responder.session)
        #expect(other.wantedAuthorities == [root.certificate.subject.octets])
        let known = try Pair.withKeys(method)
        #expect(known.initiator.session.certificateRequests(negotiation).isEmpty)
        if let hybrid = method.number.hybrid(.responder) {
            negotiation.method = hybrid
            #expect(pair.initiator.session.certificateRequests(negotiation).isEmpty)
        }
    }
}

extension Negotiation {
    fileprivate mutating func takeRequests(_ payloads: [Payload], _ session: IKEv1Session) {
        session.takeCertificateRequests(payloads, &self)
    }
}
