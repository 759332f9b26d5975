import Cryptography
package import IPsec
import Primitives

/// Holds the pre-shared keys, and answers the questions of key exchanges so that these never see one. A value.
package struct SharedKeyStore: Sendable {
    private let entries: [SharedKey]
    private let postquantum: [SharedKey]
    private let policies: PolicyDatabase

    /// - Parameter policies: lets Main Mode, which knows only addresses, find keys that are filed under the identities
    ///   of the connections between these addresses.
    package init(_ entries: [SharedKey] = [], policies: PolicyDatabase = PolicyDatabase()) {
        self.entries = entries.filter { !$0.isPostquantum }
        postquantum = entries.filter(\.isPostquantum)
        self.policies = policies
    }

    /// The key for a pair of identities, chosen as charon does: an entry that names neither end, but names others, is
    /// out; one that names the peer beats one that names only us, one that names both beats either, and among equals
    /// the closer pattern and then the earlier entry. An entry without identities fits any pair, last.
    package func key(local: Identity, remote: Identity) -> SharedKey? { best([(local, remote)]) }

    /// The key for Main Mode (RFC 2409 §5.4): by the addresses themselves, or by the identities of a connection between
    /// them, as charon does; whichever names the ends better.
    package func keyForMainMode(local: Identity, remote: Identity) -> SharedKey? {
        var pairs = [(local, remote)]
        if let localAddress = local.address, let remoteAddress = remote.address {
            for connection in policies.candidates(local: localAddress, remote: remoteAddress, version: .v1) {
                // Where the connection leaves the peer's identity open, our own may still name the key.
                var peer = remote
                if let identity = connection.remoteIdentity.identity { peer = identity }
                pairs.append((connection.localIdentity ?? local, peer))
            }
        }
        return best(pairs)
    }

    private func best(_ pairs: [(local: Identity, remote: Identity)]) -> SharedKey? {
        var best: (entry: SharedKey, score: Int)?
        for pair in pairs {
            for entry in entries {
                let score = SharedKeyStore.score(entry, local: pair.local, remote: pair.remote)
                if score > best?.score ?? 0 { best = (entry, score) }
            }
        }
        return best?.entry
    }

    private static func score(_ entry: SharedKey, local: Identity, remote: Identity) -> Int {
        if entry.identities.isEmpty { return 1 }
        let localFit = entry.identities.map { $0.specificity(for: local) }.max() ?? 0
        let remoteFit = entry.identities.map { $0.specificity(for: remote) }.max() ?? 0
        if localFit == 0 && remoteFit == 0 { return 0 }
        // Specificities are at most 3; the peer weighs most.
        return 1 + remoteFit * 4 + localFit
    }

    /// The padding of RFC 7296 §2.15, without a terminating zero.
    private static let keyPad = Array("Key Pad for IKEv2".utf8)

    /// Answers the questions that a shared key answers. A proof is compared in constant time.
    package func answer(_ question: Question) -> Answer {
        switch question {
        case .prove(let prf, let local, let remote, let octets):
            guard let key = key(local: local, remote: remote),
                let proof = try? SharedKeyStore.proof(prf, key.secret, octets)
            else { return .noCredential }
            return .proof(proof)
        case .verify(let prf, let local, let remote, let octets, let proof):
            guard let key = key(local: local, remote: remote),
                let expected = try? SharedKeyStore.proof(prf, key.secret, octets)
            else { return .noCredential }
            return ConstantTime.equal(expected, proof) ? .verified(PeerAuthenticated(verified: remote)) : .refuted
        case .seed(let prf, let local, let remote, let octets):
            guard let key = keyForMainMode(local: local, remote: remote),
                let seed = try? PseudorandomFunction.derive(prf, key: key.secret, [.open(octets)])
            else { return .noCredential }
            return .seed(seed)
        // Users' passwords are no pre-shared keys.
        case .checkPassword, .password, .judgeUser, .proveUser, .relayUser, .tunnel: return .noCredential
        case .sign, .verifySignature, .encrypt, .decrypt, .signMessage, .verifyMessage, .signDigest, .verifyDigest:
            return .noCredential
        case .mix(let prf, let name, let keys, let confirming):
            guard let key = postquantumKey(name) else { return .noCredential }
            var mixed: [Secret] = []
            for part in keys {
                guard
                    let derived = try? PseudorandomFunction.expand(
                        prf, key: key.secret, seed: [.secret(part)], count: part.count)
                else { return .noCredential }
                mixed.append(derived)
            }
            guard
                let confirmation = try? PseudorandomFunction.compute(prf, key: key.secret, [.open(confirming)])
            else { return .noCredential }
            return .mixed(mixed, confirmation: confirmation)
        }
    }

    /// The post-quantum key of a name, by the octets that travel; one without a name is any.
    private func postquantumKey(_ name: Identity) -> SharedKey? {
        postquantum.first { entry in
            entry.identities.contains { if case .exactly(let own) = $0 { own.octets == name.octets } else { false } }
        } ?? postquantum.first { $0.identities.isEmpty }
    }

    /// AUTH = prf(prf(shared key, "Key Pad for IKEv2"), octets) (RFC 7296 §2.15).
    private static func proof(_ prf: PRFID, _ key: Secret, _ octets: [UInt8]) throws(CryptographyError) -> [UInt8] {
        let padded = try PseudorandomFunction.derive(prf, key: key, [.open(keyPad)])
        return try PseudorandomFunction.compute(prf, key: padded, [.open(octets)])
    }
}
