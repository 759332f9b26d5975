import Certificates
import Cryptography
import IPsec

/// Signatures in IKE_AUTH (RFC 7296 §3.8, RFC 4754, RFC 7427, RFC 8420).
enum MessageSignature {
    /// Signs with the strongest that key and peer have in common; `nil` where they have nothing.
    ///
    /// - Parameters:
    ///   - hashes: `nil`: the peer knows no digital signatures, and RSA signs with SHA-1 (RFC 7296 §3.8).
    ///   - constraint: how our round lets us sign, where the peer knows digital signatures.
    static func make(
        _ octets: [UInt8], _ key: PrivateKey, hashes: [SignatureHash]?, announced: [AnnouncedMethod]? = nil,
        constraint: KeyConstraint? = nil
    ) -> (method: SignatureMethod, data: [UInt8])? {
        let wanted = constraint?.messageSchemes ?? []
        if let announced, let made = make(octets, key, hashes ?? [], announced: announced, wanted) { return made }
        guard let hashes else { return makeClassic(octets, key) }
        if !wanted.isEmpty {
            let agreed = wanted.filter { hashes.contains($0.hash) && SignatureHash.supported.contains($0.hash) }
            return agreed.lazy.compactMap { $0.algorithm(key.kind) }.compactMap { makeDigital(octets, key, $0) }.first
        }
        guard let algorithm = algorithm(key.kind, hashes, constraint?.prefersPSS ?? false),
            let made = makeDigital(octets, key, algorithm)
        else { return makeClassic(octets, key) }
        return made
    }

    private static func makeDigital(
        _ octets: [UInt8], _ key: PrivateKey, _ algorithm: SignatureAlgorithm
    ) -> (method: SignatureMethod, data: [UInt8])? {
        guard let signature = try? key.sign(message: octets, algorithm) else { return nil }
        let identifier = algorithm.algorithmIdentifier
        // RFC 7427 §3: the length of the identifier, the identifier, the signature.
        return (.digitalSignature, [UInt8(truncatingIfNeeded: identifier.count)] + identifier + signature)
    }

    /// Signs in the first of the ways that the peer announces and the key has (RFC 9593 §3.1); `nil` where that is none, and what would
    /// be done without the announcement is as good as anything.
    private static func make(
        _ octets: [UInt8], _ key: PrivateKey, _ hashes: [SignatureHash], announced: [AnnouncedMethod],
        _ wanted: [KeyConstraint.Scheme]
    ) -> (method: SignatureMethod, data: [UInt8])? {
        for one in announced {
            if one.method == .digitalSignature {
                // The hash is agreed besides (RFC 7427 §4): whoever announces an algorithm takes its hash.
                guard let algorithm = SignatureAlgorithm(algorithmIdentifier: one.algorithmIdentifier),
                    let hash = SignatureHash(algorithm), SignatureHash.supported.contains(hash), hashes.contains(hash),
                    wanted.isEmpty || wanted.contains(where: { $0.admits(algorithm) }),
                    let made = makeDigital(octets, key, algorithm)
                else { continue }
                return made
            } else if case .ecdsa(let curve) = key.kind, let classic = classic(curve), classic.method == one.method,
                wanted.isEmpty || wanted.contains(where: { $0.admits(.ecdsa(classic.hash)) })
            {
                return makeClassic(octets, key)
            }
        }
        return nil
    }

    private static func algorithm(
        _ kind: KeyKind, _ hashes: [SignatureHash], _ prefersPSS: Bool
    ) -> SignatureAlgorithm? {
        func first(_ preferred: [HashID], _ make: (HashID) -> SignatureAlgorithm) -> SignatureAlgorithm? {
            preferred.map(make).first { SignatureHash($0).map(hashes.contains) ?? false }
        }
        switch kind {
        case .rsa where prefersPSS:
            return SignatureHash.supported.first(where: hashes.contains).flatMap {
                KeyConstraint.Scheme(family: .pss, hash: $0).algorithm(kind)
            }
        // PKCS #1 v1.5 and not PSS, as charon does: not every peer with the one has the other.
        case .rsa: return first([.sha256, .sha384, .sha512]) { .rsa($0) }
        case .ecdsa(.p256): return first([.sha256, .sha384, .sha512]) { .ecdsa($0) }
        case .ecdsa(.p384): return first([.sha384, .sha512, .sha256]) { .ecdsa($0) }
        case .ecdsa(.p521): return first([.sha512, .sha384, .sha256]) { .ecdsa($0) }
        case .ed25519: return hashes.contains(.identity) ? .ed25519 : nil
        case .ed448: return hashes.contains(.identity) ? .ed448 : nil
        case .dsa: return nil
        }
    }

    private static func makeClassic(
        _ octets: [UInt8], _ key: PrivateKey
    ) -> (method: SignatureMethod, data: [UInt8])? {
        switch key.kind {
        case .rsa:
            return (try? key.sign(message: octets, .rsa(.sha1))).map { (.rsa, $0) }
        case .ecdsa(let curve):
            guard let (method, hash) = classic(curve), let digest = try? Digest.compute(hash, [.open(octets)]),
                let signature = try? key.sign(digest, .ecdsa(curve))
            else { return nil }
            return (method, signature)
        case .ed25519, .ed448, .dsa: return nil
        }
    }

    /// RFC 4754 §3 binds each curve to one hash.
    private static func classic(_ curve: SignatureCurve) -> (method: SignatureMethod, hash: HashID)? {
        switch curve {
        case .p256: (.ecdsa256, .sha256)
        case .p384: (.ecdsa384, .sha384)
        case .p521: (.ecdsa521, .sha512)
        }
    }

    /// How a signature over the octets was made, if it is the key's, by a method and a hash that we take.
    static func algorithm(
        _ proof: MessageProof, over octets: [UInt8], key subjectPublicKeyInfo: [UInt8]
    ) -> SignatureAlgorithm? {
        switch proof.method {
        case .rsa:
            // Without RFC 7427 nothing says the hash: SHA-1 by the text, and by custom the stronger ones.
            return [HashID.sha1, .sha256, .sha384, .sha512].map { .rsa($0) }.first {
                DigitalSignature.verifies(proof.data, over: octets, key: subjectPublicKeyInfo, $0)
            }
        case .ecdsa256, .ecdsa384, .ecdsa521:
            guard let key = try? PublicKey(parsing: subjectPublicKeyInfo), case .ecdsa(let curve) = key.kind,
                let (method, hash) = classic(curve), method == proof.method,
                let digest = try? Digest.compute(hash, [.open(octets)])
            else { return nil }
            return key.verifies(proof.data, over: digest, .ecdsa(curve)) ? .ecdsa(hash) : nil
        case .digitalSignature:
            guard let length = proof.data.first.map(Int.init), proof.data.count > length + 1,
                let algorithm = SignatureAlgorithm(algorithmIdentifier: Array(proof.data[1..<1 + length])),
                let hash = SignatureHash(algorithm), SignatureHash.supported.contains(hash)
            else { return nil }
            return DigitalSignature.verifies(
                Array(proof.data[(1 + length)...]), over: octets, key: subjectPublicKeyInfo, algorithm)
                ? algorithm : nil
        default: return nil
        }
    }
}
