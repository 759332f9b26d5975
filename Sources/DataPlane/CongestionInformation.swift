/// What a payload with congestion control says beside its packets (RFC 9347 §6.1.2), at its beginning:
///
/// ```
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +---------------+-----------+-+-+-------------------------------+
/// |  Sub-type (1) | Reserved  |P|E|          BlockOffset          |
/// +---------------+-----------+-+-+-------------------------------+
/// |                         LossEventRate                         |
/// +-------------------------------------------+-------------------+
/// |                  RTT (22)                 |    Echo Delay     |
/// +---------------------+---------------------+-------------------+
/// |   Echo Delay (21)   |             Transmit Delay (21)         |
/// +---------------------+-----------------------------------------+
/// |                             TVal                              |
/// +---------------------------------------------------------------+
/// |                             TEcho                             |
/// +---------------------------------------------------------------+
/// ```
///
/// Times are in microseconds, and their largest values mean so much or more.
package struct CongestionInformation: Equatable, Sendable {
    package static let octets = AggregatedPayload.congestionHeaderOctets
    private static let probingBit: UInt8 = 2
    private static let marksBit: UInt8 = 1
    private static let mostRoundTrip: UInt64 = 0x3F_FFFF
    private static let mostDelay: UInt64 = 0x1F_FFFF

    /// P: packets are missing because the sender measures the path, which is no congestion.
    package var isProbing = false
    /// E: marks of congestion (RFC 3168) are part of the loss event rate.
    package var countsMarks = false
    /// The inverse of the loss event rate that the sender sees, in packets; 0 without a loss.
    package var packetsPerLoss: UInt32 = 0
    /// The sender's estimate; 0 before there is one.
    package var roundTrip: UInt64 = 0
    /// What passed between the arrival of the value that is echoed and this.
    package var echoDelay: UInt64 = 0
    /// Between two packets of the sender's.
    package var transmitDelay: UInt64 = 0
    /// Something to be echoed.
    package var value: UInt32 = 0
    /// What the peer said last.
    package var echo: UInt32 = 0

    package init() {}

    /// Reads a payload's header; `nil` for another sub-type, or too few octets.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    package init?(_ payload: UnsafeRawPointer, _ count: Int) {
        guard count >= Self.octets, payload.load(as: UInt8.self) == AggregatedPayload.congestionType else { return nil }
        let flags = payload.load(fromByteOffset: 1, as: UInt8.self)
        isProbing = flags & Self.probingBit != 0
        countsMarks = flags & Self.marksBit != 0
        packetsPerLoss = payload.bigEndian32(at: 4)
        let times = UInt64(payload.bigEndian32(at: 8)) << 32 | UInt64(payload.bigEndian32(at: 12))
        roundTrip = times >> 42
        echoDelay = times >> 21 & Self.mostDelay
        transmitDelay = times & Self.mostDelay
        value = payload.bigEndian32(at: 16)
        echo = payload.bigEndian32(at: 20)
    }

    /// Writes all but the sub-type and the block offset.
    ///
    /// SAFETY: the caller vouches for ``octets`` writable ones.
    package func write(to payload: UnsafeMutableRawPointer) {
        let flags = (isProbing ? Self.probingBit : 0) | (countsMarks ? Self.marksBit : 0)
        payload.storeBytes(of: flags, toByteOffset: 1, as: UInt8.self)
        payload.store(bigEndian: packetsPerLoss, at: 4)
        let times =
            min(roundTrip, Self.mostRoundTrip) << 42 | min(echoDelay, Self.mostDelay) << 21
            | min(transmitDelay, Self.mostDelay)
        payload.store(bigEndian: UInt32(times >> 32), at: 8)
        payload.store(bigEndian: UInt32(truncatingIfNeeded: times), at: 12)
        payload.store(bigEndian: value, at: 16)
        payload.store(bigEndian: echo, at: 20)
    }
}
