import CLibcrypto
import Cryptography
import Foundation

/// ESP sealing and opening in place, beside the same work done with bare libcrypto calls on a keyed context.
struct PacketScenario {
    let repetitions: Int
    /// The one algorithm to measure; `nil` for all.
    let only: String?

    private struct Kind {
        let name: String
        let encryption: Encryption
        let integrity: IntegrityID?
        let cipherName: String
        let digestName: String?
    }

    private static let kinds = [
        Kind(
            name: "aes128gcm16", encryption: Encryption(.aesGCM16, keyBits: 128), integrity: nil,
            cipherName: "AES-128-GCM", digestName: nil),
        Kind(
            name: "aes256gcm16", encryption: Encryption(.aesGCM16, keyBits: 256), integrity: nil,
            cipherName: "AES-256-GCM", digestName: nil),
        Kind(
            name: "chacha20poly1305", encryption: Encryption(.chacha20Poly1305), integrity: nil,
            cipherName: "ChaCha20-Poly1305", digestName: nil),
        Kind(
            name: "aes128-sha1", encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA1_96,
            cipherName: "AES-128-CBC", digestName: "SHA1"),
        Kind(
            name: "aes128-sha256", encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA256_128,
            cipherName: "AES-128-CBC", digestName: "SHA256"),
        Kind(
            name: "aes256-sha384", encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA384_192,
            cipherName: "AES-256-CBC", digestName: "SHA384"),
        Kind(
            name: "aes256-sha512", encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA512_256,
            cipherName: "AES-256-CBC", digestName: "SHA512"),
    ]

    func run() throws -> Report {
        var report = Report(
            scenario: "ESP packets",
            explanation: """
                Processor time per packet, in place, one keyed context; opening includes copying the sealed packet back \
                into the buffer, on both sides of the comparison. "raw" is EVP_CipherInit_ex with the IV, \
                EVP_CipherUpdate and the tag for an AEAD, and for CBC EVP_CipherUpdate and EVP_MAC with the key kept; \
                the raw CBC call gets a ready IV. Octets are those of the inner packet.
                """)
        for kind in Self.kinds where only == nil || only == kind.name {
            for octets in [64, 512, 1400] { report.rows.append(try row(kind, octets)) }
        }
        return report
    }

    private func row(_ kind: Kind, _ octets: Int) throws -> Report.Row {
        let key = Secret((0..<kind.encryption.keyMaterialOctets).map { UInt8(truncatingIfNeeded: $0 &* 3) })
        let macKey = kind.integrity.map { Secret([UInt8](repeating: 9, count: $0.keyOctets)) }
        func cipher(_ sealing: Bool) throws -> PacketCipher {
            try PacketCipher(
                suite: kind.encryption, integrity: kind.integrity, encryptionKey: key, integrityKey: macKey,
                sealing: sealing, implementation: .libcrypto)
        }
        let sender = try cipher(true)
        let receiver = try cipher(false)
        let block = sender.blockOctets
        let textOctets = (octets + 2 + block - 1) / block * block
        let count = 8 + sender.ivOctets + textOctets + sender.tagOctets
        let packet = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
        let sealed = UnsafeMutableRawPointer.allocate(byteCount: count, alignment: 64)
        defer {
            packet.deallocate()
            sealed.deallocate()
        }
        packet.initializeMemory(as: UInt8.self, repeating: 0x5a, count: count)
        guard sender.seal(packet, count: count, sequence: 1, esn: false) else { throw BenchmarkError("seal") }
        sealed.copyMemory(from: packet, byteCount: count)

        let layout = RawLayout(
            ivOctets: sender.ivOctets, saltOctets: kind.encryption.id.saltOctets, textOctets: textOctets,
            tagOctets: sender.tagOctets)
        let rawSender = try RawCipher(kind.cipherName, kind.digestName, key, macKey, layout, sealing: true)
        let rawReceiver = try RawCipher(kind.cipherName, kind.digestName, key, macKey, layout, sealing: false)
        let operations = max(2000, 4_000_000 / (count + 400))
        var sequence: UInt64 = 1
        var failures = 0
        let readings = try Stopwatch.interleaved(
            operations: operations, repetitions: repetitions,
            [
                {
                    for _ in 0..<operations {
                        sequence += 1
                        if !sender.seal(packet, count: count, sequence: sequence, esn: false) { failures += 1 }
                    }
                },
                { for _ in 0..<operations where !rawSender.seal(packet) { failures += 1 } },
                {
                    for _ in 0..<operations {
                        packet.copyMemory(from: sealed, byteCount: count)
                        if !receiver.open(packet, count: count, sequence: 1, esn: false) { failures += 1 }
                    }
                },
                {
                    for _ in 0..<operations {
                        packet.copyMemory(from: sealed, byteCount: count)
                        if !rawReceiver.open(packet) { failures += 1 }
                    }
                },
            ])
        guard failures == 0 else { throw BenchmarkError("\(failures) packets failed with \(kind.name)") }
        return Report.Row(
            name: "\(kind.name), \(octets)",
            figures: [
                .init("seal", "ns", readings[0]), .init("raw", "ns", readings[1]),
                .init("ratio", "", Stopwatch.ratio(readings[0], readings[1])),
                .init("open", "ns", readings[2]), .init("raw", "ns", readings[3]),
                .init("ratio", "", Stopwatch.ratio(readings[2], readings[3])),
            ])
    }
}

