import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives

/// Phase 1 under way, in Main Mode or Aggressive Mode.
struct Negotiation: Sendable {
    var exchange: Exchange
    /// The body of the initiator's SA payload: SAi_b.
    var offer: [UInt8] = []
    /// Connections that a responder may still choose among.
    var candidates: [Connection] = []
    /// The transform that was chosen.
    var transform: TransformPayload?
    var keyPair: KeyPair?
    var ownNonce: [UInt8] = []
    var peerNonce: [UInt8] = []
    var peerPublicValue: [UInt8] = []
    /// How the ends prove who they are.
    var method = PhaseOneMethod.preSharedKey
    /// The open question, and what it is for.
    var question: QuestionID?
    var purpose: Purpose?
    /// The halves of SKEME's shared key: nonces that travel encrypted (RFC 2409 §5.2, §5.3).
    var ownHalf: Secret?
    var peerHalf: Secret?
    /// SKEYID and what is derived from it.
    var seed: Secret?
    var keys: PhaseOneKeys?
    var chain: CipherChain?
    /// The IV before our message 5 of Main Mode, for a peer that says something without having taken that.
    var earlierIV: [UInt8]?
    /// A message that waits for SKEYID: message 5 of Main Mode, message 2 of Aggressive Mode.
    var early: Datagram?
    /// The bodies of both ID payloads, where they are said before SKEYID is known.
    var ownIdentityBody: [UInt8] = []
    var peerIdentityBody: [UInt8] = []
    /// What of Aggressive Mode's message 2 holds the responder's half of the key, until that is sent.
    var halfPayloads: [Payload] = []
    /// The SA payload of a responder's message 2, until that is sent.
    var choice: Payload?
    /// A responder's peer that has proved who it is, and the payloads that came with the proof, until the responder has
    /// proved itself.
    var authenticated: PeerAuthenticated?
    var provedWith: [Payload] = []
    /// Names in DER of the authorities that the peer asks for.
    var wantedAuthorities: [[UInt8]] = []
    /// CERT payloads that go with our own signature.
    var ownCertificates: [Payload] = []
    /// How often our last message went out again.
    var attempts = 0
    /// The digest of the last message that should have proved the peer's identity and did not hold.
    var unreadable: [UInt8]?
    /// What most likely keeps phase 1 from ending.
    var failure: Refusal?
    var supportsDeadPeerDetection = false

    init(_ description: ExchangeDescription, role: Role) { exchange = Exchange(description, role: role) }

    /// What an open question is for.
    enum Purpose: Sendable {
        case seed
        /// The signature of our own message.
        case signing
        /// Whether a message's signature is the peer's.
        case verifying(Received)
        /// Our half of the key, and maybe our identity, encrypted for the peer.
        case encrypting
        /// The peer's.
        case decrypting(Received)
    }

    /// A message that is looked at.
    struct Received: Sendable {
        var datagram: Datagram
        var payloads: [Payload]
        /// Who the peer says it is.
        var peer: Identity?
        /// The IVs as they stand behind an encrypted message.
        var chain: CipherChain?
        /// Why it proves nothing, where that is known.
        var judgement: Refusal?
    }

    var isAggressive: Bool { exchange.description.type == .aggressive }
    var isBase: Bool { exchange.description.type == .base }

    /// The exchange of this mode as an authentication method draws it; Base Mode has one form.
    func figure(of method: PhaseOneMethod) -> ExchangeDescription {
        if isBase { return Exchanges.baseMode }
        return isAggressive ? Exchanges.aggressiveMode(method) : Exchanges.mainMode(method)
    }

    /// Octets of a nonce (RFC 2409 §5: 8 to 256).
    static let nonceOctets = 32
    static let nonceRange = 8...256
}

/// An ISAKMP SA: what outlives its negotiation.
struct PhaseOne: Sendable {
    var keys: PhaseOneKeys
    /// The last ciphertext block of phase 1, from which phase 2 makes its IVs.
    var lastBlock: [UInt8]
    var peer: PeerAuthenticated
    /// Phase 1's exchange, to repeat its last message; `nil` once that cannot be asked for any more.
    var finished: Exchange?
    var supportsDeadPeerDetection: Bool
    /// How often phase 1's last message went out again unasked.
    var attempts = 0
    /// Message IDs of the Quick Modes that the peer began, so that none can be played again (RFC 2408 §5.1 knows a replay
    /// by its state only).
    var spentMessageIDs: [UInt32] = []

    /// More Quick Modes than this a peer does not begin on one ISAKMP SA; a year of rekeying every hour takes twice as
    /// many, but no ISAKMP SA lives that long.
    static let maximumMessageIDs = 4096
}
