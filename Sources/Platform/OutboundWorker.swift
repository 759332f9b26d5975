import CPlatform
import DataPlane
import Glibc
import IPsec
import Primitives

/// The thread that takes packets from the tunnel device to the wire. Everything in it is its own; buffers are allocated
/// once.
///
/// 1. Read a packet, or a TCP packet of many segments.
/// 2. Find its SA. Where that is another worker's, hand the packet over.
/// 3. Copy it (or each segment of it) to its place in the batch, with room for ESP around.
/// 4. Seal it there.
/// 5. Send the batch, one system call for packets of equal size to one peer.
final class OutboundWorker {
    /// The kernel's limit for one segmented send, and what fits into a UDP datagram over either IP.
    private static let maximumSegments = 64
    static let maximumOctets = 65_000
    private static let readOctets = OffloadHeader.octets + 65_536
    /// Reads before the device's descriptor is looked at anew, so that a flood cannot hold a batch back.
    private static let readsAtOnce = 64
    /// Packets that each other worker may have handed over, likewise.
    private static let handOversAtOnce = 64

    let plane: OutboundPlane
    private let mailbox: Mailbox
    private let desk: HandOver.Desk
    private let tunnel: TunnelDevice
    /// The worker's queue of the device.
    private let queue: Int32
    private let sockets: SocketSet
    private let streams: StreamSet
    private let sender: ExchangeSender
    let drops: DropCounters
    private let prefixOctets: Int

    // SAFETY: allocated in init, freed in deinit, used by this worker's thread alone.
    private let readBuffer: UnsafeMutableRawPointer
    private let arena: UnsafeMutableRawPointer
    /// For packets that are not sealed where they are sent from, and what they become.
    let scratch: UnsafeMutableRawPointer
    private static let scratchOctets = 65_536
    private static let wrapOctets = OutboundAssociation.wrapOctets(65_536)
    /// The head of the batch, and room for what is said of it.
    private let notice: UnsafeMutableRawPointer
    private static let noticeOctets = 512
    /// What TCP's segments are kept below.
    private var segmentLimit: Int
    private let mark: UInt32

    // The batch: packets of `segment` octets back to back; a shorter one ends it.
    private var association: OutboundAssociation?
    private var segment = 0
    private var used = 0
    private(set) var packets = 0
    private var trafficClass: UInt8 = 0
    private var forbidsFragments = false
    /// The first packet of the batch, as far as its sender must be told of it.
    var head: PacketView?
    private var headOctets = 0
    private var isClosed = false
    /// SAs that have begun a payload which waits for more packets, perhaps for longer than a batch.
    var begun: [OutboundAssociation] = []
    /// SAs that send at a constant rate.
    var paced: [(association: OutboundAssociation, pace: Pace)] = []
    /// SAs without a rate whose peers are told what the path does.
    var reporting: [OutboundAssociation] = []

    init(
        mailbox: Mailbox, desk: HandOver.Desk, tunnel: TunnelDevice, mtu: Int, mark: UInt32, sockets: SocketSet,
        streams: StreamSet, sender: ExchangeSender, drops: DropCounters,
        report: @escaping @Sendable (PlaneEvent) -> Void
    ) {
        plane = OutboundPlane(drops: drops, worker: desk.worker, report: report)
        segmentLimit = mtu
        self.mark = mark
        notice = .allocate(byteCount: Self.noticeOctets, alignment: 16)
        notice.initializeMemory(as: UInt8.self, repeating: 0, count: Self.noticeOctets)
        self.mailbox = mailbox
        self.desk = desk
        queue = tunnel.descriptors[desk.worker]
        self.tunnel = tunnel
        self.sockets = sockets
        self.streams = streams
        self.sender = sender
        self.drops = drops
        prefixOctets = tunnel.interface == nil ? 0 : OffloadHeader.octets
        readBuffer = .allocate(byteCount: Self.readOctets, alignment: 64)
        arena = .allocate(byteCount: 2 * 65_536, alignment: 64)
        // Octets that are sent were all written before; this is for the sanitizers and for calm.
        arena.initializeMemory(as: UInt8.self, repeating: 0, count: 2 * 65_536)
        scratch = .allocate(byteCount: Self.scratchOctets + Self.wrapOctets, alignment: 64)
        scratch.initializeMemory(as: UInt8.self, repeating: 0, count: Self.scratchOctets + Self.wrapOctets)
    }

    deinit {
        readBuffer.deallocate()
        arena.deallocate()
        scratch.deallocate()
        notice.deallocate()
    }

