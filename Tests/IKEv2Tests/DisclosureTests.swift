import IPsec
import Primitives
import Testing

@testable import IKEv2

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
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.settle()
        // The first keys, and those of the SA that took over.
        #expect(pair.initiator.disclosed.count == 2 && pair.responder.disclosed.count == 2)
        for (one, two) in zip(pair.initiator.disclosed, pair.responder.disclosed) {
            #expect(one.version == 2 && one.initiatorSPI == two.initiatorSPI && one.responderSPI == two.responderSPI)
            #expect(one.initiator.encryption == two.initiator.encryption && one.initiator.encryption.count == 16)
            #expect(one.responder.encryption == two.responder.encryption)
            #expect(one.initiator.integrity == two.initiator.integrity && one.initiator.integrity?.count == 32)
            #expect(one.initiator.encryption != one.responder.encryption)
        }
        let last = try #require(pair.initiator.disclosed.last)
        #expect(last.initiatorSPI == pair.initiator.session.snapshot.initiatorSPI)
    }

    @Test func keysOfALivingSAAreDisclosedOnceAskedFor() throws {
        var settings = EngineSettings()
        var pair = Pair()
        pair.establish()
        settings.disclosesKeys = true
        let keys = pair.initiator.session.disclosedKeys(settings)
        let others = pair.responder.session.disclosedKeys(settings)
        let (one, two) = (try #require(keys.first), try #require(others.first))
        #expect(keys.count == 1 && one.initiatorSPI == pair.initiator.session.snapshot.initiatorSPI)
        #expect(one.initiator.encryption == two.initiator.encryption && one.initiator.encryption.count == 16)
        #expect(one.responder.integrity == two.responder.integrity && one.responder.integrity?.count == 32)
    }

    @Test func whatHasNoKeysYetDisclosesNone() {
        var settings = EngineSettings()
        settings.disclosesKeys = true
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        #expect(pair.initiator.session.snapshot.initiatorSPI != 0)
        #expect(pair.initiator.session.disclosedKeys(settings).isEmpty)
    }
}
