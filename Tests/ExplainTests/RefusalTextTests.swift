import Cryptography
import Explain
import IPsec
import Primitives
import Testing

@Suite struct RefusalTextTests {
    private func network(_ text: String) throws -> TrafficSelector { TrafficSelector(try #require(Prefix(text))) }

    @Test func proposalsStandSideBySideWithTheFirstClash() {
        let own = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 256)], keyExchange: [.curve25519])
        let other = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 256)], keyExchange: [.modp2048])
        guard case .failure(let refused) = Proposal.select(configured: [own], offered: [other]) else {
            Issue.record("they differ")
            return
        }
        let refusal = Refusal.noProposal(.esp, refused.mismatch)
        #expect(RefusalText.explain(refusal) == "no proposal chosen for ESP: nothing in common in key exchange group")
        let lines = RefusalText.lines(refusal)
        #expect(
            lines.contains("aes256gcm16-x25519 | aes256gcm16-modp2048")
                || lines.contains { $0.contains("x25519") && $0.contains("modp2048") && $0.contains("|") })
        #expect(
            lines.contains { $0.contains("smallest edit") && $0.contains("esp_proposals") && $0.contains("modp2048") })
    }

    @Test func selectorsSayWhichSideDiffers() throws {
        let refusal = Refusal.selectors(
            offeredLocal: [try network("10.1.0.0/16")], offeredRemote: [try network("10.9.0.0/16")],
            configuredLocal: [try network("10.1.0.0/16")], configuredRemote: [try network("10.2.0.0/16")])
        let lines = RefusalText.lines(refusal)
        #expect(lines.contains("the peer's side differs: remote_ts here, local_ts on the peer"))
        #expect(!lines.contains { $0.hasPrefix("our side differs") })
        #expect(lines.contains { $0.contains("10.9.0.0/16") } && lines.contains { $0.contains("10.2.0.0/16") })
    }

    @Test func demandsOfTheRoundAreNamed() throws {
        let name = try #require(DistinguishedName("O=Test, CN=gate"))
        let wanted = KeyConstraint([
            .init(.rsa, minimumBits: 3072, hashes: [.sha384]), .init(.any, hashes: [.sha512], isForMessages: true),
        ])
        var report = ChainReport(
            wanted: nil, present: [],
            links: [
                .init(
                    subject: name, issuer: name, serialNumber: [1],
                    findings: [
                        .init(check: .key, outcome: .failed(.keyNotAdmitted(.init(kind: .rsa, bits: 2048), wanted))),
                        .init(check: .signature, outcome: .failed(.algorithmNotAdmitted(.rsa(.sha256), wanted))),
                    ])
            ])
        let lines = RefusalText.lines(.certificate(report)).joined(separator: "\n")
        #expect(
            lines.contains("BAD key: its key is RSA of 2048 bits, and 'auth = rsa-3072-sha384-ike:pubkey-sha512' wants")
        )
        #expect(lines.contains("BAD signature: it is signed with RSA with SHA-256, and 'auth = rsa-3072"))
        report.links = []
        report.message = MessageDefect(.rsa(.sha256), wanted: wanted)
        #expect(
            RefusalText.explain(.certificate(report))
                == "the peer signed with RSA with SHA-256, and 'auth = rsa-3072-sha384-ike:pubkey-sha512' wants another signature"
        )
    }

    @Test func anotherMethodIsNoWrongKey() throws {
        let peer = try #require(Identity("peer.example.org"))
        func refusal(_ wanted: String, _ seen: String) -> Refusal {
            .method(peer: peer, wanted: [wanted], seen: [seen])
        }
        #expect(
            RefusalText.explain(refusal("pubkey", "psk"))
                == "'peer.example.org' proves itself by a pre-shared key (auth = psk), and a signature (auth = pubkey) was "
                + "wanted")
        #expect(RefusalText.explain(refusal("eap-tls", "psk")).hasSuffix("and EAP (auth = eap-tls) was wanted"))
        #expect(
            RefusalText.explain(refusal("rsa-encryption", "null")).contains("nothing (auth = null), and auth = rsa-enc")
        )
        let two = Refusal.method(peer: peer, wanted: ["psk", "rsa"], seen: [])
        #expect(
            RefusalText.explain(two).contains(
                "no method that is known here, and a pre-shared key (auth = psk) or auth = rsa"))
        #expect(
            RefusalText.lines(refusal("pubkey", "psk"))[0].hasPrefix(
                "set remote.auth = psk here, or local.auth = pubkey"))
    }

    @Test func whoHasTheSameKeyIsNotToldToCompareIt() {
        let refusal = Refusal.peerWithKey(notification: 1, name: "INVALID-PAYLOAD-TYPE")
        #expect(RefusalText.explain(refusal).contains("INVALID-PAYLOAD-TYPE (1)"))
        #expect(
            RefusalText.lines(refusal) == [
                "the pre-shared key is not to blame; look in the peer's log for what it did not like of our message"
            ])
    }

    @Test func wrongKeysAndIdentitiesNameThePeer() throws {
        let peer = try #require(Identity("peer.example.org"))
        #expect(RefusalText.explain(.authentication(peer: peer)).contains("pre-shared keys most likely differ"))
        #expect(
            RefusalText.explain(.identity(wanted: [.exactly(peer)], seen: Identity(IPAddress(v4: 0x0A00_0001))))
                == "the peer says it is '10.0.0.1', and 'peer.example.org' was wanted")
    }
}
