import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing
import VectorSupport

@testable import IKEv2

/// NIST's sample case for IKEv2's key derivation, which has HMAC-SHA-1 and 132 octets of SK_*: AES-CBC-128 with
/// HMAC-SHA1-96.
@Suite struct KeyScheduleTests {
    private let suite = Suite(
        encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA1_96, prf: .hmacSHA1,
        keyExchange: .modp2048)

    private func record() throws -> VectorFile.Record {
        try #require(VectorFile("ike-kdf").records.first { $0[text: "kdf"] == "ikev2" })
    }

    private func contributions(_ record: VectorFile.Record) -> KeySchedule.Public {
        KeySchedule.Public(
            initiatorNonce: record["nInit"], responderNonce: record["nResp"],
            initiatorSPI: UInt64(network: record["spiInit"]), responderSPI: UInt64(network: record["spiResp"]))
    }

    @Test func initialKeys() throws {
        let record = try record()
        let (keys, proofs) = try KeySchedule.initial(
            suite, sharedSecret: Secret(record["gir"]), contributions(record))
        let all = record["derivedKeyingMaterial"]
        #expect(all.count == 132)
        #expect(keys.derivation(suite) == Secret(all[0..<20]))
        #expect(keys.integrity(suite, initiator: true) == Secret(all[20..<40]))
        #expect(keys.integrity(suite, initiator: false) == Secret(all[40..<60]))
        #expect(keys.encryption(suite, initiator: true) == Secret(all[60..<76]))
        #expect(keys.encryption(suite, initiator: false) == Secret(all[76..<92]))
        #expect(proofs.initiator == Secret(all[92..<112]))
        #expect(proofs.responder == Secret(all[112..<132]))
    }

    @Test(arguments: [false, true]) func childKeys(withKeyExchange: Bool) throws {
        let record = try record()
        let (keys, _) = try KeySchedule.initial(suite, sharedSecret: Secret(record["gir"]), contributions(record))
        let child = Suite(encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA1_96)
        let (forth, back) = try KeySchedule.child(
            child, of: keys, suite, sharedSecret: withKeyExchange ? Secret(record["girNew"]) : nil,
            initiatorNonce: record["nInit"], responderNonce: record["nResp"])
        let all = record[withKeyExchange ? "derivedKeyingMaterialDh" : "derivedKeyingMaterialChild"]
        #expect(forth.encryption == Secret(all[0..<16]))
        #expect(forth.integrity == Secret(all[16..<36]))
        #expect(back.encryption == Secret(all[36..<52]))
        #expect(back.integrity == Secret(all[52..<72]))
    }

    @Test func successorsKeys() throws {
        let record = try record()
        let (keys, _) = try KeySchedule.initial(suite, sharedSecret: Secret(record["gir"]), contributions(record))
        let next = try KeySchedule.successor(
            of: keys, suite, suite, sharedSecret: Secret(record["girNew"]), contributions(record))
        let seed = record["nInit"] + record["nResp"] + record["spiInit"] + record["spiResp"]
        let expected = try PseudorandomFunction.expand(
            .hmacSHA1, key: Secret(record["sKeySeedReKey"]), seed: [.open(seed)], count: 92)
        #expect(next.all == expected)
    }

    @Test func theNonceRuleComparesOctetByOctet() {
        #expect(NonceRule.lower([1, 2, 3], [1, 2, 4]) == [1, 2, 3])
        #expect(NonceRule.lower([1, 2, 3], [1, 2]) == [1, 2])
        #expect(NonceRule.survives([9], against: [8]))
        #expect(!NonceRule.survives([8], against: [9]))
    }
}

/// The SK payload of a message that another implementation sent.
@Suite struct ProtectionTests {
    static let suites: [Suite] = [
        Suite(encryption: Encryption(.aesGCM16, keyBits: 256), prf: .hmacSHA256),
        Suite(encryption: Encryption(.chacha20Poly1305), prf: .hmacSHA256),
        Suite(encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA512_256, prf: .hmacSHA512),
        Suite(encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA1_96, prf: .hmacSHA1),
    ]

    private func association(_ suite: Suite, isInitiator: Bool, fragments: Bool = true) throws -> IKESA {
        let (keys, _) = try KeySchedule.initial(
            suite, sharedSecret: Secret([1, 2, 3]),
            KeySchedule.Public(
                initiatorNonce: Array(repeating: 1, count: 32), responderNonce: Array(repeating: 2, count: 32),
                initiatorSPI: 3, responderSPI: 4))
        return IKESA(
            initiatorSPI: 3, responderSPI: 4, isInitiator: isInitiator, suite: suite, keys: keys, nextIV: .max,
            peerTakesFragments: fragments)
    }

    private func header(_ octets: [UInt8]) throws -> Header {
        var reader = ByteReader(octets)
        return try Header(from: &reader)
    }