    func run() {
        var descriptors = [mailbox.wakeup.descriptor, queue]
        var ready: [UInt8] = [0, 0]
        // A device that somebody deleted is ready for ever; the worker then serves its mailbox alone.
        var count: UInt32 = 2
        var hasMore = false
        while true {
            var patience = Patience()
            if hasMore { patience.limit(.zero) }
            if !paced.isEmpty { patience.limit(.milliseconds(1)) }
            if !reporting.isEmpty { patience.limit(.milliseconds(20)) }
            if !begun.isEmpty { patience.limit(untilFinished) }
            guard parley_wait(&descriptors, &ready, count, patience.nanoseconds) >= 0 else { return }
            if ready[0] != 0 { mailbox.wakeup.clear() }
            guard applyChanges() else { return }
            if desk.count > 1 {
                guard let rest = takeHandedOver() else { return }
                hasMore = rest
            }
            if !paced.isEmpty { keepPace() }
            if !reporting.isEmpty { report() }
            guard count == 2, ready[1] != 0 else {
                finishBegun()
                flush()
                continue
            }
            let now = Clock.now()
            for _ in 0..<Self.readsAtOnce {
                let octets = parley_read(queue, readBuffer, Self.readOctets)
                guard octets > 0 else {
                    if octets != -Int(EAGAIN) { count = 1 }
                    break
                }
                guard applyChanges() else { return }
                take(readBuffer, octets, now: now)
            }
            finishBegun()
            flush()
            desk.knock()
        }
    }

    /// Takes what other workers have read for SAs of this one. Whether there may be more; `nil` where the worker should
    /// stop.
    private func takeHandedOver() -> Bool? {
        mailbox.answer()
        guard desk.hasReceived else { return false }
        let now = Clock.now()
        var goesOn = true
        let mayHaveMore = desk.receive(most: Self.handOversAtOnce) { packet in
            // The SA that it is for was posted here before anybody could hand a packet over for it.
            goesOn = applyChanges()
            if goesOn { take(packet.octets, packet.count, now: now) }
            return goesOn
        }
        finishBegun()
        flush()
        desk.release()
        desk.knock()
        return goesOn ? mayHaveMore : nil
    }

    /// Hands a packet behind its offload header to the worker whose SA it is for.
    private func handOver(_ read: UnsafeRawPointer, _ count: Int, _ packets: Int, to association: OutboundAssociation) {
        if !desk.give(read, count: count, to: association.owner) { drops.count(.workerBusy, UInt64(packets)) }
    }

    /// False where the worker should stop. The batch must not outlive its SA, so it goes first.
    private func applyChanges() -> Bool {
        if mailbox.isEmpty { return true }
        finishAll()
        flush()
        for change in mailbox.take() {
            switch change {
            case .install(let association, let counters, let owner, let meter):
                let new = OutboundAssociation(
                    association, counters: counters, owner: owner, isForeign: owner != desk.worker, meter: meter)
                plane.insert(new)
                if let rate = new.aggregator?.packetRate {
                    if rate > 0 { paced.append((new, Pace(rate: rate))) } else if meter != nil { reporting.append(new) }
                }
            case .remove(let spi, let child):
                drain(child, spi)
                plane.remove(spi, of: child)
                paced.removeAll { $0.association.spi == spi && $0.association.child == child }
                reporting.removeAll { $0.spi == spi && $0.child == child }
            case .resize(let child, let octets):
                drain(child)
                plane.resizePayloads(of: child, forPackets: octets)
            case .move(let child, let local, let remote): plane.move(child, local: local, remote: remote)
            case .limitSegments(let octets): segmentLimit = octets
            case .setPolicy(let policy): plane.insert(policy)
            case .clearPolicy(let policy): plane.remove(policy)
            case .expect, .expectHeader: break
            case .send(let datagram):
                flush()
                _ = sender.send(datagram)
            case .stop: return false
            }
        }
        sendWaiting()
        return true
    }

    /// Sends the packets that waited for an SA which is there now.
    private func sendWaiting() {
        let now = Clock.now()
        for octets in plane.takeReady(now: now) {
            octets.withUnsafeBytes { buffer in
                guard let packet = buffer.baseAddress, let view = PacketView(packet, count: buffer.count),
                    let association = plane.association(for: view, of: packet, now: now)
                else { return }
                guard association.owner == desk.worker else {
                    guard prefixOctets + view.octets <= Self.scratchOctets else { return }
                    if prefixOctets != 0 { OffloadHeader().write(scratch) }
                    (scratch + prefixOctets).copyMemory(from: packet, byteCount: view.octets)
                    return handOver(scratch, prefixOctets + view.octets, 1, to: association)
                }
                put(view.octets, view, association, now) { $0.copyMemory(from: packet, byteCount: view.octets) }
            }
        }
        finishBegun()
        flush()
        desk.knock()
    }

