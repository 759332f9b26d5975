import Primitives

/// The ports of packets whose first fragments passed lately, so that later fragments, which show none, can be held to the
/// same policy (RFC 4301 §7.3). A fragment that overtakes the first one finds nothing, and a table that is full forgets.
struct FragmentTable {
    private struct Slot {
        var flow: Flow
        var identification: UInt32
        var seen: Instant
    }

    private static let slotCount = 256
    /// Receivers wait about as long for the rest of a packet.
    static let lifetime = Duration.seconds(30)

    private var slots: [Slot?] = Array(repeating: nil, count: slotCount)

    /// Notes a first fragment, whose ports can be seen.
    mutating func note(_ view: PacketView, _ now: Instant) {
        slots[FragmentTable.place(view)] = Slot(flow: view.flow, identification: view.identification, seen: now)
    }

    /// The flow of the packet that a later fragment belongs to.
    func flow(of view: PacketView, _ now: Instant) -> Flow? {
        guard let slot = slots[FragmentTable.place(view)], slot.identification == view.identification,
            slot.flow.family == view.flow.family, slot.flow.source == view.flow.source,
            slot.flow.destination == view.flow.destination,
            // In IPv6 other headers may stand before the protocol's, in the first fragment alone (RFC 8200 §4.5).
            view.flow.family == .v6 || slot.flow.ipProtocol == view.flow.ipProtocol,
            now - slot.seen <= FragmentTable.lifetime
        else { return nil }
        return slot.flow
    }

    private static func place(_ view: PacketView) -> Int {
        var key = view.flow
        (key.ipProtocol, key.sourcePort, key.destinationPort) = (0, 0, 0)
        let hash = (key.slotHash ^ UInt64(view.identification)) &* 0x9E37_79B9_7F4A_7C15
        return Int(truncatingIfNeeded: hash >> 32) & (slotCount - 1)
    }
}
