import Cryptography
import IPsec
import ISAKMP
import Primitives

/// One IKE SA with its keys and its message windows (RFC 7296 §2.3): requests of ours outstanding, as many as the peer
/// takes, and the last of the peer's answered from memory.
struct IKESA: Sendable {
    /// What becomes of an SA that is not, or no longer, the one in use.
    enum Role: Hashable, Sendable {
        case current
        /// The peer made it while our own rekeying was under way: nonces will decide (RFC 7296 §2.8.2).
        case candidate
        /// Replaced or redundant; somebody's Delete ends it.
        case replaced
        /// Deleted; kept only to answer the Delete again.
        case deleted
    }

    var initiatorSPI: UInt64
    var responderSPI: UInt64
    /// Whether we are its original initiator: the flag of RFC 7296 §3.1.
    var isInitiator: Bool
    var suite: Suite
    var keys: IKEKeys
    var role = Role.current
    /// The next explicit IV of an AEAD; starts at random, so that it tells nothing about the traffic.
    var nextIV: UInt64
    var nextRequestID: UInt32 = 0
    var expectedRequestID: UInt32 = 0
    /// Requests of ours that await their responses, the oldest first.
    var pending: [PendingRequest] = []
    /// The last responses, the oldest first, for requests that come again.
    var answered: [AnsweredRequest] = []
    /// How many requests of ours the peer takes at once, and how many of the peer's we said that we take.
    var peerWindow: UInt32 = 1
    var ownWindow: UInt32 = 1
    var hasAnnouncedWindow = false
    /// What the peer would show had it lost the SA (RFC 6290); empty where it gave none.
    var peerToken: [UInt8] = []
    /// Messages of which pieces are missing.
    var fragments: [Reassembly] = []
    var peerTakesFragments: Bool
    /// Octets of the longest message that is known to pass (RFC 7383 §2.5.2).
    var pathLimit = Int.max

    /// Hands the keys out where the settings say so.
    func disclose(_ context: inout Context) {
        if context.settings.disclosesKeys { context.emit(.disclose(disclosed)) }
    }

    /// Its keys, for who may have them.
    var disclosed: DisclosedKeys {
        func material(initiator: Bool) -> KeyMaterial {
            KeyMaterial(
                encryption: keys.encryption(suite, initiator: initiator),
                integrity: keys.integrity(suite, initiator: initiator))
        }
        return DisclosedKeys(
            version: 2, initiatorSPI: initiatorSPI, responderSPI: responderSPI, suite: suite,
            initiator: material(initiator: true), responder: material(initiator: false))
    }

    var ownSPI: UInt64 { isInitiator ? initiatorSPI : responderSPI }

    func header(_ exchange: ExchangeType, messageID: UInt32, isResponse: Bool) -> Header {
        var flags: HeaderFlags = isInitiator ? [.initiator] : []
        if isResponse { flags.insert(.response) }
        return Header(
            initiator: Cookie(initiatorSPI), responder: Cookie(responderSPI), majorVersion: 2, exchange: exchange,
            flags: flags, messageID: messageID)
    }

    /// The datagrams of a protected message: one, or several where it is long and the peer takes fragments.
    mutating func seal(
        _ exchange: ExchangeType, messageID: UInt32, isResponse: Bool, _ payloads: [Payload],
        _ randomness: inout Randomness, limit: Int = Fragmentation.messageOctets
    ) throws(Fault) -> [[UInt8]] {
        var plaintext: [UInt8] = []
        PayloadChain.write(payloads, to: &plaintext)
        let header = header(exchange, messageID: messageID, isResponse: isResponse)
        let protection = Protection(suite: suite, keys: keys, fromInitiator: isInitiator)
        let first = payloads.first?.type ?? .none
        let pieces = Fragmentation.pieces(
            plaintext, overhead: protection.overhead, limit: limit == .max ? limit : min(limit, pathLimit),
            isAllowed: peerTakesFragments)
        var datagrams: [[UInt8]] = []
        for (index, piece) in pieces.enumerated() {
            let number = UInt16(truncatingIfNeeded: index + 1)
            let fragment = pieces.count == 1 ? nil : (number: number, total: UInt16(truncatingIfNeeded: pieces.count))
            datagrams.append(
                try protection.seal(
                    header, first: index == 0 ? first : .none, piece, fragment: fragment, iv: takeIV(&randomness)))
        }
        return datagrams
    }

