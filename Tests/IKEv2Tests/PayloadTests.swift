import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

@Suite struct PayloadTests {
    @Test func proposalsComeBackAndMixedOnesAreSplit() throws {
        let mixed = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 256), Encryption(.chacha20Poly1305)],
            integrity: [.hmacSHA256_128], prf: [.hmacSHA256, .hmacSHA512], keyExchange: [.curve25519, .modp2048])
        let offers = try ProposalPayload.parse(ProposalPayload.offer([mixed], spi: [1, 2, 3, 4, 5, 6, 7, 8]))
        #expect(offers.map(\.number) == [1, 2])
        #expect(offers.allSatisfy { $0.spi == [1, 2, 3, 4, 5, 6, 7, 8] && $0.isUnderstood })
        #expect(offers[0].proposal.encryption == [Encryption(.chacha20Poly1305)] && offers[0].proposal.integrity == [])
        #expect(offers[1].proposal.encryption == [Encryption(.aesCBC, keyBits: 256)])
        #expect(offers[1].proposal.integrity == [.hmacSHA256_128])
        #expect(offers[1].proposal.keyExchange == mixed.keyExchange && offers[0].proposal.prf == mixed.prf)
    }

    /// RFC 7296 §3.3.2: ESP proposals say which sequence numbers; AEADs have no integrity transform; only ciphers with
    /// several key lengths have the attribute.
    @Test func transformsOnTheWire() {
        let esp = Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128), Encryption(.chacha20Poly1305)])
        let body = ProposalPayload.offer([esp], spi: [0xAA, 0xBB, 0xCC, 0xDD]).body
        let expected: [UInt8] = [
            0, 0, 0, 40, 1, 3, 4, 3, 0xAA, 0xBB, 0xCC, 0xDD,
            3, 0, 0, 12, 1, 0, 0, 20, 0x80, 14, 0, 128,
            3, 0, 0, 8, 1, 0, 0, 28,
            0, 0, 0, 8, 5, 0, 0, 0,
        ]
        #expect(body == expected)
    }

    @Test func unknownTransformTypesAndAttributesAreUnacceptable() throws {
        let unknownType: [UInt8] = [0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 13, 0, 0, 1, 0x80, 14, 0, 128]
        let first = try ProposalPayload.parse(Payload(.securityAssociationV2, body: unknownType))
        #expect(first.first?.isUnderstood == false)
        let unknownAttribute: [UInt8] = [0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 0x80, 99, 0, 128]
        let second = try ProposalPayload.parse(Payload(.securityAssociationV2, body: unknownAttribute))
        #expect(second.first?.proposal.encryption == [])
        // AES without a key length is no transform either (RFC 7296 §3.3.5).
        let noLength: [UInt8] = [0, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 8, 1, 0, 0, 12]
        #expect(try ProposalPayload.parse(Payload(.securityAssociationV2, body: noLength))[0].proposal.encryption == [])
    }

    @Test func selectorsComeBack() throws {
        let selectors = [
            TrafficSelector(Prefix("10.0.0.0/8")!, ipProtocol: 6, firstPort: 80, lastPort: 90),
            TrafficSelector(Prefix("2001:db8::/32")!), TrafficSelector.everything(.v4),
        ]
        let payload = SelectorPayload.payload(.selectorsInitiator, selectors)
        #expect(payload.body.prefix(4) == [3, 0, 0, 0])
        #expect(try SelectorPayload.parse(payload) == selectors)
        var wrong = payload
        wrong.body[8...9] = [0, 91]
        wrong.body[10...11] = [0, 90]
        #expect(throws: ParseError.self) { try SelectorPayload.parse(wrong) }
    }

    @Test func smallPayloadsComeBack() throws {
        let keyExchange = KeyExchangePayload(group: .ecp256, value: [1, 2, 3])
        #expect(try KeyExchangePayload(parsing: keyExchange.payload) == keyExchange)
        #expect(keyExchange.payload.body == [0, 19, 0, 0, 1, 2, 3])
        let notify = NotifyPayload(.rekeySA, protocol: .esp, spi: [1, 2, 3, 4], data: [9])
        #expect(try NotifyPayload(parsing: notify.payload) == notify)
        #expect(notify.payload.body == [3, 4, 0x40, 9, 1, 2, 3, 4, 9])
        let delete = DeletePayload(securityProtocol: .esp, spis: [SPI(0x0102_0304), SPI(5)])
        #expect(try DeletePayload(parsing: delete.payload) == delete)
        #expect(DeletePayload.ike.payload.body == [1, 0, 0, 0])
        let identity = Identity("moon.example")!
        let payload = Payload(.identityInitiator, body: IdentityPayload.body(identity))
        #expect(try IdentityPayload.parse(payload) == identity)
        #expect(payload.body.prefix(4) == [2, 0, 0, 0])
    }

    /// Every truncation and every flipped bit of every payload: an error or another value, and never a trap.
    @Test func brokenPayloadsAreErrors() {
        let payloads = [
            ProposalPayload.offer([Pair.aes, Pair.aes], spi: [1, 2, 3, 4, 5, 6, 7, 8]),
            ProposalPayload.offer([Pair.esp], spi: [1, 2, 3, 4]),
            SelectorPayload.payload(.selectorsInitiator, [.everything(.v4), .everything(.v6)]),
            KeyExchangePayload(group: .ecp256, value: [1, 2, 3]).payload,
            NotifyPayload(.rekeySA, protocol: .esp, spi: [1, 2, 3, 4], data: [9]).payload,
            DeletePayload(securityProtocol: .esp, spis: [SPI(1), SPI(2)]).payload,
            AuthenticationPayload(proof: [1, 2, 3]).payload,
            Payload(.identityResponder, body: IdentityPayload.body(Identity("a.b")!)),
            Payload(.nonceV2, body: Array(repeating: 1, count: 16)),
        ]
        var refused = 0
        for payload in payloads {
            for count in payload.body.indices {
                var cut = payload
                cut.body.removeLast(payload.body.count - count)
                if (try? MessageContent([cut])) == nil { refused += 1 }
            }
            for octet in payload.body.indices {
                for bit in 0..<8 {
                    var flipped = payload
                    flipped.body[octet] ^= 1 << UInt8(bit)
                    if (try? MessageContent([flipped])) == nil { refused += 1 }
                }
            }
        }
        #expect(refused > 300)
    }

    @Test func criticalAndRepeatedPayloads() throws {
        _ = try MessageContent([Payload(PayloadType(rawValue: 200), body: [])])
        do throws(Fault) {
            _ = try MessageContent([Payload(PayloadType(rawValue: 200), critical: true, body: [])])
            Issue.record("a critical payload of unknown type passes")
        } catch {
            #expect(error.notification == NotifyPayload(.unsupportedCriticalPayload, data: [200]))
            #expect(!error.isFatal)
        }
        let nonce = Payload(.nonceV2, critical: true, body: Array(repeating: 0, count: 16))
        _ = try MessageContent([nonce])
        #expect(throws: Fault.self) { try MessageContent([nonce, nonce]) }
    }
}
