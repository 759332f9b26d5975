import Cryptography
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// Each extension against a peer that does not know it: the SAs come up and are rekeyed by either end as without it.
@Suite struct UnawarePeerTests {
    /// An extension, and how an end comes to know it. The other end is left as it is, or made not to know it.
    struct Extension: Sendable, CustomTestStringConvertible {
        var name: String
        var enable: @Sendable (inout Connection, inout EngineSettings) -> Void
        var disable: @Sendable (inout Connection, inout EngineSettings) -> Void = { _, _ in }
        /// What must hold of the session at either end, when both are up.
        var isUnused: @Sendable (IKESession) -> Bool
        /// Octets of a secret that outlives a restart.
        var standingSecret: [UInt8]?
        var testDescription: String { name }
    }

    static let extensions: [Extension] = [
        Extension(
            name: "MOBIKE (RFC 4555)", enable: { connection, _ in connection.isMobile = true },
            isUnused: { !$0.mobility.isSupported }),
        Extension(
            name: "fragments (RFC 7383)",
            enable: { connection, settings in
                connection.fragmentation = .yes
                settings.fragmentOctetsV4 = 576
            }, disable: { connection, _ in connection.fragmentation = .no },
            isUnused: { $0.current?.peerTakesFragments == false }),
        Extension(
            name: "windows (RFC 7296 §2.3)", enable: { _, settings in settings.window = 8 },
            // Each end's window is its own affair: the one that knows none takes one request at a time.
            isUnused: { $0.current?.ownWindow == 1 || $0.current?.peerWindow == 1 }),
        Extension(
            name: "childless SAs (RFC 6023)", enable: { connection, _ in connection.childless = .prefer },
            disable: { connection, _ in connection.childless = .never },
            isUnused: { $0.optimizedRekey.initialChild != nil || !$0.children.isEmpty }),
        Extension(
            name: "post-quantum keys (RFC 8784)",
            enable: { connection, _ in
                connection.postquantumKey = Identity(.keyID, octets: Array("quantum".utf8))
                connection.mixesKeyEarly = false
            }, disable: { connection, _ in connection.mixesKeyEarly = false },
            isUnused: { !$0.hasPostquantumKey }),
        Extension(
            name: "post-quantum keys in IKE_INTERMEDIATE (RFC 9867)",
            enable: { connection, _ in
                connection.postquantumKey = Identity(.keyID, octets: Array("quantum".utf8))
            }, disable: { connection, _ in connection.mixesKeyEarly = false },
            isUnused: { !$0.hasPostquantumKey }),
        Extension(
            name: "several key exchanges (RFC 9370)",
            enable: { connection, _ in
                connection.proposals[0].additionalKeyExchanges = [[.mlkem768, .none]]
                connection.children[0].proposals[0].additionalKeyExchanges = [[.mlkem768, .none]]
            },
            isUnused: { $0.current?.suite.furtherKeyExchanges.isEmpty == true }),
        Extension(
            name: "clones (RFC 7791)", enable: { connection, _ in connection.maximumClones = 4 },
            isUnused: { !$0.takesClones }),
        Extension(
            name: "optimized rekeying", enable: { connection, _ in connection.optimizesRekeying = true },
            isUnused: { !$0.optimizedRekey.isAgreed }),
        Extension(
            name: "resumption (RFC 5723)", enable: { connection, _ in connection.resumes = true },
            isUnused: { $0.issued == nil }),
        Extension(
            name: "quick crash detection (RFC 6290)", enable: { _, _ in },
            isUnused: { $0.current != nil }, standingSecret: [UInt8](repeating: 7, count: 32)),
        Extension(
            name: "redirect (RFC 5685)", enable: { _, _ in },
            disable: { _, settings in settings.followsRedirects = false },
            isUnused: { !$0.redirection.isTakenByPeer || !$0.isInitiator }),
        Extension(
            name: "later fragments (NON_FIRST_FRAGMENTS_ALSO)",
            enable: { connection, _ in connection.children[0].carriesFragments = true },
            isUnused: { $0.children.allSatisfy { !$0.carriesFragments } }),
        Extension(
            name: "compression (IPCOMP_SUPPORTED)",
            enable: { connection, _ in connection.children[0].compresses = true },
            isUnused: { $0.children.allSatisfy { !$0.isCompressed } }),
        Extension(
            name: "shared payloads (RFC 9347)",
            enable: { connection, _ in connection.children[0].aggregation = Aggregation() },
            isUnused: { $0.children.allSatisfy { $0.aggregation == nil } }),
        Extension(
            name: "a pair of SAs for each processor (RFC 9611)",
            enable: { connection, _ in connection.children[0].usesResources = true },
            isUnused: { $0.children.allSatisfy { $0.resource == nil } }),
        Extension(
            name: "announced methods (RFC 9593)", enable: { connection, _ in connection.announcesMethods = true },
            isUnused: { $0.isEstablished }),
    ]

    @Test(arguments: extensions, Pair.Side.allCases)
    func nothingIsLostWithoutIt(_ each: Extension, knows side: Pair.Side) throws {
        var connections = [Pair.connection(isLeft: true), Pair.connection(isLeft: false)]
        var settings = [EngineSettings(), EngineSettings()]
        for index in connections.indices {
            connections[index].children[0].proposals[0].keyExchange = [.curve25519]
            if index == side.rawValue {
                each.enable(&connections[index], &settings[index])
            } else {
                each.disable(&connections[index], &settings[index])
            }
        }
        var pair = Pair(connections[0], connections[1], settings: settings[0], otherSettings: settings[1])
        pair[side].postquantum = ["quantum": [1, 2, 3]]
        if let secret = each.standingSecret { pair[side].environment.standingSecret = Secret(secret) }
        pair.establish()
        pair.run(for: .seconds(1))
        for end in Pair.Side.allCases {
            #expect(pair[end].session.isEstablished && pair[end].usable.count == 1, "\(end)")
            #expect(each.isUnused(pair[end].session), "\(end)")
        }
        for end in Pair.Side.allCases {
            let old = try #require(pair[end].usable.first)
            pair.give(.command(.rekeyChild(old.id)), to: end)
            pair.run(for: .seconds(10))
            #expect(pair[end].usable.map(\.id) != [old.id] && pair[end].usable.count == 1)
            let before = pair[end].session.current?.ownSPI
            pair.give(.command(.rekeyIKE), to: end)
            pair.run(for: .seconds(10))
            #expect(pair[end].session.current?.ownSPI != before)
            #expect(pair.disagreements == [])
        }
        let refusals = Pair.Side.allCases.flatMap { pair[$0].events }.filter {
            if case .refused = $0 { true } else { false }
        }
        #expect(refusals == [])
        pair.give(.command(.delete), to: side)
        pair.run(for: .seconds(300))
        #expect(pair.initiator.closed != nil && pair.responder.closed != nil)
    }
}
