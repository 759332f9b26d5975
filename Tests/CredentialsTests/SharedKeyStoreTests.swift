import Credentials
import Cryptography
import IPsec
import Primitives
import Testing

@Suite struct SharedKeyStoreTests {
    private func identity(_ text: String) throws -> Identity { try #require(Identity(text)) }

    private func entry(_ name: String, _ secret: String, _ identities: [IdentityPattern]) -> SharedKey {
        SharedKey(name: name, identities: identities, secret: Secret(Array(secret.utf8)))
    }

    @Test func choosesTheClosestKey() throws {
        let (us, moon, sun) = (try identity("carol"), try identity("moon"), try identity("sun"))
        let store = SharedKeyStore([
            entry("any", "a", []),
            entry("us", "b", [.exactly(us)]),
            entry("pattern", "c", [.any]),
            entry("peer", "d", [.exactly(moon)]),
            entry("both", "e", [.exactly(us), .exactly(moon)]),
            entry("both again", "f", [.exactly(us), .exactly(moon)]),
            entry("domain", "g", [.suffix(.fqdn, ".example.org")]),
        ])
        #expect(store.key(local: us, remote: moon)?.name == "both")
        #expect(store.key(local: sun, remote: moon)?.name == "peer")
        // %any fits the peer, which weighs more than our own name.
        #expect(store.key(local: us, remote: sun)?.name == "pattern")
        #expect(store.key(local: sun, remote: try identity("gw.example.org"))?.name == "domain")
    }

    @Test func anEntryWithoutIdentitiesIsTheLastResort() throws {
        let (us, peer) = (try identity("us"), try identity("peer"))
        let open = SharedKeyStore([entry("any", "a", []), entry("us", "b", [.exactly(us)])])
        #expect(open.key(local: us, remote: peer)?.name == "us")
        #expect(open.key(local: peer, remote: peer)?.name == "any")
    }

    @Test func anEntryForOthersIsOut() throws {
        let store = SharedKeyStore([entry("x", "a", [.exactly(try identity("someone"))])])
        #expect(store.key(local: try identity("us"), remote: try identity("peer")) == nil)
        #expect(SharedKeyStore().key(local: try identity("us"), remote: try identity("peer")) == nil)
    }

    @Test func anAddressNamesAKeyInMainMode() throws {
        let store = SharedKeyStore([entry("x", "secret", [.exactly(try identity("192.0.2.1"))])])
        let question = Question.seed(
            .hmacSHA1, local: try identity("192.0.2.2"), remote: try identity("192.0.2.1"), octets: [1, 2, 3])
        guard case .seed(let seed) = store.answer(question) else {
            Issue.record("no seed")
            return
        }
        let expected = try PseudorandomFunction.compute(
            .hmacSHA1, key: Secret(Array("secret".utf8)), [.open([1, 2, 3])])
        #expect(seed == Secret(expected))
    }

    /// The peer may be anyone, and the key names us by what the connection calls us.
    @Test func mainModeFindsKeysByOurOwnName() throws {
        var connection = Connection(name: "gate", proposals: [], children: [])
        connection.localIdentity = Identity("gate.example")
        let store = SharedKeyStore(
            [entry("own", "a", [.exactly(try identity("gate.example")), .exactly(try identity("phone.example"))])],
            policies: PolicyDatabase(connections: [connection]))
        #expect(
            store.keyForMainMode(local: try identity("192.0.2.2"), remote: try identity("192.0.2.1"))?.name == "own")
        #expect(store.key(local: try identity("192.0.2.2"), remote: try identity("192.0.2.1")) == nil)
    }

