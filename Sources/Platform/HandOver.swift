import Glibc
import Primitives
import Synchronization

/// Packets on their way from one worker to another: a ring of octets with one writer and one reader, of which neither
/// waits, allocates or locks.
final class PacketRing: Sendable {
    /// A packet that another worker received: its octets, which the reader may change until ``release()``, and what its
    /// outer headers said.
    struct Packet {
        var octets: UnsafeMutableRawPointer
        var count: Int
        var from: Endpoint
        var trafficClass: UInt8
    }

    private static let capacity = 1 << 20
    private static let lineOctets = 64
    /// In front of each packet: its length, traffic class and origin.
    private static let noteOctets = 128
    private static let originOffset = 16
    /// In place of a length: the rest of the memory's end is left out.
    private static let skips = -1

    // SAFETY: allocated in init, freed in deinit. Octets from `read` up to `written`, both counted without end, belong to the
    // reader and all others to the writer; the lengths in them are the writer's.
    nonisolated(unsafe) private let base: UnsafeMutableRawPointer
    private let written = Atomic<Int>(0)
    /// Keeps what the two threads write apart.
    private let gap: (Int, Int, Int, Int, Int, Int, Int, Int) = (0, 0, 0, 0, 0, 0, 0, 0)
    private let read = Atomic<Int>(0)
    // SAFETY: the reader's alone.
    nonisolated(unsafe) private var cursor = 0

    init() {
        precondition(MemoryLayout<Endpoint>.size <= Self.noteOctets - Self.originOffset, "an endpoint fits")
        base = .allocate(byteCount: Self.capacity, alignment: Self.lineOctets)
    }

    deinit { base.deallocate() }

    /// Copies a packet in. False where there is no room. The writer's alone.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    func put(_ packet: UnsafeRawPointer, count: Int, from: Endpoint, trafficClass: UInt8) -> Bool {
        let head = written.load(ordering: .relaxed)
        let needed = Self.noteOctets + Self.wholeLines(count)
        var offset = head & (Self.capacity - 1)
        let skipped = needed > Self.capacity - offset ? Self.capacity - offset : 0
        guard head + skipped + needed - read.load(ordering: .acquiring) <= Self.capacity else { return false }
        if skipped > 0 {
            base.storeBytes(of: Self.skips, toByteOffset: offset, as: Int.self)
            offset = 0
        }
        let note = base + offset
        note.storeBytes(of: count, as: Int.self)
        note.storeBytes(of: trafficClass, toByteOffset: 8, as: UInt8.self)
        (note + Self.originOffset).initializeMemory(as: Endpoint.self, repeating: from, count: 1)
        (note + Self.noteOctets).copyMemory(from: packet, byteCount: count)
        written.store(head + skipped + needed, ordering: .releasing)
        return true
    }

    /// Whether ``next()`` has a packet. The reader's alone.
    var hasNext: Bool { cursor != written.load(ordering: .acquiring) }

    /// The next packet; `nil` where there is none. The reader's alone.
    func next() -> Packet? {
        guard hasNext else { return nil }
        var offset = cursor & (Self.capacity - 1)
        var count = base.load(fromByteOffset: offset, as: Int.self)
        if count == Self.skips {
            cursor += Self.capacity - offset
            offset = 0
            count = base.load(as: Int.self)
        }
        let note = base + offset
        cursor += Self.noteOctets + Self.wholeLines(count)
        return Packet(
            octets: note + Self.noteOctets, count: count,
            from: (note + Self.originOffset).assumingMemoryBound(to: Endpoint.self).pointee,
            trafficClass: note.load(fromByteOffset: 8, as: UInt8.self))
    }

    /// Gives the memory of all packets that ``next()`` told of back to the writer. The reader's alone.
    func release() { read.store(cursor, ordering: .releasing) }

    private static func wholeLines(_ count: Int) -> Int { (count + lineOctets - 1) & ~(lineOctets - 1) }
}

/// The rings between the workers of one direction: a packet that came to one, but whose SA is another's, is handed over,
/// since one worker alone may touch an SA's numbers or its replay window.
final class HandOver: Sendable {
    let count: Int
    private let mailboxes: [Mailbox]
    private let rings: [PacketRing]

    init(_ mailboxes: [Mailbox]) {
        count = mailboxes.count
        self.mailboxes = mailboxes
        rings = mailboxes.count == 1 ? [] : (0..<mailboxes.count * mailboxes.count).map { _ in PacketRing() }
    }

    /// One worker's side.
    func desk(of worker: Int) -> Desk { Desk(self, worker) }

    /// What one worker does with the rings. Belongs to its thread.
    final class Desk {
        let worker: Int
        let count: Int
        private let all: HandOver
        // SAFETY: `all` keeps the rings for as long as this lives; without counting references, of which both threads would
        // write to one place.
        private let outgoing: [Unmanaged<PacketRing>]
        private let incoming: [Unmanaged<PacketRing>]
        /// Workers that were handed something since ``knock()``, a bit each.
        private var given: UInt = 0

        fileprivate init(_ all: HandOver, _ worker: Int) {
            let count = all.count
            self.all = all
            self.worker = worker
            self.count = count
            let isAlone = all.rings.isEmpty
            outgoing = isAlone ? [] : (0..<count).map { .passUnretained(all.rings[worker * count + $0]) }
            incoming = isAlone ? [] : (0..<count).map { .passUnretained(all.rings[$0 * count + worker]) }
        }

        /// Hands a packet to another worker, which ``knock()`` tells of it. False where it has no room.
        ///
        /// SAFETY: the caller vouches for `count` readable octets.
        func give(
            _ packet: UnsafeRawPointer, count: Int, to receiver: Int, from: Endpoint = Endpoint(.any(.v4), port: 0),
            trafficClass: UInt8 = 0
        ) -> Bool {
            let isTaken = outgoing[receiver]._withUnsafeGuaranteedRef {
                $0.put(packet, count: count, from: from, trafficClass: trafficClass)
            }
            // A full ring needs its reader as well.
            given |= 1 << UInt(receiver)
            return isTaken
        }

        /// Wakes the workers that were handed something.
        func knock() {
            guard given != 0 else { return }
            for receiver in 0..<count where given & 1 << UInt(receiver) != 0 { all.mailboxes[receiver].knock() }
            given = 0
        }

        /// Whether others have given anything.
        var hasReceived: Bool { incoming.contains { $0._withUnsafeGuaranteedRef { $0.hasNext } } }

        /// Hands what others have given to `take`, up to `most` packets of each. The packets stay where they are until
        /// ``release()``. False from `take` ends it. Whether there may be more.
        func receive(most: Int, _ take: (PacketRing.Packet) -> Bool) -> Bool {
            var mayHaveMore = false
            for ring in incoming {
                var number = 0
                while number < most, let packet = ring._withUnsafeGuaranteedRef({ $0.next() }) {
                    guard take(packet) else { return true }
                    number += 1
                }
                mayHaveMore = mayHaveMore || number == most
            }
            return mayHaveMore
        }

        /// Gives the memory of what was received back.
        func release() {
            for ring in incoming { ring._withUnsafeGuaranteedRef { $0.release() } }
        }
    }
}