    @Test(arguments: suites) func everyLengthOpensAgain(_ suite: Suite) throws {
        var sender = try association(suite, isInitiator: true)
        var receiver = try association(suite, isInitiator: false)
        var randomness = Randomness.seeded(3)
        for length in 0...70 {
            let payload = Payload(.vendorIDV2, body: Array(repeating: 0xA5, count: length))
            let sealed = try sender.seal(.informationalV2, messageID: 7, isResponse: false, [payload], &randomness)
            #expect(sealed.count == 1)
            let opened = try receiver.open(sealed[0], try header(sealed[0]))
            #expect(opened?.inner == [payload])
        }
        let empty = try sender.seal(.informationalV2, messageID: 7, isResponse: false, [], &randomness)
        #expect(try receiver.open(empty[0], try header(empty[0]))?.inner == [])
        // Never the same IV twice.
        #expect(sender.nextIV == (suite.encryption.id.isAEAD ? 71 : .max))
    }

    @Test(arguments: suites) func everyFlippedBitIsNoticed(_ suite: Suite) throws {
        var sender = try association(suite, isInitiator: true)
        var receiver = try association(suite, isInitiator: false)
        var randomness = Randomness.seeded(4)
        let payloads = [NotifyPayload(.authenticationFailed).payload]
        let sealed = try sender.seal(.informationalV2, messageID: 7, isResponse: false, payloads, &randomness)[0]
        for octet in sealed.indices {
            for bit in 0..<8 {
                var flipped = sealed
                flipped[octet] ^= 1 << UInt8(bit)
                let opened = try? receiver.open(flipped, try header(flipped))
                #expect(opened == nil, "bit \(bit) of octet \(octet)")
            }
        }
    }

    @Test func fragmentsComeInAnyOrder() throws {
        var sender = try association(Self.suites[0], isInitiator: true)
        var receiver = try association(Self.suites[0], isInitiator: false)
        var randomness = Randomness.seeded(5)
        let payloads = (0..<5).map { Payload(.vendorIDV2, body: Array(repeating: UInt8($0), count: 900)) }
        let sealed = try sender.seal(.ikeAuth, messageID: 1, isResponse: false, payloads, &randomness)
        #expect(sealed.count == 4)
        #expect(sealed.allSatisfy { $0.count <= Fragmentation.messageOctets })
        for piece in sealed.dropFirst().reversed() { #expect(try receiver.open(piece, try header(piece)) == nil) }
        // A piece that came before, and one that is not authentic, change nothing.
        #expect(throws: Fault.self) { try receiver.open(sealed[2], try header(sealed[2])) }
        var flipped = sealed[0]
        flipped[60] ^= 1
        #expect(throws: Fault.self) { try receiver.open(flipped, try header(flipped)) }
        #expect(try receiver.open(sealed[0], try header(sealed[0]))?.inner == payloads)
        #expect(receiver.fragments.isEmpty)
    }

    @Test func withoutTheNotificationNothingIsCut() throws {
        var sender = try association(Self.suites[0], isInitiator: true, fragments: false)
        var randomness = Randomness.seeded(5)
        let payload = Payload(.vendorIDV2, body: Array(repeating: 1, count: 4000))
        #expect(try sender.seal(.ikeAuth, messageID: 1, isResponse: false, [payload], &randomness).count == 1)
    }

    /// Reassembly keeps a bounded amount.
    @Test func tooManyFragmentsAreRefused() throws {
        let header = Header(initiator: Cookie(1), responder: Cookie(2), majorVersion: 2, exchange: .ikeAuth)
        var reassembly = Reassembly(header)
        func piece(_ number: UInt16, _ total: UInt16) -> Payload {
            var body: [UInt8] = []
            body.append(bigEndian: number)
            body.append(bigEndian: total)
            return Payload(.encryptedFragment, body: body)
        }
        #expect(throws: Fault.self) { try reassembly.add([1], piece(1, 65), first: .notify) }
        #expect(throws: Fault.self) { try reassembly.add([1], piece(0, 2), first: .notify) }
        #expect(throws: Fault.self) { try reassembly.add([1], piece(3, 2), first: .notify) }
        #expect(try reassembly.add([1], piece(1, 3), first: .notify) == nil)
        // Fewer pieces than before are an older cut; more begin anew.
        #expect(throws: Fault.self) { try reassembly.add([1], piece(2, 2), first: .notify) }
        #expect(try reassembly.add([2], piece(4, 4), first: .notify) == nil)
        #expect(try reassembly.add([3], piece(1, 4), first: .nonceV2) == nil)
        #expect(try reassembly.add([4], piece(2, 4), first: .none) == nil)
        let whole = try reassembly.add([5], piece(3, 4), first: .none)
        #expect(whole?.plaintext == [3, 4, 5, 2] && whole?.first == .nonceV2)
    }
}

extension OpenedMessage: Equatable {
    public static func == (left: OpenedMessage, right: OpenedMessage) -> Bool {
        left.clear == right.clear && left.inner == right.inner
    }
}
