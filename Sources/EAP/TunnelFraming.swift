import Primitives

/// TLS messages in the packets of EAP-TLS (RFC 5216 §2.1.5, §3.1), EAP-TTLS (RFC 5281 §9.1) and PEAP, which cut them alike.
///
///      0                   1                   2                   3
///     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///     |   Flags       |   TLS Message Length (where L is set)
///     +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
///     |               |   TLS data...
///     +-+-+-+-+-+-+-+-+
///
/// One end says its message in fragments, each acknowledged by an empty packet of the other.
struct TunnelFraming: Sendable {
    /// The length is included.
    static let lengthFlag: UInt8 = 0x80
    static let moreFlag: UInt8 = 0x40
    static let startFlag: UInt8 = 0x20
    /// EAP-TTLS and PEAP: the version, 0 here. EAP-TLS has reserved bits there.
    static let versionMask: UInt8 = 0x07
    /// Octets of TLS in a packet of ours: together with IKE's they fit where every path lets through.
    static let fragmentOctets = 1024
    /// Octets of a whole message of the other end's: a few certificates.
    static let maximumMessage = 64 * 1024

    enum Arrival: Equatable, Sendable {
        /// The server's first packet; clients alone get it.
        case start
        /// No data: the next fragment may go, or the other end has nothing to say.
        case acknowledgement
        /// More fragments of the message are to come: this one is to be acknowledged.
        case part
        case message([UInt8])
    }

    private var size: Int
    private var outgoing: [UInt8] = []
    private var sent = 0
    private var incoming: [UInt8] = []
    private var announced: Int?

    init(fragmentOctets: Int = TunnelFraming.fragmentOctets) { size = max(1, fragmentOctets) }

    /// Whether a message of ours is not yet wholly sent.
    var hasMore: Bool { sent < outgoing.count }

    /// A packet's data without anything in it.
    static let empty: [UInt8] = [0]
    static let start: [UInt8] = [startFlag]

    /// Takes a message to send; ``next()`` gives its fragments.
    mutating func put(_ message: [UInt8]) {
        outgoing = message
        sent = 0
    }

    /// The data of the next packet: the next fragment, or nothing.
    mutating func next() -> [UInt8] {
        guard hasMore else { return Self.empty }
        let end = min(sent + size, outgoing.count)
        var flags: UInt8 = 0
        var head: [UInt8] = []
        if sent == 0, end < outgoing.count {
            flags |= Self.lengthFlag
            head = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: outgoing.count >> $0) }
        }
        if end < outgoing.count { flags |= Self.moreFlag }
        let data = [flags] + head + outgoing[sent..<end]
        sent = end
        if !hasMore { put([]) }
        return data
    }

    /// Takes the data of a packet of the other end's.
    ///
    /// - Throws: where it breaks the rules of fragments, or the message would be too long.
    mutating func take(_ data: [UInt8]) throws(ParseError) -> Arrival {
        var reader = ByteReader(data)
        let flags = try reader.readUInt8()
        var length: Int?
        if flags & Self.lengthFlag != 0 { length = Int(try reader.readUInt32()) }
        let octets = Array(reader.readRest())
        if flags & Self.startFlag != 0 {
            (incoming, announced) = ([], nil)
            put([])
            return .start
        }
        if octets.isEmpty, flags & Self.moreFlag == 0, incoming.isEmpty { return .acknowledgement }
        guard !octets.isEmpty, !hasMore else {
            throw .invalid(
                offset: 0, rule: "a fragment is acknowledged before another is sent (RFC 5216 §2.1.5)")
        }
        // Of several fragments the first one says the length; some say it in each.
        if let length {
            guard announced == nil || announced == length else {
                throw .invalid(
                    offset: 1, rule: "the length of a TLS message stays the same (RFC 5216 §3.1)")
            }
            announced = length
        }
        incoming += octets
        guard incoming.count <= min(announced ?? Self.maximumMessage, Self.maximumMessage),
            announced ?? 0 <= Self.maximumMessage
        else {
            throw .invalid(
                offset: 1, rule: "a TLS message is as long as it says, and \(Self.maximumMessage) at most")
        }
        if flags & Self.moreFlag != 0 { return .part }
        guard announced ?? incoming.count == incoming.count else {
            throw .invalid(offset: 1, rule: "a TLS message is as long as it says (RFC 5216 §3.1)")
        }
        defer { (incoming, announced) = ([], nil) }
        return .message(incoming)
    }
}
