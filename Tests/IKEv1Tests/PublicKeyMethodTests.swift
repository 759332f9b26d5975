import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Phase 1 with key pairs: signatures (RFC 2409 §5.1), encrypted nonces (§5.2) and their revised mode (§5.3).
@Suite struct PublicKeyMethodTests {
    private func expectEstablished(
        _ pair: Pair, _ comment: Comment = "", _ place: SourceLocation = #_sourceLocation
    ) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment, sourceLocation: place)
            #expect(pair[side].usable.count == 1, comment, sourceLocation: place)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment, sourceLocation: place)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys), comment, sourceLocation: place)
        }
        #expect(pair.disagreements == [], comment, sourceLocation: place)
    }

    private func expectNothingLeft(_ pair: inout Pair, _ place: SourceLocation = #_sourceLocation) {
        pair.run(for: .seconds(900))
        for side in Pair.Side.allCases {
            #expect(pair[side].installed.isEmpty, sourceLocation: place)
            #expect(pair[side].environment.spisInUse.isEmpty, sourceLocation: place)
            // A responder whose own proof was not liked has an ISAKMP SA without use; that is its affair.
            if side == .initiator || pair[side].closed != nil {
                #expect(pair[side].closed != nil, sourceLocation: place)
                #expect(pair[side].claimed.isEmpty, sourceLocation: place)
            }
        }
    }

    @Test(arguments: Pair.Method.all)
    func establishes(_ method: Pair.Method) throws {
        var pair = try Pair.withKeys(method)
        pair.establish()
        expectEstablished(pair)
        #expect(pair.sentCount == (method.isAggressive ? 6 : 9))
        #expect(pair.initiator.session.snapshot.remoteIdentity == Identity("right.example"))
        #expect(pair.responder.session.snapshot.remoteIdentity == Identity("left.example"))
        #expect(pair.responder.session.snapshot.localIdentity == Identity("right.example"))
    }

    @Test(arguments: Pair.Method.all)
    func eachMessageCanBeLost(_ method: Pair.Method) throws {
        for lost in 0..<(method.isAggressive ? 6 : 9) {
            var pair = try Pair.withKeys(method)
            pair.network = { _, number, datagram in number == lost ? [] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(60))
            expectEstablished(pair, "message \(lost) lost")
        }
    }

    @Test(arguments: Pair.Method.all)
    func eachMessageCanComeTwice(_ method: Pair.Method) throws {
        var pair = try Pair.withKeys(method)
        pair.network = { _, _, datagram in [datagram, datagram] }
        pair.establish()
        pair.run(for: .seconds(30))
        expectEstablished(pair)
    }

    @Test(arguments: Pair.Method.all)
    func aNATIsSeen(_ method: Pair.Method) throws {
        var settings = EngineSettings()
        settings.forceEncapsulation = true
        var pair = try Pair.withKeys(method, settings: settings)
        pair.establish()
        expectEstablished(pair)
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.first?.udpEncapsulation == true)
            #expect(pair[side].session.snapshot.remote.port == 4500)
        }
    }

    /// A responder knows another key for the peer than it has, and an initiator likewise.
    @Test(arguments: Pair.Method.all, Pair.Side.allCases)
    func anotherKeyProvesNothing(_ method: Pair.Method, _ side: Pair.Side) throws {
        let wrong = method.left.hasPrefix("rsa") ? "rsa-other" : side == .initiator ? method.left : method.right
        var pair = try Pair.withKeys(method, known: [side: wrong])
        pair.establish()
        pair.run(for: .seconds(300))
        #expect(pair.initiator.closed != nil)
        #expect(pair.responder.closed != nil || side == .initiator)
        expectNothingLeft(&pair)
    }

    @Test(arguments: Pair.Method.all)
    func anotherIdentityIsRefused(_ method: Pair.Method) throws {
        for side in Pair.Side.allCases {
            var pair = try Pair.withKeys(
                method, initiator: { if side == .responder { $0.localIdentity = Identity("mallory.example") } },
                responder: { if side == .initiator { $0.localIdentity = Identity("mallory.example") } })
            pair.establish()
            expectNothingLeft(&pair)
        }
    }

    @Test(arguments: Pair.Method.all)
    func aDamagedMessageCostsNothing(_ method: Pair.Method) throws {
        // The message with the proof, one octet of which changes on the way the first time.
        let last = method.isAggressive ? [1, 2] : [4, 5]
        for number in last {
            var pair = try Pair.withKeys(method)
            pair.network = { _, sent, datagram in
                guard sent == number else { return [datagram] }
                var damaged = datagram
                let place = method.isAggressive ? (number == 1 ? 150 : 40) : damaged.octets.count - 40
                damaged.octets[place] ^= 0x40
                return [damaged]
            }
            pair.establish()
            pair.run(for: .seconds(60))
            expectEstablished(pair, "message \(number) damaged")
        }
    }

    @Test func aResponderTakesTheMethodThatBothHaveKeysFor() throws {
        let rsa = Pair.Method.signatures[0]
        let left = try TestKeys.privateKey("ecdsa-256-left").publicKey
        var pair = try Pair.withKeys(
            rsa,
            initiator: {
                $0.local[0] = AuthenticationRound(.publicKey(.init()), identity: $0.local[0].identity)
                $0.local[0].publicKeys = [left, (try? TestKeys.privateKey("rsa-left").publicKey)].compactMap { $0 }
                $0.remote[0].method = .publicKey(.init())
                $0.remote[0].publicKeys = []
            })
        // The peer is known by no key, so that the initiator must learn from somewhere else that it is the peer's.
        pair.establish()
        #expect(pair.initiator.questions.contains { if case .verifyDigest = $0 { true } else { false } })
        expectNothingLeft(&pair)
        #expect(pair.initiator.installed.isEmpty)
    }

    @Test func methodsMustMeet() throws {
        let rsa = Pair.Method.signatures[0]
        var pair = try Pair.withKeys(
            rsa,
            responder: { connection in
                for round in [\Connection.local, \Connection.remote] {
                    connection[keyPath: round][0].method = .preSharedKey
                }
            })
        pair.establish()
        #expect(
            pair.responder.refusals == [.method(peer: Identity(Pair.left), wanted: ["psk"], seen: ["rsa"])])
        expectNothingLeft(&pair)
    }

    @Test func nobodyWithoutAKeyBegins() throws {
        var pair = try Pair.withKeys(Pair.Method.all[0], initiator: { $0.local[0].publicKeys = [] })
        pair.establish()
        #expect(pair.sentCount == 0)
        guard case .policy? = pair.initiator.refusals.first else {
            Issue.record("\(pair.initiator.refusals)")
            return
        }
        #expect(pair.initiator.closed != nil && pair.initiator.claimed.isEmpty)
    }

    /// The responder has a key of the name in its policies, and its store does not.
    @Test(arguments: Pair.Method.all)
    func aKeyThatWentAwayIsMissed(_ method: Pair.Method) throws {
        for side in Pair.Side.allCases {
            var pair = try Pair.withKeys(method)
            pair[side].credentials = .init()
            pair.establish()
            #expect(
                pair[side].refusals.contains { if case .noCredential = $0 { true } else { false } }, "\(side)")
            expectNothingLeft(&pair)
        }
    }

    /// HASH(1) tells a responder with two keys which of them is meant (RFC 2409 §5.2).
    @Test(arguments: Pair.Method.encryption)
    func aResponderWithTwoKeysIsToldWhich(_ method: Pair.Method) throws {
        let second = try TestKeys.privateKey("rsa-other")
        let first = try TestKeys.privateKey("rsa-right")
        var pair = try Pair.withKeys(
            method, initiator: { $0.remote[0].publicKeys = [second.publicKey, first.publicKey] },
            responder: { $0.local[0].publicKeys = [first.publicKey, second.publicKey] })
        pair[.responder].credentials = .init(privateKeys: [first, second])
        pair.establish()
        expectEstablished(pair)
        let asked = pair.responder.questions.compactMap { question -> PublicKey? in
            if case .decrypt(let key, _) = question { key } else { nil }
        }
        #expect(asked == [second.publicKey])
    }

    @Test func certificatesAreAcceptedAndIgnored() throws {
        for description in [Exchanges.mainModeSignatures, Exchanges.aggressiveModeSignatures] {
            let proofs = description.messages.filter { $0.required.contains(.signature) }
            #expect(proofs.count == 2)
            for rule in proofs {
                #expect(rule.optional.contains(.certificate) && rule.repeatable.contains(.certificate))
            }
        }
    }
}
