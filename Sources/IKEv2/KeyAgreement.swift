import Cryptography
import Oakley
import Primitives

/// Key exchanges of any method, with our own faults.
extension IKESession {
    /// A fresh key pair of ours for a method.
    func generate(_ group: KeyExchangeID, _ context: inout Context) throws(Fault) -> KeyPair {
        try Attempt.keyDetermination { () throws(OakleyError) in
            try KeyDetermination.generate(group, &context.environment.randomness)
        }
    }

    /// What our key pair and the peer's answer to it make.
    func combine(_ keyPair: KeyPair, _ peer: [UInt8]) throws(Fault) -> Secret {
        try Attempt.keyDetermination { () throws(OakleyError) in
            try KeyDetermination.sharedSecret(keyPair, peer: peer)
        }
    }

    /// Our answer to the peer's value, and what both make.
    func answer(
        _ group: KeyExchangeID, _ peer: [UInt8], _ context: inout Context
    ) throws(Fault) -> (value: [UInt8], secret: Secret) {
        try Attempt.keyDetermination { () throws(OakleyError) in
            let (value, secret) = try KeyDetermination.respond(group, to: peer, &context.environment.randomness)
            return (value, secret)
        }
    }
}
