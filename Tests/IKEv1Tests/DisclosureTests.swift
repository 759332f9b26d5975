import IPsec
import Primitives
import Testing

@testable import IKEv1

/// Keys leave a session only where its settings say so.
@Suite struct DisclosureTests {
    @Test func nothingIsDisclosedUnasked() {
        var pair = Pair()
        pair.establish()
        #expect(pair.initiator.usable.count == 1)
        #expect(pair.initiator.disclosed.isEmpty && pair.responder.disclosed.isEmpty)
        #expect(pair.initiator.session.disclosedKeys(EngineSettings()).isEmpty)
    }

    @Test func bothEndsDiscloseTheSameKeys() throws {
        var settings = EngineSettings()
        settings.disclosesKeys = true
        var pair = Pair(settings: settings)
        pair.establish()
        let one = try #require(pair.initiator.disclosed.first)
        let two = try #require(pair.responder.disclosed.first)
        #expect(pair.initiator.disclosed.count == 1 && pair.responder.disclosed.count == 1)
        #expect(one.version == 1 && one.initiatorSPI == pair.initiator.session.snapshot.initiatorSPI)
        #expect(one.responderSPI == two.responderSPI && one.suite == two.suite)
        #expect(one.initiator.encryption == two.initiator.encryption)
        #expect(one.initiator.encryption.count == 16 && one.initiator.integrity == nil)
    }

    @Test func keysOfALivingSAAreDisclosedOnceAskedFor() throws {
        var settings = EngineSettings()
        var pair = Pair()
        pair.establish()
        settings.disclosesKeys = true
        let one = try #require(pair.initiator.session.disclosedKeys(settings).first)
        let two = try #require(pair.responder.session.disclosedKeys(settings).first)
        #expect(one.initiatorSPI == pair.initiator.session.snapshot.initiatorSPI)
        #expect(one.initiator.encryption == two.initiator.encryption && one.initiator.encryption.count == 16)
    }
}
