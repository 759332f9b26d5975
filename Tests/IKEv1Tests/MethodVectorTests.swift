import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import SKEME
import Testing
import VectorSupport

@testable import IKEv1

/// Authentication methods against an implementation of their equations in another language (`reference/methods.py`).
@Suite struct MethodVectorTests {
    static let records = VectorFile("ikev1-methods").records

    private struct Case {
        let record: VectorFile.Record
        let method: PhaseOneMethod
        let suite: Suite
        var prf: PRFID { suite.prf ?? .hmacSHA1 }

        init(_ record: VectorFile.Record) throws {
            self.record = record
            method = PhaseOneMethod(rawValue: try #require(UInt16(record[text: "method"])))
            let prfs: [String: PRFID] = [
                "sha1": .hmacSHA1, "sha256": .hmacSHA256, "sha384": .hmacSHA384, "sha512": .hmacSHA512,
            ]
            suite = Suite(
                encryption: Encryption(.aesCBC, keyBits: try #require(Int(record[text: "bits"]))),
                prf: prfs[record[text: "hash"]], keyExchange: .modp2048)
        }

        func key(_ end: String) throws -> PrivateKey { try TestKeys.privateKey(record[text: "key\(end)"]) }

        func seed() throws -> Secret {
            if method.isEncryption {
                return try PublicKeyEncryption.seed(
                    prf, hash: try #require(prf.hash), initiatorHalf: Secret(record["nonceI"]),
                    responderHalf: Secret(record["nonceR"]), initiatorCookie: record["cookieI"],
                    responderCookie: record["cookieR"])
            }
            return try SignatureKey.seed(
                prf, initiatorNonce: record["nonceI"], responderNonce: record["nonceR"],
                sharedSecret: Secret(record["sharedSecret"]))
        }

        func proof(_ end: String) throws -> [UInt8] {
            let other = end == "I" ? "R" : "I"
            return try PreSharedKey.proof(
                method.proofFunction(of: .initiator) ?? prf, seed: try seed(),
                own: (record["value\(end)"], record["cookie\(end)"]),
                peer: (record["value\(other)"], record["cookie\(other)"]), offer: record["offer"],
                identity: record["identity\(end)"])
        }
    }

    @Test func everyMethodButOneHasARecord() {
        let methods = Set(Self.records.map { $0[text: "method"] })
        let plain = PhaseOneMethod.all.filter { $0.base == $0 && $0 != .preSharedKey }
        #expect(methods == Set(plain.map { "\($0.rawValue)" }))
    }

    @Test(arguments: records)
    func keysAndProofs(_ record: VectorFile.Record) throws {
        let it = try Case(record)
        let seed = try it.seed()
        #expect(seed == Secret(record["skeyid"]))
        let keys = try PhaseOneKeys(
            suite: it.suite, seed: seed, sharedSecret: Secret(record["sharedSecret"]), initiator: record["cookieI"],
            responder: record["cookieR"])
        #expect(keys.derivationKey == Secret(record["skeyid_d"]))
        #expect(keys.authenticationKey == Secret(record["skeyid_a"]))
        #expect(keys.encryptionKey == Secret(record["cipherKey"]))
        #expect(
            try keys.firstIV(initiatorPublicValue: record["valueI"], responderPublicValue: record["valueR"])
                == record["iv"])
        #expect(try it.proof("I") == record["hashI"])
        #expect(try it.proof("R") == record["hashR"])
    }

    @Test(arguments: records.filter { ![4, 5].contains(Int($0[text: "method"])) })
    func signatures(_ record: VectorFile.Record) throws {
        let it = try Case(record)
        let scheme = try #require(it.method.signature(of: .initiator))
        for end in ["I", "R"] {
            let key = try it.key(end)
            let digest = record["hash\(end)"]
            let signature = record["signature\(end)"]
            #expect(key.publicKey.verifies(signature, over: digest, scheme))
            #expect(!key.publicKey.verifies(signature, over: record["hash\(end == "I" ? "R" : "I")"], scheme))
            let own = try key.sign(digest, scheme)
            #expect(own.count == signature.count)
            // RSA's are the same each time.
            if scheme == .rsa { #expect(own == signature) }
        }
    }

    @Test(arguments: records.filter { [4, 5].contains(Int($0[text: "method"])) })
    func encryptedPayloads(_ record: VectorFile.Record) throws {
        let it = try Case(record)
        for end in ["I", "R"] {
            let key = try it.key(end == "I" ? "R" : "I")
            let nonce = try key.decrypt(record["encryptedNonce\(end)"], lengths: 8...256)
            #expect(nonce == Secret(record["nonce\(end)"]))
            if it.method == .rsaEncryption {
                let identity = try key.decrypt(record["encryptedIdentity\(end)"], lengths: 5...1024)
                #expect(identity == Secret(record["identity\(end)"]))
                continue
            }
            func cipher() throws -> RevisedEncryption {
                try RevisedEncryption.key(
                    it.prf, cipher: it.suite.encryption, half: nonce, cookie: record["cookie\(end)"])
            }
            var sealer = try cipher()
            #expect(try sealer.seal(record["value\(end)"]) == record["sealedValue\(end)"])
            #expect(try sealer.seal(record["identity\(end)"]) == record["sealedIdentity\(end)"])
            var opener = try cipher()
            #expect(
                RevisedEncryption.unpadded(try opener.open(record["sealedValue\(end)"])) == record["value\(end)"])
            #expect(
                RevisedEncryption.unpadded(try opener.open(record["sealedIdentity\(end)"]))
                    == record["identity\(end)"])
            // Out of order the chain of IVs breaks.
            var other = try cipher()
            #expect(
                RevisedEncryption.unpadded(try other.open(record["sealedIdentity\(end)"]))
                    != record["identity\(end)"])
            #expect(throws: CryptographyError.self) { try opener.open([1, 2, 3]) }
        }
    }

    @Test func paddingIsTakenOffWhateverItSays() {
        #expect(RevisedEncryption.unpadded([]) == [])
        #expect(RevisedEncryption.unpadded([9, 0, 0, 2]) == [9])
        #expect(RevisedEncryption.unpadded([9, 8, 0]) == [9, 8])
        #expect(RevisedEncryption.unpadded([9, 8, 7, 200]) == [9, 8, 7])
    }
}
