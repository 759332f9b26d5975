import IPsec
import ISAKMP
import Primitives

/// IKE fragmentation (RFC 7383): long messages cut before they are encrypted, each piece protected on its own.
enum Fragmentation {
    /// Octets of an IKE message that pass every path: IPv6's smallest MTU without the headers of IPv6, UDP and the
    /// non-ESP marker (RFC 7383 §2.5.1).
    static let messageOctets = 1280 - 40 - 8 - 4
    /// What every IPv4 host takes (RFC 791 §3.1), without the headers: what is tried where longer messages seem lost.
    static let smallestOctets = 576 - 20 - 8 - 4

    /// Octets of an IKE message in an IP packet of the configured size.
    static func limit(_ settings: EngineSettings, _ family: IPAddress.Family) -> Int {
        let header = family == .v4 ? 20 : 40
        return max(settings.fragmentOctets(family) - header - 8 - 4, smallestOctets - 40)
    }

    /// Cuts `plaintext` so that each piece with `overhead` fits; one piece where it fits whole.
    static func pieces(_ plaintext: [UInt8], overhead: Int, limit: Int, isAllowed: Bool) -> [[UInt8]] {
        let room = max(limit - overhead, 64)
        guard isAllowed, plaintext.count > room else { return [plaintext] }
        return stride(from: 0, to: plaintext.count, by: room).map {
            Array(plaintext[$0..<min($0 + room, plaintext.count)])
        }
    }
}

/// The how many-th piece of how many a message is (RFC 7383 §2.5).
struct FragmentPlace: Sendable {
    let number: Int
    let total: Int

    init(_ envelope: Payload) throws(Fault) {
        var reader = ByteReader(envelope.body)
        (number, total) = try Attempt.parsing { () throws(ParseError) in
            (Int(try reader.readUInt16()), Int(try reader.readUInt16()))
        }
    }
}

/// The pieces of one message that have come so far (RFC 7383 §2.6). Only authenticated pieces come here.
struct Reassembly: Sendable {
    /// More pieces than this belong to no message of ours or charon's, and would cost memory.
    static let maximumPieces = 64
    static let maximumOctets = 65_535

    private let messageID: UInt32
    private let isResponse: Bool
    private var first = PayloadType.none
    private var pieces: [[UInt8]?] = []
    private var octets = 0

    /// Begins with the message that `header` is of.
    init(_ header: Header) {
        messageID = header.messageID
        isResponse = header.flags.contains(.response)
    }

    /// Whether `header` is of the message that is put together here.
    func belongs(_ header: Header) -> Bool {
        messageID == header.messageID && isResponse == header.flags.contains(.response)
    }

    /// Takes a piece; returns the whole plaintext once none is missing.
    mutating func add(
        _ plaintext: [UInt8], _ envelope: Payload, first inner: PayloadType
    ) throws(Fault) -> (first: PayloadType, plaintext: [UInt8])? {
        let place = try FragmentPlace(envelope)
        let (number, total) = (place.number, place.total)
        guard number >= 1, number <= total, total <= Reassembly.maximumPieces else {
            throw .unexpected("fragment \(number) of \(total)")
        }
        if total > pieces.count {
            // A larger total means that the peer cut the message anew, into smaller pieces (RFC 7383 §2.6).
            octets = 0
            pieces = Array(repeating: nil, count: total)
        }
        guard total == pieces.count, pieces[number - 1] == nil else {
            throw .unexpected("fragment \(number) of \(total) does not fit or came before")
        }
        guard octets + plaintext.count <= Reassembly.maximumOctets else {
            throw .unexpected("the fragments are longer than a message may be")
        }
        pieces[number - 1] = plaintext
        octets += plaintext.count
        if number == 1 { first = inner }
        guard pieces.allSatisfy({ $0 != nil }) else { return nil }
        return (first, pieces.flatMap { $0 ?? [] })
    }
}
