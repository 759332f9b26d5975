import Cryptography
import IPsec
import Primitives

/// How two nodes prove who they are with key pairs (RFC 2409 §5.1 to §5.3).
///
/// Keys are made once a process. A run follows from its seed all the same: no length and no branch depends on a key's
/// octets.
struct KeyPairs: Sendable {
    let method: AuthenticationMethod
    /// Of the left node and of the right one.
    let keys: [PrivateKey]

    private static let rsa = pair(.rsa(modulusOctets: 256))
    private static let dsa = pair(.dsa(orderOctets: 20))
    private static let curves = SignatureCurve.allCases.map { pair(.ecdsa($0)) }

    private static func pair(_ kind: KeyKind) -> [PrivateKey] {
        let keys = [try? PrivateKey.generate(kind), try? PrivateKey.generate(kind)].compactMap { $0 }
        precondition(keys.count == 2, "libcrypto makes \(kind) keys")
        return keys
    }

    /// A method in two of three runs; `nil` for a pre-shared key.
    static func drawn(_ chance: inout Randomness) -> KeyPairs? {
        switch chance.below(9) {
        case 0: KeyPairs(method: .publicKey(KeyConstraint(.rsa)), keys: rsa)
        case 1: KeyPairs(method: .publicKey(KeyConstraint(.dss)), keys: dsa)
        case 2: KeyPairs(method: .publicKey(KeyConstraint()), keys: curves[Int(chance.below(3))])
        case 3, 4: KeyPairs(method: .publicKeyEncryption, keys: rsa)
        case 5: KeyPairs(method: .revisedPublicKeyEncryption, keys: rsa)
        default: nil
        }
    }

    func apply(to connection: inout Connection, isLeft: Bool) {
        connection.local[0].method = method
        connection.local[0].publicKeys = [keys[isLeft ? 0 : 1].publicKey]
        connection.remote[0].method = method
        connection.remote[0].publicKeys = [keys[isLeft ? 1 : 0].publicKey]
    }
}
