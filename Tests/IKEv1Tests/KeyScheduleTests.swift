import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing
import VectorSupport

@testable import IKEv1

/// The key schedule against NIST's sample case (RFC 2409 §5, Appendix B).
@Suite struct KeyScheduleTests {
    private func record() throws -> VectorFile.Record {
        try #require(VectorFile("ike-kdf").records.first { $0[text: "kdf"] == "ikev1_psk" })
    }

    private func suite(_ bits: Int) -> Suite {
        Suite(encryption: Encryption(.aesCBC, keyBits: bits), prf: .hmacSHA1, keyExchange: .modp2048)
    }

    private func seed(_ record: VectorFile.Record) throws -> Secret {
        try PseudorandomFunction.derive(
            .hmacSHA1, key: Secret(record["preSharedKey"]), [.open(record["nInit"]), .open(record["nResp"])])
    }

    private func keys(_ record: VectorFile.Record, bits: Int = 128) throws -> PhaseOneKeys {
        try PhaseOneKeys(
            suite: suite(bits), seed: try seed(record), sharedSecret: Secret(record["gxy"]),
            initiator: record["ckyInit"], responder: record["ckyResp"])
    }

    @Test func publishedKeys() throws {
        let record = try record()
        #expect(try seed(record) == Secret(record["sKeyId"]))
        let keys = try keys(record)
        #expect(keys.derivationKey == Secret(record["sKeyIdD"]))
        #expect(keys.authenticationKey == Secret(record["sKeyIdA"]))
        // SKEYID_e is long enough for AES-128: its head is the key.
        #expect(keys.encryptionKey == Secret(record["sKeyIdE"])[0..<16])
    }

    @Test func aKeyLongerThanTheHashIsStretched() throws {
        let record = try record()
        // Ka = K1 | K2, K1 = prf(SKEYID_e, 0), K2 = prf(SKEYID_e, K1) (RFC 2409 Appendix B).
        let material = Secret(record["sKeyIdE"])
        let first = try PseudorandomFunction.derive(.hmacSHA1, key: material, [.open([0])])
        let second = try PseudorandomFunction.derive(.hmacSHA1, key: material, [.secret(first)])
        let expected = Secret(concatenating: [first, second])
        #expect(try keys(record, bits: 192).encryptionKey == expected[0..<24])
        #expect(try keys(record, bits: 256).encryptionKey == expected[0..<32])
    }

    @Test func ivsComeFromPublicValuesAndMessageIDs() throws {
        let keys = try keys(record())
        let left = [UInt8](repeating: 1, count: 32)
        let right = [UInt8](repeating: 2, count: 32)
        let iv = try keys.firstIV(initiatorPublicValue: left, responderPublicValue: right)
        #expect(iv == Array(try Digest.compute(.sha1, [.open(left), .open(right)]).prefix(16)))
        #expect(try keys.firstIV(initiatorPublicValue: right, responderPublicValue: left) != iv)
        let block = [UInt8](repeating: 3, count: 16)
        #expect(
            try keys.firstIV(lastBlock: block, messageID: 0x0102_0304)
                == Array(try Digest.compute(.sha1, [.open(block), .open([1, 2, 3, 4])]).prefix(16)))
    }

    @Test func aChainOfIVsMakesOrderMatter() throws {
        let keys = try keys(record())
        let header = Header(
            initiator: Cookie(1), responder: Cookie(2), majorVersion: 1, exchange: .quickMode, messageID: 7)
        let payload = Payload(.nonce, body: [UInt8](repeating: 9, count: 21))
        var sender = CipherChain(iv: [UInt8](repeating: 0, count: 16))
        var receiver = sender
        let first = try sender.seal([payload], header: header, keys: keys)
        let second = try sender.seal([payload], header: header, keys: keys)
        #expect(first != second && first.count == 28 + 32)
        var wrong = receiver
        #expect(throws: (any Error).self) { try wrong.open(second, header: header.of(second), keys: keys) }
        #expect(try receiver.open(first, header: header.of(first), keys: keys).payloads == [payload])
        #expect(try receiver.open(second, header: header.of(second), keys: keys).payloads == [payload])
        #expect(receiver == sender)
    }
}

extension Header {
    /// The header as it stands in a message.
    fileprivate func of(_ message: [UInt8]) throws -> Header {
        var reader = ByteReader(message)
        return try Header(from: &reader)
    }
}
