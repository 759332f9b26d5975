package import Primitives

/// A value of an exchange: octets that anybody may see, or a key that must not leak.
package enum Value<Key: Sendable>: Sendable {
    case open([UInt8])
    case secret(Key)
}

/// What two ends agree on in an SA payload, as far as an exchange itself needs it. The numbers are the DOI's.
package struct ExchangeSuite: Hashable, Sendable {
    /// How an end proves its identity.
    package enum Authentication: Hashable, Sendable {
        case sharedKey
        case signature
        /// By reading what was encrypted with its public key.
        case encryption
    }

    package var cipher: UInt16
    /// Bits of the cipher's key.
    package var keyBits: Int
    package var hash: UInt16
    package var authentication: Authentication
    /// 0 for none.
    package var group: UInt32

    package init(cipher: UInt16, keyBits: Int, hash: UInt16, authentication: Authentication, group: UInt32) {
        self.cipher = cipher
        self.keyBits = keyBits
        self.hash = hash
        self.authentication = authentication
        self.group = group
    }
}

/// A function failed: the group or algorithm is not there, a public value gives the secret away, a ciphertext is not
/// authentic, or the library has no memory. Nothing more is said, and nothing more is needed.
package struct FunctionFailure: Error, Hashable, Sendable {
    package init() {}
}

/// What the framework must be lent to run an exchange: it knows no cipher, no group and no DOI. Pure functions; private
/// keys are not among them (``ExchangeQuestion``).
package protocol ExchangeFunctions: Sendable {
    associatedtype DOI: DomainOfInterpretation
    /// Octets that are wiped when the last reference goes.
    associatedtype Key: Sendable
    /// A private value of a group and the public one that belongs to it.
    associatedtype KeyPair: Sendable

    /// What a payload with exactly one transform for the ISAKMP SA says; `nil` where it is not understood.
    func suite(_ choice: SecurityAssociationPayload) -> ExchangeSuite?

    func key(_ octets: [UInt8]) -> Key
    /// The octets of a key that goes out, as a proof does.
    func exposed(_ key: Key) -> [UInt8]
    func join(_ values: [Value<Key>]) -> Key
    /// A part of a key; the range lies within it.
    func part(_ key: Key, _ range: Range<Int>) -> Key
    func count(_ key: Key) -> Int
    /// Fresh octets from the generator alone.
    func random(_ count: Int, _ randomness: inout Randomness) -> Key
    /// Takes the same time wherever the first difference stands.
    func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool
    /// The suite's pseudorandom function.
    func prf(
        _ suite: ExchangeSuite, key: [Value<Key>], _ data: [Value<Key>]
    ) throws(FunctionFailure) -> Key

    func makeKeyPair(_ suite: ExchangeSuite, _ randomness: inout Randomness) throws(FunctionFailure) -> KeyPair
    func publicValue(_ pair: KeyPair) -> [UInt8]
    /// - Throws: for a peer's value that is none of the group's.
    func sharedSecret(_ pair: KeyPair, peer: [UInt8]) throws(FunctionFailure) -> Key

    /// Encrypts and authenticates the payloads of a message; `header` is authenticated, too. `number` is never used
    /// twice with one key and sender.
    func seal(
        _ suite: ExchangeSuite, key: Key, sender: Role, number: UInt64, header: [UInt8], _ plaintext: [UInt8]
    ) throws(FunctionFailure) -> [UInt8]
    /// - Throws: for what was not sealed so.
    func open(
        _ suite: ExchangeSuite, key: Key, sender: Role, number: UInt64, header: [UInt8], _ ciphertext: [UInt8]
    ) throws(FunctionFailure) -> [UInt8]
    /// Octets that sealing adds.
    func sealingOctets(_ suite: ExchangeSuite) -> Int
}

/// What an exchange asks of who holds keys and knows whom to trust. Identities are bodies of Identification payloads.
package enum ExchangeQuestion<Key: Sendable>: Sendable {
    /// Our signature over the octets. Answered with octets.
    case sign(identity: [UInt8], octets: [UInt8])
    /// Whether the peer's signature is good. Answered with `holds`.
    case verify(identity: [UInt8], octets: [UInt8], signature: [UInt8])
    /// E{plaintext} with the public key of the identity. Answered with octets.
    case encrypt(identity: [UInt8], plaintext: Key)
    /// The plaintext, by our private key. Answered with a key.
    case decrypt(identity: [UInt8], ciphertext: [UInt8])
    /// The key that both hold. Answered with a key. `peer` is empty where the exchange wants a proof before the peer has
    /// named itself, as a responder's of Authentication Only (RFC 2408 §4.6): then the addresses name the key.
    case sharedKey(own: [UInt8], peer: [UInt8])
}

package enum ExchangeAnswer<Key: Sendable>: Sendable {
    case octets([UInt8])
    case key(Key)
    case holds
    /// A wrong signature, a ciphertext that cannot be read, no key for the identity.
    case refused
}

/// What one end of an exchange wants and accepts.
package struct ExchangePolicy<Key: Sendable>: Sendable {
    /// What an initiator offers, and what a responder accepts: a transform equal to one of these.
    package var offer: SecurityAssociationPayload?
    /// The end's own identities; it speaks as the first.
    package var identities: [[UInt8]]
    /// Whom an initiator wants to talk to.
    package var peerIdentity: [UInt8]?
    /// Whether a peer may be this one.
    package var accepts: @Sendable (_ identity: [UInt8]) -> Bool
    /// Values that an exchange is given.
    package var given: [Symbol: Value<Key>] = [:]
    /// The suite of the SA above, for exchanges that negotiate none.
    package var suite: ExchangeSuite?

    package init(
        offer: SecurityAssociationPayload?, identities: [[UInt8]], peerIdentity: [UInt8]? = nil,
        accepts: @escaping @Sendable (_ identity: [UInt8]) -> Bool
    ) {
        self.offer = offer
        self.identities = identities
        self.peerIdentity = peerIdentity
        self.accepts = accepts
    }
}
