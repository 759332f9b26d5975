import IPsec
import ISAKMP
import Primitives

/// Fragments of messages as Microsoft and Cisco devised them and others took over: no document describes them, so the
/// facts are those that peers agree in. A whole message, header included, is cut; each piece travels in a payload of
/// type 132 behind an ISAKMP header of its own.
///
///      0                   1                   2                   3
///     +---------------+---------------+-------------------------------+
///     | Next payload=0|   Reserved    |   Length (header included)    |
///     +---------------+---------------+---------------+---------------+
///     |          Fragment ID          |    Number     | Flags (1=last)|
///     +-------------------------------+---------------+---------------+
///     |                     Piece of the message                      |
///     +---------------------------------------------------------------+
///
/// Nothing protects a fragment by itself: what is collected is bounded, and the whole message is checked as any other.
enum VendorFragmentation {
    /// MD5("FRAGMENTATION").
    private static let hash: [UInt8] = [
        0x40, 0x48, 0xB7, 0xD5, 0x6E, 0xBC, 0xE8, 0x85, 0x25, 0xE7, 0xDE, 0x7F, 0x00, 0xD6, 0xC2, 0xD3,
    ]
    /// The hash, and the capability to take fragments of any exchange.
    static let vendorID: [UInt8] = hash + [0x80, 0, 0, 0]

    /// Peers differ in what follows the hash, if anything does.
    static func isAnnounced(by vendor: [UInt8]) -> Bool { vendor.starts(with: hash) }

    /// Octets of the longest message that is put together: far more than any certificate chain that peers send so.
    static let maximumOctets = 32_768
    private static let headOctets = 4
    private static let lastFlag: UInt8 = 1
    private static let markerOctets = 4
    private static let datagramHeaderOctets = 8

    /// Octets of a message that go in one packet of the size that `fragment_size` gives.
    static func room(_ family: IPAddress.Family, _ settings: EngineSettings) -> Int {
        settings.fragmentOctets(family) - (family == .v4 ? 20 : 40) - datagramHeaderOctets - markerOctets
    }

    /// The fragments of a message.
    static func fragments(_ message: [UInt8], room: Int) -> [[UInt8]] {
        let piece = room - Header.octetCount - Payload.headerOctets - headOctets
        guard piece > 0, message.count > room, message.count <= piece * 255 else { return [message] }
        var reader = ByteReader(message)
        guard let original = try? Header(from: &reader) else { return [message] }
        // The same message has the same number each time, so that fragments of repetitions complete each other.
        let id = UInt16(truncatingIfNeeded: message.reduce(UInt32(1)) { $0 &* 31 &+ UInt32($1) } >> 8)
        let count = (message.count + piece - 1) / piece
        return (0..<count).map { index in
            var body: [UInt8] = []
            body.append(bigEndian: id)
            body += [UInt8(index + 1), index + 1 == count ? lastFlag : 0]
            body += message[(index * piece)..<min(message.count, (index + 1) * piece)]
            // Peers look for fragments in phase 1's exchanges, whatever the whole message belongs to.
            let exchange: ExchangeType = original.exchange == .aggressive ? .aggressive : .identityProtection
            let header = Header(
                initiator: original.initiator, responder: original.responder, majorVersion: 1, exchange: exchange)
            return Message(header: header, payloads: [Payload(.fragment, body: body)]).octets
        }
    }

    /// One fragment, read.
    struct Fragment {
        var id: UInt16
        var number: UInt8
        var isLast: Bool
        var piece: [UInt8]

        init(_ octets: [UInt8]) throws(Fault) {
            self = try Attempt.parsing { () throws(ParseError) in try Fragment(parsing: octets) }
        }

