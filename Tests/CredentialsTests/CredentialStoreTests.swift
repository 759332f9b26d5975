import Credentials
import Cryptography
import IPsec
import Primitives
import Testing
import VectorSupport

/// Questions that key pairs answer.
@Suite struct CredentialStoreTests {
    private static func key(_ name: String) throws -> PrivateKey {
        let record = try #require(VectorFile("test-keys").records.first { $0[text: "name"] == name })
        return try PrivateKey(parsing: Secret(record["private"]))
    }

    private static let peer = Identity(.fqdn, octets: Array("peer.example".utf8))
    private static let digest = [UInt8](repeating: 3, count: 32)

    @Test func signsWithTheFirstNamedKeyThatItHas() throws {
        let own = try Self.key("rsa-left")
        let other = try Self.key("rsa-right")
        let curve = try Self.key("ecdsa-256-left")
        let store = CredentialStore(privateKeys: [own, curve])
        func signature(_ scheme: SignatureScheme, _ keys: [PublicKey]) -> [UInt8]? {
            guard case .signature(let octets) = store.answer(.sign(scheme, keys: keys, digest: Self.digest)) else {
                return nil
            }
            return octets
        }
        let keys = [other.publicKey, curve.publicKey, own.publicKey]
        let first = try #require(signature(.rsa, keys))
        #expect(own.publicKey.verifies(first, over: Self.digest, .rsa))
        let second = try #require(signature(.ecdsa(.p256), keys))
        #expect(curve.publicKey.verifies(second, over: Self.digest, .ecdsa(.p256)))
        #expect(signature(.rsa, [other.publicKey]) == nil)
        #expect(signature(.rsa, []) == nil)
        #expect(signature(.ecdsa(.p384), keys) == nil)
    }

    @Test func onlyNamedKeysVouchForIdentities() throws {
        let peer = try Self.key("rsa-right")
        let stranger = try Self.key("rsa-other")
        let signature = try peer.sign(Self.digest, .rsa)
        // The peer's key is trusted for its identifier; a name needs a connection that names the key.
        let store = CredentialStore(trustedKeys: [peer.publicKey])
        func verdict(_ remote: Identity, _ keys: [PublicKey], _ signature: [UInt8]) -> String {
            switch store.answer(
                .verifySignature(.rsa, remote: remote, keys: keys, digest: Self.digest, signature: signature))
            {
            case .verified(let proof): proof.identity == remote ? "verified" : "somebody else"
            case .refuted: "refuted"
            case .noCredential: "no credential"
            default: "?"
            }
        }
        #expect(verdict(Self.peer, [peer.publicKey], signature) == "verified")
        #expect(verdict(Self.peer, [stranger.publicKey, peer.publicKey], signature) == "verified")
        #expect(verdict(Self.peer, [stranger.publicKey], signature) == "refuted")
        #expect(verdict(Self.peer, [], signature) == "no credential")
        #expect(verdict(Self.peer, [peer.publicKey], Array(signature.dropLast())) == "refuted")
        let identifier = Identity(.keyID, octets: peer.publicKey.identifier)
        #expect(verdict(identifier, [], signature) == "verified")
        #expect(verdict(identifier, [], [1]) == "refuted")
        #expect(verdict(Identity(.keyID, octets: [1, 2]), [], signature) == "no credential")
        #expect(verdict(Identity(.fqdn, octets: peer.publicKey.identifier), [], signature) == "no credential")
    }

    @Test func encryptsAndDecrypts() throws {
        let own = try Self.key("rsa-left")
        let store = CredentialStore(privateKeys: [own])
        let messages = [Secret([1, 2, 3, 4, 5]), Secret([UInt8](repeating: 9, count: 32))]
        guard case .encrypted(let ciphertexts) = store.answer(.encrypt(own.publicKey, messages: messages)) else {
            Issue.record("nothing was encrypted")
            return
        }
        #expect(ciphertexts.count == 2)
        let question = Question.decrypt(
            own.publicKey, ciphertexts: ciphertexts.map { Question.Ciphertext($0, lengths: 5...64) })
        guard case .decrypted(let decrypted) = store.answer(question) else {
            Issue.record("nothing was decrypted")
            return
        }
        #expect(decrypted == messages)
        // Whatever is asked for is answered, but for a key that is not there.
        for octets in [[], [1], [UInt8](repeating: 0, count: 256), [UInt8](repeating: 0xFF, count: 256)] {
            let nonsense = Question.decrypt(own.publicKey, ciphertexts: [.init(octets, lengths: 8...256)])
            guard case .decrypted(let decrypted) = store.answer(nonsense) else {
                Issue.record("no answer")
                continue
            }
            #expect(decrypted.count == 1 && (8...245).contains(decrypted[0].count))
        }
        guard case .noCredential = CredentialStore().answer(question) else {
            Issue.record("decrypted without a key")
            return
        }
        let tooLong = Question.encrypt(own.publicKey, messages: [Secret([UInt8](repeating: 1, count: 246))])
        guard case .noCredential = store.answer(tooLong) else {
            Issue.record("encrypted too much")
            return
        }
    }

