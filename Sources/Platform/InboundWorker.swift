import CPlatform
import DataPlane
import Glibc
import IPsec
import Primitives

/// The thread that takes packets from the sockets to the tunnel device, and IKE messages to key management. Everything
/// in it is its own; buffers are allocated once.
///
/// 1. Receive a batch of datagrams, each of which may be many packets.
/// 2. Sort IKE, keepalives and ESP apart (RFC 3948 §2.2, §2.3), and hand over what other workers' SAs are for.
/// 3. Open ESP in place.
/// 4. Write inner packets to the device, TCP segments joined.
final class InboundWorker {
    private static let messages: UInt32 = 16
    private static let messageOctets = 65_536
    /// What is received at once has this many octets in a stream.
    private static let streamOctets = 16_384
    /// Packets that each other worker may have handed over before sockets are looked at anew.
    private static let handOversAtOnce = 256

    private let plane: InboundPlane
    private let mailbox: Mailbox
    private let desk: HandOver.Desk
    private let tunnel: TunnelDevice
    private let sockets: [DatagramSocket]
    /// The first worker's.
    private let streams: StreamReceiver?
    private let drops: DropCounters
    private let receiveIKE: @Sendable (Datagram, Instant) -> Void
    private let receivePacket: (@Sendable ([UInt8], ChildID) -> Void)?

    // SAFETY: allocated in init, freed in deinit, used by this worker's thread alone.
    private let receiver: OpaquePointer
    private let incoming: UnsafeMutablePointer<parley_incoming>
    /// For packets whose IP header the kernel keeps to itself.
    private let scratch: UnsafeMutableRawPointer
    private static let scratchOctets = 40 + 65_536
    /// What TCP's segments are kept below.
    private var segmentLimit: Int
    /// Towards the device; `nil` where there is none.
    private let coalescer: Coalescer?

    init?(
        mailbox: Mailbox, desk: HandOver.Desk, tunnel: TunnelDevice, mtu: Int, sockets: SocketSet, streams: StreamSet,
        drops: DropCounters,
        receiveIKE: @escaping @Sendable (Datagram, Instant) -> Void,
        receivePacket: (@Sendable ([UInt8], ChildID) -> Void)?, report: @escaping @Sendable (PlaneEvent) -> Void
    ) {
        guard let receiver = parley_receiver_create(Self.messages, Self.messageOctets) else { return nil }
        self.receiver = receiver
        segmentLimit = mtu
        plane = InboundPlane(drops: drops, report: report)
        self.mailbox = mailbox
        self.desk = desk
        self.tunnel = tunnel
        self.sockets = sockets.received(by: desk.worker)
        self.streams = desk.worker == 0 ? StreamReceiver(streams) : nil
        self.drops = drops
        self.receiveIKE = receiveIKE
        self.receivePacket = receivePacket
        incoming = .allocate(capacity: Int(Self.messages))
        incoming.initialize(repeating: parley_incoming(), count: Int(Self.messages))
        scratch = .allocate(byteCount: Self.scratchOctets, alignment: 64)
        scratch.initializeMemory(as: UInt8.self, repeating: 0, count: Self.scratchOctets)
        coalescer = tunnel.interface.map { _ in
            Coalescer(joinsDatagrams: tunnel.joinsDatagrams) { parts, count, queue in
                if parley_write(tunnel.descriptors[queue], parts, UInt32(count)) < 0 { drops.count(.deliveryFailed) }
            }
        }
    }

    deinit {
        parley_receiver_destroy(receiver)
        incoming.deallocate()
        scratch.deallocate()
    }

    func run() {
        var descriptors = sockets.map(\.descriptor) + [mailbox.wakeup.descriptor]
        if let streams { descriptors.append(streams.descriptor) }
        var ready = [UInt8](repeating: 0, count: descriptors.count)
        var hasMore = false
        while true {
            var patience = Patience()
            if hasMore { patience.limit(.zero) }
            patience.limit(streams?.patience)
            if let next = plane.nextRelease { patience.limit(next - Clock.now()) }
            let count = UInt32(descriptors.count)
            guard parley_wait(&descriptors, &ready, count, patience.nanoseconds) >= 0 else { return }
            if ready[sockets.count] != 0 { mailbox.wakeup.clear() }
            guard applyChanges() else { return }
            if desk.count > 1 {
                guard let rest = takeHandedOver() else { return }
                hasMore = rest
            }
            for (index, socket) in sockets.enumerated() where ready[index] != 0 {
                guard receive(socket) else { return }
            }
            if let streams, ready[sockets.count + 1] != 0 || streams.patience != nil { receiveStreams(streams) }
            releaseHeld()
            desk.knock()
        }
    }

    /// Takes what other workers have received for SAs of this one. Whether there may be more; `nil` where the worker should
    /// stop.
    private func takeHandedOver() -> Bool? {
        mailbox.answer()
        guard desk.hasReceived else { return false }
        let now = Clock.now()
        var goesOn = true
        let mayHaveMore = desk.receive(most: Self.handOversAtOnce) { packet in
            // Changes posted before the packet came hold for it.
            goesOn = applyChanges()
            if goesOn { openOwn(packet.octets, packet.count, packet.trafficClass, packet.from, now) }
            return goesOn
        }
        release()
        desk.release()
        return goesOn ? mayHaveMore : nil
    }