struct BenchmarkError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

struct RawLayout {
    let ivOctets: Int
    let saltOctets: Int
    let textOctets: Int
    let tagOctets: Int
}

/// The plain libcrypto calls that one packet needs, with nothing around them.
private final class RawCipher {
    private let cipher: OpaquePointer
    private let mac: OpaquePointer?
    private let layout: RawLayout
    private let nonce = UnsafeMutablePointer<UInt8>.allocate(capacity: 16)
    private let tag = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)

    init(
        _ cipherName: String, _ digestName: String?, _ key: Secret, _ macKey: Secret?, _ layout: RawLayout,
        sealing: Bool
    ) throws {
        self.layout = layout
        nonce.initialize(repeating: 7, count: 16)
        tag.initialize(repeating: 0, count: 64)
        guard let context = EVP_CIPHER_CTX_new(), let algorithm = EVP_CIPHER_fetch(nil, cipherName, nil) else {
            throw BenchmarkError(cipherName)
        }
        cipher = context
        let salt = layout.saltOctets
        let nonce = nonce
        let fine = key.withUnsafeBytes { bytes in
            for index in 0..<salt { nonce[index] = bytes[bytes.count - salt + index] }
            return EVP_CipherInit_ex(
                context, algorithm, nil, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, sealing ? 1 : 0)
        }
        EVP_CIPHER_CTX_set_padding(context, 0)
        EVP_CIPHER_free(algorithm)
        if let digestName, let macKey {
            let keyed = digestName.withCString { name -> OpaquePointer? in
                let parameter: StaticString = "digest"
                var parameters = [
                    OSSL_PARAM_construct_utf8_string(
                        UnsafeRawPointer(parameter.utf8Start).assumingMemoryBound(to: CChar.self),
                        UnsafeMutablePointer(mutating: name), 0),
                    OSSL_PARAM_construct_end(),
                ]
                let context = EVP_MAC_CTX_new(EVP_MAC_fetch(nil, "HMAC", nil))
                let done = macKey.withUnsafeBytes {
                    EVP_MAC_init(
                        context, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), $0.count, &parameters)
                }
                return done == 1 ? context : nil
            }
            guard let keyed else { throw BenchmarkError(digestName) }
            mac = keyed
        } else {
            mac = nil
        }
        guard fine == 1 else { throw BenchmarkError(cipherName) }
    }

    deinit {
        EVP_CIPHER_CTX_free(cipher)
        EVP_MAC_CTX_free(mac)
        nonce.deallocate()
        tag.deallocate()
    }

    @inline(__always)
    private func update(_ output: UnsafeMutableRawPointer?, _ input: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        var written: Int32 = 0
        return EVP_CipherUpdate(
            cipher, output?.assumingMemoryBound(to: UInt8.self), &written, input.assumingMemoryBound(to: UInt8.self),
            Int32(count)) == 1
    }

    private func authenticate(_ packet: UnsafeMutableRawPointer) -> Bool {
        var written = 0
        return EVP_MAC_init(mac, nil, 0, nil) == 1
            && EVP_MAC_update(
                mac, packet.assumingMemoryBound(to: UInt8.self), 8 + layout.ivOctets + layout.textOctets) == 1
            && EVP_MAC_final(mac, tag, &written, 64) == 1
    }

    func seal(_ packet: UnsafeMutableRawPointer) -> Bool {
        let text = packet + 8 + layout.ivOctets
        guard EVP_CipherInit_ex(cipher, nil, nil, nil, nonce, -1) == 1 else { return false }
        if mac != nil { return update(text, text, layout.textOctets) && authenticate(packet) }
        var written: Int32 = 0
        return update(nil, packet, 8) && update(text, text, layout.textOctets)
            && EVP_CipherFinal_ex(cipher, tag, &written) == 1
            && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, 16, text + layout.textOctets) == 1
    }

    func open(_ packet: UnsafeMutableRawPointer) -> Bool {
        let text = packet + 8 + layout.ivOctets
        if mac != nil {
            return authenticate(packet) && CRYPTO_memcmp(tag, text + layout.textOctets, layout.tagOctets) == 0
                && EVP_CipherInit_ex(cipher, nil, nil, nil, nonce, -1) == 1 && update(text, text, layout.textOctets)
        }
        UnsafeMutableRawPointer(nonce + layout.saltOctets).copyMemory(from: packet + 8, byteCount: layout.ivOctets)
        var written: Int32 = 0
        return EVP_CipherInit_ex(cipher, nil, nil, nil, nonce, -1) == 1
            && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, 16, text + layout.textOctets) == 1
            && update(nil, packet, 8) && update(text, text, layout.textOctets)
            && EVP_CipherFinal_ex(cipher, tag, &written) == 1
    }
}