    @Test func ownRoundsLearnWhichKeysTheyHave() throws {
        let rsa = try Self.key("rsa-left")
        let curve = try Self.key("ecdsa-256-left")
        let elsewhere = try Self.key("rsa-right")
        let store = CredentialStore(privateKeys: [rsa, curve])
        func completed(_ method: AuthenticationMethod, named: [PrivateKey]? = nil) -> [PublicKey] {
            var connection = Connection(name: "x", proposals: [], children: [])
            connection.local = [AuthenticationRound(method)]
            if let named {
                connection.local[0].publicKeyFiles = named.map { "\($0.kind)" }
                connection.local[0].publicKeys = named.map(\.publicKey)
            }
            connection.remote[0].publicKeys = [elsewhere.publicKey]
            let policies = store.completing(PolicyDatabase(connections: [connection]))
            #expect(policies.connections[0].remote == connection.remote, "the peer's keys stay as they are")
            return policies.connections[0].local[0].publicKeys
        }
        #expect(completed(.publicKey(KeyConstraint())) == [rsa.publicKey, curve.publicKey])
        #expect(completed(.publicKey(KeyConstraint(.ecdsa))) == [curve.publicKey])
        #expect(completed(.publicKeyEncryption) == [rsa.publicKey])
        #expect(completed(.publicKey(KeyConstraint()), named: [elsewhere, curve]) == [curve.publicKey])
        #expect(completed(.preSharedKey) == [])
    }

    /// RFC 7670: the key itself goes to who asks, and only where no certificate speaks for it.
    @Test(arguments: [false, true]) func aKeyWithoutCertificateIsSaidToWhoAsks(isAsked: Bool) throws {
        let own = try Self.key("ecdsa-256-left")
        let store = CredentialStore(privateKeys: [own])
        var round = AuthenticationRound(.publicKey(KeyConstraint()))
        round.publicKeys = [own.publicKey]
        var signing = MessageSigning(
            round: round, identity: Self.peer, octets: [1, 2, 3], hashes: [.sha256], authorityHashes: [])
        signing.saysPublicKey = isAsked
        guard case .signedMessage(let proof) = store.answer(.signMessage(signing)) else {
            Issue.record("no signature")
            return
        }
        #expect(proof.publicKeys == (isAsked ? [own.publicKey.subjectPublicKeyInfo] : []))
        #expect(proof.certificates.isEmpty)
        // What a peer says of its key makes nobody trust it.
        let other = try Self.key("rsa-right")
        func judge(_ known: PublicKey) -> Answer {
            var wanted = round
            wanted.publicKeyFiles = ["peer.pub"]
            wanted.publicKeys = [known]
            var heard = proof
            heard.publicKeys = [own.publicKey.subjectPublicKeyInfo]
            return store.answer(
                .verifyMessage(
                    MessageVerification(round: wanted, identity: Self.peer, octets: [1, 2, 3], proof: heard)))
        }
        guard case .verified = judge(own.publicKey), case .refuted = judge(other.publicKey) else {
            Issue.record("the configured key alone counts")
            return
        }
    }

    @Test func sharedKeysAreAnsweredAsBefore() throws {
        let store = CredentialStore(
            sharedKeys: [SharedKey(identities: [], secret: Secret(Array("secret".utf8)))])
        let question = Question.seed(.hmacSHA1, local: Self.peer, remote: Self.peer, octets: [1])
        guard case .seed(let seed) = store.answer(question) else {
            Issue.record("no seed")
            return
        }
        #expect(
            seed == (try PseudorandomFunction.derive(.hmacSHA1, key: Secret(Array("secret".utf8)), [.open([1])])))
    }
}

extension CredentialStore {
    /// Answers a question that has nothing to do with the time.
    fileprivate func answer(_ question: Question) -> Answer { answer(question, now: WallTime(seconds: 0)) }
}