    /// Takes what came over TCP (RFC 9329).
    private func receiveStreams(_ streams: StreamReceiver) {
        let now = Clock.now()
        streams.serve(
            now: now,
            take: { frame, count, connection in
                if count == 1, frame.load(as: UInt8.self) == 0xFF { return }
                takeEncapsulated(frame, count, 0, connection.remote, connection.local, now)
            },
            release: { release() })
    }

    /// False where the worker should stop.
    private func applyChanges() -> Bool {
        if mailbox.isEmpty { return true }
        for change in mailbox.take() {
            switch change {
            case .install(let association, let counters, let owner, let meter):
                plane.insert(InboundAssociation(association, counters: counters, queue: owner, meter: meter))
                openEarly(association)
            case .expect(let spi): plane.expect(spi)
            case .expectHeader(let spi): plane.expectHeader(spi)
            case .remove(let spi, let child):
                plane.releaseAll(spi, of: child, now: Clock.now(), settle: settle) { deliver($0) }
                // Packets that it had wait for the device, with octets that may be the SA's own.
                settle()
                plane.remove(spi, of: child)
            case .move(let child, let local, let remote): plane.move(child, local: local, remote: remote)
            case .limitSegments(let octets): segmentLimit = octets
            // Policies without an SA, payloads to be filled, and messages behind packets are the outbound side's.
            case .setPolicy, .clearPolicy, .resize, .send: break
            case .stop: return false
            }
        }
        return true
    }

    /// Opens what came before its SA, which is there now.
    private func openEarly(_ association: SecurityAssociation) {
        let now = Clock.now()
        let (packets, headers) = plane.takeEarly(association, now: now)
        func open(
            _ early: [EarlyPackets.Packet], _ body: (UnsafeMutableRawPointer, Int, Endpoint, UInt8) -> Void
        ) {
            for var packet in early {
                let (from, trafficClass) = (packet.from, packet.trafficClass)
                packet.octets.withUnsafeMutableBytes { octets in
                    guard let start = octets.baseAddress else { return }
                    body(start, octets.count, from, trafficClass)
                    // Its octets go.
                    release()
                }
            }
        }
        open(packets) { openOwn($0, $1, $3, $2, now) }
        open(headers) { deliver(plane.openHeader($0, count: $1, from: $2, trafficClass: $3, now: now)) }
    }

    /// Takes what a socket has, up to all buffers. False where the worker should stop.
    private func receive(_ socket: DatagramSocket) -> Bool {
        var local = socket.local
        var used: UInt32 = 0
        var octets = 0
        repeat {
            let count = Int(parley_receive(socket.descriptor, receiver, used, &local, incoming))
            guard count > 0 else { break }
            // Changes posted before these packets came hold for them.
            guard applyChanges() else { return false }
            let now = Clock.now()
            octets = 0
            for index in 0..<count {
                let message = incoming[index]
                guard let from = message.from.endpoint, let to = message.to.endpoint, message.count > 0,
                    let buffer = parley_receiver_buffer(receiver, used + UInt32(index))
                else { continue }
                let size = message.segment == 0 ? message.count : message.segment
                // SAFETY: the receiver's buffer holds `message.count` octets of this message.
                var offset = 0
                while offset < message.count {
                    if socket.purpose == .encapsulation {
                        offset += plane.openRun(
                            buffer + offset, count: message.count - offset, size: size, from: from,
                            trafficClass: message.traffic_class, now: now
                        ) { deliver($0, $1, of: $2.child, queue: $2.queue) }
                        guard offset < message.count else { break }
                    }
                    let one = min(size, message.count - offset)
                    take(buffer + offset, one, message.traffic_class, socket, from, to, now)
                    offset += one
                }
                octets += message.count
            }
            used += UInt32(count)
            // In a stream more has come meanwhile, which joins what is there.
        } while octets >= Self.streamOctets && used < Self.messages
        // The next batch overwrites the packets that wait.
        release()
        return true
    }

    /// Writes the packets that wait, whose memory is free then.
    private func release() {
        openDeferred()
        settle()
    }

    /// The same for packets that are opened.
    private func settle() {
        coalescer?.flush()
        plane.forgetPackets()
    }

    /// Goes on with packets that waited in vain for those before them.
    private func releaseHeld() {
        guard let next = plane.nextRelease else { return }
        let now = Clock.now()
        if next <= now { plane.release(at: now, settle: settle) { deliver($0) } }
    }

