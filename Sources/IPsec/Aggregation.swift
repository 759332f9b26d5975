/// How inner packets share the payloads of one SA and are cut over them (RFC 9347).
package struct Aggregation: Hashable, Sendable {
    /// Octets of outer IP packets; 0 for what the path takes.
    package var packetOctets = 0
    /// Inner packets go whole: the peer takes no fragments, or we send none.
    package var keepsWhole = false
    /// Whether we take fragments; otherwise the peer is told to send none.
    package var takesFragments = true
    /// Packets a second, full ones, whatever there is to carry; 0: as packets come, and as large as they make them.
    package var packetRate = 0
    /// Octets of inner packets that may wait for their turn where there is a rate.
    package var queueOctets = 1 << 20
    /// How many payloads may overtake one before the fragments next to it are given up, 0 to 255.
    package var reorderWindow = 3
    /// How long payloads that overtook another wait for it, so that packets come out in the order in which they were sent;
    /// zero: nothing waits, but for the parts of packets that were cut.
    package var dropTime = Duration.zero
    /// How long a payload that is not full waits for more packets, where there is no rate; zero: for those alone that are there
    /// already.
    package var initialDelay = Duration.zero

    /// The peer shall tell what the path does, and the rate keeps to it, up to ``packetRate`` (RFC 9347 §2.4.2).
    package var controlsCongestion = false
    /// The peer asked for the same.
    package var reportsCongestion = false

    /// Whether payloads say what the path does: what an end asks for takes headers in both directions, since a round trip is
    /// measured with them.
    package var tellsOfCongestion: Bool { controlsCongestion || reportsCongestion }

    package init() {}
}