    /// Takes what was read from a queue of the device.
    private func take(_ read: UnsafeMutableRawPointer, _ count: Int, now: Instant) {
        guard count > prefixOctets else { return }
        let packet = read + prefixOctets
        let octets = count - prefixOctets
        guard let view = PacketView(packet, count: octets) else {
            drops.count(.malformed)
            return
        }
        var header = OffloadHeader()
        if prefixOctets != 0 { header = OffloadHeader(read) }
        switch header.kind & ~OffloadHeader.congestionBit {
        case 0:
            guard header.completeChecksum(packet, count: octets) else {
                drops.count(.malformed)
                return
            }
            SegmentSize.clamp(packet, view, limit: segmentLimit)
            guard let association = plane.association(for: view, of: packet, now: now) else { return }
            guard association.owner == desk.worker else {
                // Its checksum is whole by now.
                if prefixOctets != 0 { OffloadHeader().write(read) }
                return handOver(read, count, 1, to: association)
            }
            put(view.octets, view, association, now) { $0.copyMemory(from: packet, byteCount: view.octets) }
        case OffloadHeader.tcpV4, OffloadHeader.tcpV6, OffloadHeader.datagrams:
            let kind = header.kind & ~OffloadHeader.congestionBit
            guard
                let segments = Segments(packet, view: view, kind: kind, segmentOctets: Int(header.segmentOctets))
            else {
                drops.count(.malformed)
                return
            }
            guard
                let association = plane.association(
                    for: view, of: packet, packets: UInt64(segments.count), now: now)
            else { return }
            guard association.owner == desk.worker else {
                return handOver(read, count, segments.count, to: association)
            }
            put(segments, view, association, now)
        default: drops.count(.malformed)
        }
    }

    /// Puts what a packet stands for into batches. All segments but the last are alike.
    private func put(_ segments: Segments, _ view: PacketView, _ association: OutboundAssociation, _ now: Instant) {
        let last = segments.count - 1
        if association.aggregator == nil, association.isPlain,
            let placement = association.placement(view, count: segments.octets(0)),
            placement.sealedOctets <= Self.maximumOctets
        {
            for index in 0..<last {
                seal(placement, segments.octets(0), view, association, now) { segments.write(index, to: $0) }
            }
        } else {
            for index in 0..<last {
                put(segments.octets(index), view, association, now) { segments.write(index, to: $0) }
            }
        }
        put(segments.octets(last), view, association, now) { segments.write(last, to: $0) }
    }

    /// Lets `write` put an inner packet of `octets` octets into the batch, and seals it there.
    @inline(__always)
    private func put(
        _ octets: Int, _ view: PacketView, _ association: OutboundAssociation, _ now: Instant,
        write: (UnsafeMutableRawPointer) -> Void
    ) {
        if association.aggregator != nil { return aggregate(octets, association, now, write: write) }
        guard association.isPlain else { return wrap(octets, view, association, now, write: write) }
        guard let placement = association.placement(view, count: octets),
            placement.sealedOctets <= Self.maximumOctets
        else {
            drops.count(.unsupported)
            return
        }
        seal(placement, octets, view, association, now, write: write)
    }

    /// The same for a packet whose place is known.
    @inline(__always)
    private func seal(
        _ placement: Placement, _ octets: Int, _ view: PacketView, _ association: OutboundAssociation, _ now: Instant,
        write: (UnsafeMutableRawPointer) -> Void
    ) {
        let sealed = placement.sealedOctets
        let outerClass = association.outerClass(view.trafficClass)
        let forbidsFragments = association.forbidsFragments(view)
        let start = place(sealed, association, outerClass, forbidsFragments: forbidsFragments)
        if placement.skippedOctets == 0 {
            write(start + placement.offset)
        } else {
            write(scratch)
            (start + placement.offset).copyMemory(
                from: scratch + placement.skippedOctets, byteCount: placement.innerOctets)
        }
        if packets == 0 {
            head = view
            headOctets = min(octets, PacketTooBig.quotedOctets)
            notice.copyMemory(
                from: placement.skippedOctets == 0 ? start + placement.offset : scratch, byteCount: headOctets)
        }
        let outcome = plane.seal(start, placement, with: association, deferring: true, now: now)
        guard outcome.dropped == nil else { return }
        count(sealed, association, outerClass, forbidsFragments: forbidsFragments)
    }

    /// Where a packet of `sealed` octets goes, in this batch or, where it does not fit in there, in the next.
    @inline(__always)
    func place(
        _ sealed: Int, _ association: OutboundAssociation, _ outerClass: UInt8, forbidsFragments: Bool
    ) -> UnsafeMutableRawPointer {
        if packets != 0,
            isClosed || self.association !== association || sealed > segment || packets == Self.maximumSegments
                || outerClass != trafficClass || forbidsFragments != self.forbidsFragments
                || used + sealed > Self.maximumOctets
        {
            flush()
        }
        // SAFETY: `used + sealed` stays within half of the arena, so the packet and its trailer do.
        return arena + used
    }

