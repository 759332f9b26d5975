import Certificates
import Credentials
import Cryptography
import IPsec
import Primitives
import Testing

/// Certificates that a peer says the place of (RFC 7296 §3.6).
@Suite struct CertificateLocationTests {
    private static let now = CertificateStoreTests.now

    private func hash(_ octets: [UInt8]) throws -> [UInt8] { try Digest.compute(.sha1, [.open(octets)]) }

    private func verification(
        _ world: CertificateStoreTests.World, _ location: CertificateLocation
    ) throws -> Question {
        var proof = try #require(world.proof(hashes: SignatureHash.supported))
        proof.certificates = []
        proof.locations = [location]
        return .verifyMessage(
            MessageVerification(
                round: AuthenticationRound(.publicKey(KeyConstraint())), identity: CertificateStoreTests.gate,
                octets: CertificateStoreTests.octets, proof: proof))
    }

    @Test func itIsFetchedThenJudgedAsIfItHadCome() throws {
        let world = try CertificateStoreTests.World(.ecdsa(.p256))
        let hash = try hash(world.certificate.octets)
        let location = CertificateLocation(hash: hash, uri: "http://x/1")
        let question = try verification(world, location)
        let inquiry = try #require(RevocationInquiry(location))
        #expect(world.peer().judge(question, now: Self.now).inquiries == [inquiry])
        // Nobody answers.
        let alone = world.peer().judge(question, now: Self.now, asked: [inquiry])
        #expect(alone.inquiries.isEmpty)
        if case .verified = alone.answer { Issue.record("verified without a certificate") }
        // What came goes through the cache into the judgement.
        var cache = RevocationCache()
        _ = cache.put(try inquiry.read(world.certificate.octets), for: inquiry, now: Self.now)
        let judged = world.peer().judge(question, now: Self.now, fetched: cache.store)
        #expect(judged.inquiries.isEmpty)
        guard case .verified(let peer) = judged.answer else {
            Issue.record("refused")
            return
        }
        #expect(peer.identity == CertificateStoreTests.gate)
    }

    @Test func anotherCertificateIsNotTaken() throws {
        let world = try CertificateStoreTests.World(.ecdsa(.p256))
        let other = try CertificateStoreTests.World(.ecdsa(.p256))
        let location = CertificateLocation(hash: try hash(world.certificate.octets), uri: "http://x/1")
        let inquiry = try #require(RevocationInquiry(location))
        #expect(throws: CertificateDefect.self) { try inquiry.read(other.certificate.octets) }
        #expect(throws: CertificateDefect.self) { try inquiry.read([]) }
        #expect(RevocationInquiry(CertificateLocation(hash: location.hash, uri: "file:///etc/passwd")) == nil)
        #expect(RevocationInquiry(CertificateLocation(hash: location.hash, uri: "https://x/1")) == nil)
    }

    @Test func bundles() throws {
        let world = try CertificateStoreTests.World(.ecdsa(.p256))
        func element(_ tag: UInt8, _ octets: [UInt8]) -> [UInt8] {
            let length: [UInt8] =
                switch octets.count {
                case ..<0x80: [UInt8(octets.count)]
                case ..<0x100: [0x81, UInt8(octets.count)]
                default: [0x82, UInt8(octets.count >> 8), UInt8(octets.count & 0xFF)]
                }
            return [tag] + length + octets
        }
        func tagged(_ number: UInt8, _ octets: [UInt8]) -> [UInt8] { element(0xA0 | number, octets) }
        func bundle(_ parts: [[UInt8]]) -> [UInt8] { element(0x30, parts.flatMap { $0 }) }
        func read(_ octets: [UInt8]) throws -> RevocationFinding {
            let location = CertificateLocation(hash: try hash(octets), uri: "http://x/b", isBundle: true)
            return try #require(RevocationInquiry(location)).read(octets)
        }
        let (one, two) = (world.certificate, world.authority.certificate)
        #expect(
            try read(bundle([tagged(0, one.octets), tagged(1, [0x30, 0]), tagged(0, two.octets)]))
                == .certificates([one, two]))
        #expect(throws: CertificateDefect.self) { try read(bundle([])) }
        #expect(throws: CertificateDefect.self) { try read(bundle([tagged(2, one.octets)])) }
        #expect(throws: CertificateDefect.self) { try read(bundle([one.octets])) }
    }

    /// Our own are said where their authority has a place for them, and else shown.
    @Test func ownPlacesAreSaid() throws {
        let world = try CertificateStoreTests.World(.ecdsa(.p256))
        var certificates = CertificateStore(
            entities: [.init(file: "a.pem", path: "/x/a.pem", certificate: world.certificate)],
            authorities: [.init(file: "b.pem", path: "/x/b.pem", certificate: world.authority.certificate)])
        func proof(_ says: Bool) throws -> MessageProof {
            let store = CredentialStore(privateKeys: [world.key], certificates: certificates)
            let signing = MessageSigning(
                round: world.ownRound(), identity: CertificateStoreTests.gate, octets: CertificateStoreTests.octets,
                hashes: SignatureHash.supported, authorityHashes: [], saysLocations: says)
            guard case .signedMessage(let proof) = store.judge(.signMessage(signing), now: Self.now).answer else {
                throw ParseError.invalid(offset: 0, rule: "no proof")
            }
            return proof
        }
        #expect(try proof(true).locations.isEmpty)
        #expect(try proof(true).certificates == [world.certificate.octets])
        certificates.uriBases[world.authority.certificate.keyHash] = "http://x/certs/"
        let hash = try hash(world.certificate.octets)
        let located = try proof(true)
        #expect(located.locations == [CertificateLocation(hash: hash, uri: "http://x/certs/" + hash.hex)])
        #expect(located.certificates.isEmpty)
        #expect(try proof(false).locations.isEmpty)
    }
}
