/// Memory for packets that must be written anew (decompressed, or with an IP header in front) and then stay until the
/// batch that they came in has been written. Allocated once; owned by one worker.
final class PacketArena {
    /// The most that one packet takes.
    static let packetOctets = 65_536 + 64
    private static let capacity = 1 << 20

    // SAFETY: allocated in init, freed in deinit; what `next` names is valid until `reset()`.
    private let base: UnsafeMutableRawPointer
    private var used = 0

    init() {
        base = .allocate(byteCount: Self.capacity, alignment: 64)
        base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.capacity)
    }

    deinit { base.deallocate() }

    /// Whether ``next`` has room for a packet and another.
    var hasRoom: Bool { used + 2 * Self.packetOctets <= Self.capacity }

    /// Where the next packet may be written, ``packetOctets`` long at most.
    var next: UnsafeMutableRawPointer { base + used }

    /// Keeps the first `count` octets of ``next``.
    func keep(_ count: Int) { used += (count + 63) & ~63 }

    /// Forgets all packets.
    func reset() { used = 0 }
}
