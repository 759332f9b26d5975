/// How IKE messages and ESP packets stand in a stream (RFC 9329 §3, §4).
///
///     TCP originator:  "IKETCP"  frame frame …      TCP responder:  frame frame …
///
///      0                   1                   2                   3
///     +-------------------------------+-------------------------------+
///     |  Length, these 2 octets too   |  0 0 0 0 and an IKE message,  |
///     +-------------------------------+  or an ESP packet           … |
///     +---------------------------------------------------------------+
package struct StreamFraming: Sendable {
    /// What the originator's half begins with.
    package static let prefix = Array("IKETCP".utf8)
    package static let lengthOctets = 2
    /// What one frame takes at most, and so what a reader must have room for.
    package static let frameOctets = 65_535

    /// What stands at the head of what has come.
    package enum Step: Hashable, Sendable {
        /// The stream prefix, of so many octets.
        case prefix(Int)
        /// A frame of so many octets, its length's two among them.
        case frame(Int)
        /// More must come first.
        case incomplete
        /// No such stream: it has to be closed.
        case broken
    }

    private var awaitsPrefix: Bool

    /// The reader of what the other end sends; `fromOriginator` where that end opened the connection.
    package init(fromOriginator: Bool) { awaitsPrefix = fromOriginator }

    /// Judges the first `count` octets that were not taken yet. Whoever is told of a prefix or frame takes that much.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    package mutating func next(_ octets: UnsafeRawPointer, count: Int) -> Step {
        if awaitsPrefix {
            for index in 0..<min(count, Self.prefix.count)
            where octets.load(fromByteOffset: index, as: UInt8.self) != Self.prefix[index] {
                return .broken
            }
            guard count >= Self.prefix.count else { return .incomplete }
            awaitsPrefix = false
            return .prefix(Self.prefix.count)
        }
        guard count >= Self.lengthOctets else { return .incomplete }
        let length = Int(octets.bigEndian16(at: 0))
        // 0 and 1 are fatal (RFC 9329 §3).
        guard length >= Self.lengthOctets else { return .broken }
        return count >= length ? .frame(length) : .incomplete
    }
}