    @Test func mainModeFindsKeysOfTheConnectionsBetweenTheAddresses() throws {
        func connection(_ name: String, to remote: String, _ pattern: IdentityPattern) throws -> Connection {
            var connection = Connection(name: name, proposals: [], children: [])
            let address = try #require(IPAddress(remote))
            connection.remoteAddresses = [.range(address, address)]
            connection.localIdentity = Identity("left.example")
            connection.remoteIdentity = pattern
            return connection
        }
        let right = try identity("right.example")
        let policies = PolicyDatabase(connections: [
            try connection("any", to: "192.0.2.9", .any), try connection("net", to: "192.0.2.1", .exactly(right)),
        ])
        let left = try identity("192.0.2.2")
        let store = SharedKeyStore(
            [
                entry("catch-all", "a", []), entry("named", "b", [.exactly(right)]),
                entry("address", "c", [.exactly(try identity("192.0.2.7"))]),
            ], policies: policies)
        #expect(store.keyForMainMode(local: left, remote: try identity("192.0.2.1"))?.name == "named")
        #expect(store.keyForMainMode(local: left, remote: try identity("192.0.2.9"))?.name == "catch-all")
        #expect(store.keyForMainMode(local: left, remote: try identity("192.0.2.7"))?.name == "address")
        #expect(store.key(local: left, remote: try identity("192.0.2.1"))?.name == "catch-all")
        guard
            case .seed(let seed) = store.answer(
                .seed(.hmacSHA256, local: left, remote: try identity("192.0.2.1"), octets: [1]))
        else {
            Issue.record("no seed")
            return
        }
        let expected = try PseudorandomFunction.compute(.hmacSHA256, key: Secret(Array("b".utf8)), [.open([1])])
        #expect(seed == Secret(expected))
    }

    @Test func provesAsTheStandardSays() throws {
        let (us, peer) = (try identity("us"), try identity("peer"))
        let store = SharedKeyStore([entry("x", "secret", [])])
        let octets = Array("octets".utf8)
        guard case .proof(let proof) = store.answer(.prove(.hmacSHA256, local: us, remote: peer, octets: octets)) else {
            Issue.record("no proof")
            return
        }
        // HMAC-SHA-256(HMAC-SHA-256("secret", "Key Pad for IKEv2"), "octets"), computed with Python's hmac module.
        #expect(proof.hex == "93d6b432e988c4c184f49457ef7ddfef938f1179de4120120d1cc523b368d33b")
    }

    @Test func verifiesOnlyTheRightProof() throws {
        let (us, peer) = (try identity("us"), try identity("peer"))
        let store = SharedKeyStore([entry("x", "secret", [.exactly(peer)])])
        guard case .proof(var proof) = store.answer(.prove(.hmacSHA512, local: peer, remote: us, octets: [7])) else {
            Issue.record("no proof")
            return
        }
        func verify(_ octets: [UInt8], _ proof: [UInt8], remote: Identity) -> Answer {
            store.answer(.verify(.hmacSHA512, local: us, remote: remote, octets: octets, proof: proof))
        }
        guard case .verified(let evidence) = verify([7], proof, remote: peer) else {
            Issue.record("not verified")
            return
        }
        #expect(evidence.identity == peer)
        guard case .refuted = verify([8], proof, remote: peer) else {
            Issue.record("other octets were accepted")
            return
        }
        guard case .refuted = verify([7], Array(proof.dropLast()), remote: peer) else {
            Issue.record("a shortened proof was accepted")
            return
        }
        guard case .noCredential = verify([7], proof, remote: try identity("stranger")) else {
            Issue.record("a stranger has no key")
            return
        }
        proof[0] ^= 1
        guard case .refuted = verify([7], proof, remote: peer) else {
            Issue.record("a changed proof was accepted")
            return
        }
    }

    @Test func anUnknownFunctionHasNoAnswer() throws {
        let store = SharedKeyStore([entry("x", "secret", [])])
        let answer = store.answer(
            .prove(PRFID(rawValue: 4711), local: try identity("a"), remote: try identity("b"), octets: []))
        guard case .noCredential = answer else {
            Issue.record("answered with an unknown function")
            return
        }
    }
}