        private init(parsing octets: [UInt8]) throws(ParseError) {
            var reader = ByteReader(octets[Header.octetCount...])
            let payloads = try PayloadChain.read(first: .fragment, from: &reader).payloads
            guard payloads.count == 1, reader.isAtEnd else {
                throw .invalid(offset: Header.octetCount, rule: "a fragment stands alone in its message")
            }
            var body = ByteReader(payloads[0].body[...])
            id = try body.readUInt16()
            number = try body.readUInt8()
            isLast = try body.readUInt8() & lastFlag != 0
            piece = Array(body.readRest())
            guard number > 0, !piece.isEmpty else {
                throw .invalid(offset: Header.octetCount, rule: "fragments are numbered from 1 and not empty")
            }
        }
    }

    /// The fragments of one message so far. Those of another message begin anew.
    struct Collection: Sendable {
        private var id: UInt16?
        private var pieces: [UInt8: [UInt8]] = [:]
        private var last: UInt8?
        private(set) var octets = 0

        init() {}

        var isEmpty: Bool { pieces.isEmpty }

        /// Takes a fragment in; gives the whole message when it was the last one missing.
        mutating func add(_ fragment: Fragment) throws(Fault) -> [UInt8]? {
            let isOther =
                id != fragment.id || pieces[fragment.number].map { $0 != fragment.piece } ?? false
                || fragment.isLast && last.map { $0 != fragment.number } ?? false
            if isOther { self = Collection() }
            guard octets + fragment.piece.count <= maximumOctets else {
                throw .dropped("the fragments are longer than a message may be")
            }
            id = fragment.id
            if pieces.updateValue(fragment.piece, forKey: fragment.number) == nil { octets += fragment.piece.count }
            if fragment.isLast { last = fragment.number }
            guard let last, pieces.count == Int(last), !pieces.keys.contains(where: { $0 > last }) else { return nil }
            let message = (1...last).flatMap { pieces[$0] ?? [] }
            self = Collection()
            return message
        }
    }
}

/// What a session knows of fragments.
struct FragmentationState: Sendable {
    /// The peer has announced that it takes them.
    var peerTakes = false
    var collection = VendorFragmentation.Collection()
}

extension IKEv1Session {
    /// A fragment: kept until its message is whole, which is then taken like any other.
    mutating func receiveFragment(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard connection?.fragmentation != .no else { throw .dropped("fragments are not taken here") }
        guard phase.isFresh || header.initiator.value == initiatorCookie else {
            throw .dropped("the cookies are another SA's")
        }
        // A responder that has nothing but fragments waits for the rest no longer than for an answer.
        if phase.isFresh, !isInitiator, fragmentation.collection.isEmpty {
            context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        }
        guard let message = try fragmentation.collection.add(VendorFragmentation.Fragment(datagram.octets)) else {
            return
        }
        var reader = ByteReader(message)
        let whole = try Attempt.parsing { () throws(ParseError) in try Header(from: &reader) }
        guard whole.nextPayload != .fragment, whole.initiator == header.initiator,
            whole.responder == header.responder
        else { throw .dropped("the message in the fragments is not theirs") }
        try receive(Datagram(local: datagram.local, remote: datagram.remote, octets: message), &context)
    }

    /// Cuts the messages among the effects that are too long for a packet, where the peer takes fragments or must.
    func fragmented(_ effects: [SessionEffect], _ settings: EngineSettings) -> [SessionEffect] {
        let mode = connection?.fragmentation ?? .yes
        let isDue: Bool =
            switch mode {
            case .force: true
            case .yes: fragmentation.peerTakes
            case .accept, .no: false
            }
        let room = VendorFragmentation.room(local.address.family, settings)
        guard isDue, effects.contains(where: { $0.sentOctets > room }) else { return effects }
        return effects.flatMap { effect -> [SessionEffect] in
            guard case .send(let datagram) = effect, datagram.octets.count > room else { return [effect] }
            return VendorFragmentation.fragments(datagram.octets, room: room).map {
                .send(Datagram(local: datagram.local, remote: datagram.remote, octets: $0))
            }
        }
    }
}

extension SessionEffect {
    fileprivate var sentOctets: Int {
        if case .send(let datagram) = self { return datagram.octets.count }
        return 0
    }
}