    /// The packet at ``place(_:_:_:forbidsFragments:)`` is part of the batch.
    @inline(__always)
    func count(
        _ sealed: Int, _ association: OutboundAssociation, _ outerClass: UInt8, forbidsFragments: Bool
    ) {
        if packets == 0 {
            self.association = association
            segment = sealed
            trafficClass = outerClass
            self.forbidsFragments = forbidsFragments
        }
        isClosed = sealed < segment
        used += sealed
        packets += 1
    }

    /// Wraps and sends a packet by itself, for an SA that is more than ESP.
    private func wrap(
        _ octets: Int, _ view: PacketView, _ association: OutboundAssociation, _ now: Instant,
        write: (UnsafeMutableRawPointer) -> Void
    ) {
        flush()
        write(scratch)
        var view = view
        view.octets = octets
        let room = scratch + Self.scratchOctets
        let outcome = plane.wrap(scratch, view: view, with: association, into: room, now: now)
        guard outcome.dropped == nil else { return }
        let purpose: DatagramSocket.Purpose =
            association.writesHeader ? .header : association.udpEncapsulation ? .encapsulation : .raw
        if association.remote.isStream {
            // AH does not go into TCP.
            guard purpose != .header,
                streams.send(
                    room + outcome.start, count: outcome.octets, segment: outcome.octets, isMarked: false,
                    from: association.local, to: association.remote)
            else { return drops.count(.sendFailed) }
            return
        }
        var local = parley_address(association.local)
        var remote = parley_address(association.remote)
        if purpose != .encapsulation { remote.port = 0 }
        let trafficClass = association.outerClass(view.trafficClass)
        let forbids = association.forbidsFragments(view)
        sockets.packets(association.remote.address.family, purpose, by: desk.worker)?.forbidFragments(forbids)
        guard let socket = sockets.packets(association.remote.address.family, purpose, by: desk.worker),
            parley_send(
                socket.descriptor, &local, &remote, room + outcome.start, outcome.octets, 0, 0, trafficClass) == 0
        else { return drops.count(.sendFailed) }
    }

    /// Sends the batch.
    func flush() {
        guard packets != 0, let association else { return }
        guard association.sealDeferred() else {
            drops.count(.sealFailed, UInt64(packets))
            used = 0
            packets = 0
            isClosed = false
            self.association = nil
            return
        }
        var local = parley_address(association.local)
        var remote = parley_address(association.remote)
        let encapsulated = association.udpEncapsulation
        defer {
            self.association = nil
            used = 0
            packets = 0
            isClosed = false
        }
        if association.remote.isStream {
            let isSent = streams.send(
                arena, count: used, segment: segment, isMarked: false, from: association.local, to: association.remote)
            if !isSent { drops.count(.sendFailed, UInt64(packets)) }
            return
        }
        guard
            let socket = sockets.packets(
                association.remote.address.family, encapsulated ? .encapsulation : .raw, by: desk.worker)
        else {
            drops.count(.sendFailed, UInt64(packets))
            return
        }
        if !encapsulated { remote.port = 0 }
        socket.forbidFragments(forbidsFragments)
        if encapsulated, parley_send(socket.descriptor, &local, &remote, arena, used, segment, 0, trafficClass) == 0 {
            return
        }
        // Raw sockets do not segment; and a path whose MTU is below the segment's size needs fragments, which the kernel
        // makes of single packets only.
        var offset = 0
        while offset < used {
            let count = min(segment, used - offset)
            let result = parley_send(socket.descriptor, &local, &remote, arena + offset, count, 0, 0, trafficClass)
            if result == -EMSGSIZE, let head {
                // All of the batch are as large, but perhaps the last.
                drops.count(.tooBig, UInt64((used - offset + segment - 1) / segment))
                return tellTooBig(head, association)
            }
            if result != 0 { drops.count(.sendFailed) }
            offset += count
        }
    }

    /// Tells the sender of the batch's first packet, through the device, what the path takes (RFC 4301 §8.2).
    private func tellTooBig(_ view: PacketView, _ association: OutboundAssociation) {
        guard tunnel.interface != nil else { return }
        var remote = parley_address(association.remote)
        let path = Int(parley_path_mtu(&remote, mark))
        guard path > 0 else { return }
        let message = notice + 160
        OffloadHeader().write(message)
        let count = PacketTooBig.write(
            to: message + OffloadHeader.octets, about: notice, view, quoted: headOctets,
            mtu: association.overhead.innerLimit(pathMTU: path))
        var part = parley_part(base: message, count: OffloadHeader.octets + count)
        _ = parley_write(queue, &part, 1)
    }
}
