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

    @Test func wrongKeysAndIdentitiesNameThePeer() throws {
        let peer = try #require(Identity("peer.example.org"))
        #expect(RefusalText.explain(.authentication(peer: peer)).contains("pre-shared keys most likely differ"))
        #expect(
            RefusalText.explain(.identity(wanted: [.exactly(peer)], seen: Identity(IPAddress(v4: 0x0A00_0001))))
                == "the peer says it is '10.0.0.1', and 'peer.example.org' was wanted")
    }
}