    private func take(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ trafficClass: UInt8, _ socket: DatagramSocket,
        _ from: Endpoint, _ to: Endpoint, _ now: Instant
    ) {
        // A keepalive (RFC 3948 §2.3) keeps a NAT's mapping alive by having passed it.
        if count == 1, packet.load(as: UInt8.self) == 0xFF { return }
        switch socket.purpose {
        case .exchange: deliverIKE(packet, count, from, to, now)
        case .encapsulation: takeEncapsulated(packet, count, trafficClass, from, to, now)
        case .raw:
            // Raw sockets deliver IPv4 packets with their header, IPv6 ones without.
            var offset = 0
            if socket.family == .v4 { offset = Int(packet.load(as: UInt8.self) & 15) * 4 }
            guard count >= offset + ESP.headerOctets else { return drops.count(.malformed) }
            open(packet + offset, count - offset, trafficClass, from, now)
        case .header: openHeader(packet, count, trafficClass, socket.family, from, to, now)
        }
    }

    /// IKE behind the non-ESP marker, or ESP.
    private func takeEncapsulated(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ trafficClass: UInt8, _ from: Endpoint, _ to: Endpoint,
        _ now: Instant
    ) {
        if count >= 4, packet.loadUnaligned(as: UInt32.self) == 0 {
            deliverIKE(packet + 4, count - 4, from, to, now)
        } else {
            open(packet, count, trafficClass, from, now)
        }
    }

    private func deliverIKE(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ from: Endpoint, _ to: Endpoint, _ now: Instant
    ) {
        let octets = Array(UnsafeRawBufferPointer(start: packet, count: count))
        receiveIKE(Datagram(local: to, remote: from, octets: octets), now)
    }

    /// The worker that opens packets with this SPI. The sockets spread them in the same way, but several packets that the
    /// kernel took together all go where the first one belongs.
    static func owner(of spi: SPI, among workers: Int) -> Int { Int(spi.value % UInt32(workers)) }

    private func open(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ trafficClass: UInt8, _ from: Endpoint, _ now: Instant
    ) {
        if desk.count > 1, count >= 4 {
            let owner = Self.owner(of: SPI(UnsafeRawPointer(packet).bigEndian32(at: 0)), among: desk.count)
            if owner != desk.worker {
                let isTaken = desk.give(packet, count: count, to: owner, from: from, trafficClass: trafficClass)
                return isTaken ? () : drops.count(.workerBusy)
            }
        }
        openOwn(packet, count, trafficClass, from, now)
    }

    private func openOwn(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ trafficClass: UInt8, _ from: Endpoint, _ now: Instant
    ) {
        if !plane.hasRoom { release() }
        let outcome = plane.open(
            packet, count: count, from: from, trafficClass: trafficClass, deferring: true, now: now)
        if case .deferred = outcome {
            if plane.isDeferralFull { openDeferred() }
            return
        }
        deliver(outcome)
    }

    /// Opens packets that waited for others of their SA.
    private func openDeferred() {
        guard plane.hasDeferred else { return }
        plane.openDeferred(now: Clock.now()) { outcome in
            deliver(outcome)
            if !plane.hasRoom { settle() }
        }
    }

    /// AH with its IP header, which IPv6's raw sockets leave out. What they leave out with it are extension headers, so a
    /// packet that had any before AH does not prove genuine here.
    private func openHeader(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ trafficClass: UInt8, _ family: IPAddress.Family,
        _ from: Endpoint, _ to: Endpoint, _ now: Instant
    ) {
        // The scratch memory is needed again for the next packet.
        if !plane.hasRoom || family == .v6 { release() }
        guard family == .v6 else {
            return deliver(plane.openHeader(packet, count: count, from: from, trafficClass: trafficClass, now: now))
        }
        guard count <= Self.scratchOctets - 40 else { return drops.count(.malformed) }
        scratch.store(bigEndian: UInt32(0x6000_0000) | UInt32(trafficClass) << 20, at: 0)
        scratch.store(bigEndian: UInt16(truncatingIfNeeded: count), at: 4)
        scratch.storeBytes(of: 51, toByteOffset: 6, as: UInt8.self)
        scratch.storeBytes(of: 64, toByteOffset: 7, as: UInt8.self)
        scratch.store(bigEndian: from.address.value, at: 8)
        scratch.store(bigEndian: to.address.value, at: 24)
        (scratch + 40).copyMemory(from: packet, byteCount: count)
        deliver(plane.openHeader(scratch, count: count + 40, from: from, trafficClass: trafficClass, now: now))
    }

    private func deliver(_ outcome: InboundPlane.Outcome) {
        if case .bundle(let bundle) = outcome { return plane.unpack(bundle, settle: settle) { deliver($0) } }
        guard case .opened(let opened) = outcome else { return }
        deliver(opened.packet, opened.view, of: opened.child, queue: opened.queue)
    }

    @inline(__always)
    private func deliver(_ packet: UnsafeMutableRawPointer, _ view: PacketView, of child: ChildID, queue: Int) {
        SegmentSize.clamp(packet, view, limit: segmentLimit)
        if let coalescer {
            coalescer.add(packet, view: view, queue: queue)
        } else {
            receivePacket?(Array(UnsafeRawBufferPointer(start: packet, count: view.octets)), child)
        }
    }
}
