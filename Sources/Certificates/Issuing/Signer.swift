package import Cryptography

/// Signs what an authority issues. Whoever makes one holds the private key; here it stays unseen.
package struct Signer: Sendable {
    package enum Failure: Error, Hashable, Sendable {
        /// The key did not sign.
        case key
        /// What was signed cannot be read back: a field was out of the bounds that readers hold to.
        case unreadable(CertificateDefect)
    }

    package var algorithm: SignatureAlgorithm
    private let sign: @Sendable ([UInt8]) -> [UInt8]?

    /// - Parameter sign: the signature over a message by ``algorithm``; `nil` where there is none.
    package init(_ algorithm: SignatureAlgorithm, _ sign: @escaping @Sendable ([UInt8]) -> [UInt8]?) {
        self.algorithm = algorithm
        self.sign = sign
    }

    /// Signs with a key of ours, by an algorithm as strong as the key; `nil` for a key that signs no certificates.
    package init?(_ key: PrivateKey) {
        guard let algorithm = key.signatureAlgorithm else { return nil }
        self.init(algorithm) { try? key.sign(message: $0, algorithm) }
    }

    /// SEQUENCE { body, algorithm, signature }: the outer form of certificates, requests and lists.
    func envelope(_ body: [UInt8]) throws(Failure) -> [UInt8] {
        guard let signature = sign(body) else { throw .key }
        return Encoding.sequence(body, algorithm.algorithmIdentifier, Encoding.bits(signature))
    }
}