    private mutating func takeIV(_ randomness: inout Randomness) -> [UInt8] {
        // Counter modes want IVs that never repeat (RFC 5282 §3.1, RFC 5930 §2.2), CBC such as nobody foresees.
        guard suite.encryption.id.isAEAD || suite.encryption.id == .aesCTR else {
            return randomness.octets(suite.encryption.id.ivOctets)
        }
        var iv: [UInt8] = []
        iv.append(bigEndian: nextIV)
        nextIV &+= 1
        return iv
    }

    /// The clear payloads and the opened ones of a protected message; `nil` while fragments are missing.
    ///
    /// - Throws: `unauthentic` and `unexpected` without effect; other faults come from an authenticated message.
    mutating func open(_ message: [UInt8], _ header: Header) throws(Fault) -> OpenedMessage? {
        var reader = ByteReader(message[Header.octetCount...])
        let clear: [Payload]
        let inner: PayloadType
        do throws(ParseError) {
            (clear, inner) = try PayloadChain.read(
                first: header.nextPayload, terminal: [.encrypted, .encryptedFragment], from: &reader)
        } catch {
            throw .unexpected("not a chain of payloads: \(error)")
        }
        guard let envelope = clear.last, reader.isAtEnd,
            envelope.type == .encrypted || envelope.type == .encryptedFragment
        else { throw .unexpected("the message is not protected") }
        let isFragment = envelope.type == .encryptedFragment
        let protection = Protection(suite: suite, keys: keys, fromInitiator: !isInitiator)
        let plaintext = try protection.open(message, bodyStart: envelope.bodyOffset, isFragment: isFragment)
        if !isFragment {
            fragments.removeAll { $0.belongs(header) }
            return try OpenedMessage(clear: clear.dropLast(), first: inner, plaintext: plaintext)
        }
        // A peer that cuts shorter than we do knows the path better.
        if let box = try? FragmentPlace(envelope), box.number < box.total {
            pathLimit = min(pathLimit, max(message.count, Fragmentation.smallestOctets))
        }
        let index = fragments.firstIndex { $0.belongs(header) }
        var reassembly = index.map { fragments[$0] } ?? Reassembly(header)
        let whole = try reassembly.add(plaintext, envelope, first: inner)
        guard let whole else {
            if let index { fragments[index] = reassembly } else { begin(reassembly) }
            return nil
        }
        if let index { fragments.remove(at: index) }
        return try OpenedMessage(clear: clear.dropLast(), first: whole.first, plaintext: whole.plaintext)
    }

    /// No more messages are put together at once than the windows let under way; the oldest gives way.
    private mutating func begin(_ reassembly: Reassembly) {
        if fragments.count >= Int(ownWindow) + pending.count { fragments.removeFirst() }
        fragments.append(reassembly)
    }

    /// Whether a repeated request is authentic. Its content was dealt with before.
    func isAuthentic(_ message: [UInt8], _ header: Header, _ keys: IKEKeys) -> Bool {
        var copy = self
        copy.keys = keys
        copy.fragments = []
        do throws(Fault) {
            _ = try copy.open(message, header)
            return true
        } catch {
            if case .malformed = error { return true }
            return false
        }
    }
}

/// A protected message, authenticated and decrypted.
struct OpenedMessage: Sendable {
    var clear: [Payload]
    var inner: [Payload]
    /// The type of the first payload inside, and the octets of all of them.
    var first: PayloadType
    var plaintext: [UInt8]

    init(clear: some Sequence<Payload>, first: PayloadType, plaintext: [UInt8]) throws(Fault) {
        self.clear = Array(clear)
        self.first = first
        self.plaintext = plaintext
        var reader = ByteReader(plaintext)
        inner = try Attempt.parsing { () throws(ParseError) in
            try PayloadChain.read(first: first, from: &reader).payloads
        }
    }
}

/// A request of ours that awaits its response.
struct PendingRequest: Sendable {
    var messageID: UInt32
    var type: ExchangeType
    var datagrams: [[UInt8]]
    /// What it holds, to be cut anew.
    var payloads: [Payload]
    /// How often it was sent again.
    var attempt = 0
    var exchange: Exchange
}

/// A response of ours, kept until its request cannot come again (RFC 7296 §2.3).
struct AnsweredRequest: Sendable {
    var messageID: UInt32
    var datagrams: [[UInt8]]
    /// The SA's keys when it was answered: the request comes again under the same.
    var keys: IKEKeys
}

/// A value that lives behind one reference, so that an SA without it stays small.
final class Boxed<Value: Sendable>: Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
