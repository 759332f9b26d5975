import Cryptography
package import IPsec
package import Primitives

/// An inbound SA at work: its cipher and its replay window. Belongs to one worker.
package final class InboundAssociation {
    package let child: ChildID
    /// Of ESP, or of AH where there is no ESP.
    package let spi: SPI
    package internal(set) var local: Endpoint
    package internal(set) var remote: Endpoint
    package let udpEncapsulation: Bool
    package let mode: SecurityMode
    private let isTransport: Bool
    package let counters: AssociationCounters
    /// The device's queue for its packets: that of the worker which seals the answers.
    package let queue: Int
    let treatment: PacketTreatment
    private let copiesDSCP: Bool
    let header: InboundHeader?
    let hasESP: Bool
    private let localSelectors: [TrafficSelector]
    private let remoteSelectors: [TrafficSelector]
    private let cipher: PacketCipher?
    // SAFETY: `cipher`, which lives as long as this object; looked at for each packet without counting references.
    private let keyed: Unmanaged<PacketCipher>?
    /// Octets before the text of an ESP packet, and all but the text's; 0 without ESP.
    private let textOffset: Int
    private let fixedOctets: Int
    /// What the text's length is a multiple of, less one.
    private let blockMask: Int
    private let extended: Bool
    let disaggregator: Disaggregator?
    /// Where payloads are taken in order.
    let order: PayloadOrder?
    let meter: CongestionMeter?
    private let decompressor: PayloadDecompressor?
    private let compressionIndex: UInt16
    private let isServed: Bool
    /// Whether each packet holds an IP packet and nothing else, and is opened by itself: ``openPlain(_:count:isExpected:from:trafficClass:now:_:_:)``
    /// takes it.
    let isPlain: Bool
    /// Whether a selector looks at ports, so that a fragment must not write over them or what follows them.
    private let looksAtPorts: Bool
    /// Only where both ends agreed on later fragments.
    private var fragments: FragmentTable?
    // SAFETY (unchecked): one thread uses this object, and nothing that works on one of these comes back to it. A packet
    // would look at each of them several times.
    @exclusivity(unchecked) private var window: ReplayWindow
    @exclusivity(unchecked) private var usage: Usage
    @exclusivity(unchecked) private var lastMatch = Flow.none
    /// In nanoseconds, which are compared here for each packet.
    @exclusivity(unchecked) private var nextReport = Int64.min
    @exclusivity(unchecked) private var reportedEndpoint: Endpoint?

    package init(
        _ association: SecurityAssociation, counters: AssociationCounters, queue: Int = 0, meter: CongestionMeter? = nil
    ) {
        self.queue = queue
        self.meter = association.aggregation?.tellsOfCongestion == true ? meter : nil
        child = association.child
        spi = association.spi
        local = association.local
        remote = association.remote
        udpEncapsulation = association.udpEncapsulation
        mode = association.mode
        isTransport = association.mode == .transport
        localSelectors = association.localSelectors
        remoteSelectors = association.remoteSelectors
        looksAtPorts = (association.localSelectors + association.remoteSelectors).contains { !$0.coversAllPorts }
        fragments =
            association.carriesFragments && looksAtPorts && association.mode == .tunnel ? FragmentTable() : nil
        treatment = association.treatment
        copiesDSCP = association.treatment.copiesDSCP.copiesIn
        self.counters = counters
        hasESP = association.securityProtocol == .esp
        let cipher = association.makeCipher(sealing: false)
        self.cipher = cipher
        keyed = cipher.map(Unmanaged.passUnretained)
        textOffset = cipher.map { ESP.headerOctets + $0.ivOctets } ?? 0
        fixedOctets = cipher.map { ESP.headerOctets + $0.ivOctets + $0.tagOctets } ?? 0
        blockMask = cipher.map { $0.blockOctets - 1 } ?? 0
        header = association.header.flatMap {
            InboundHeader($0, windowPackets: association.replayWindowPackets)
        }
        isServed = association.isServed(cipher: cipher != nil, header: header != nil)
        disaggregator = association.aggregation.map { Disaggregator(window: $0.reorderWindow) }
        order = association.aggregation.flatMap {
            $0.dropTime > .zero && $0.reorderWindow > 0
                ? PayloadOrder(window: $0.reorderWindow, patience: $0.dropTime) : nil
        }
        decompressor = association.compression == nil ? nil : PayloadDecompressor()
        compressionIndex = association.compression?.index ?? 0
        extended = association.suite.extendedSequenceNumbers
        window = ReplayWindow(packets: association.replayWindowPackets, extended: extended)
        usage = Usage(association.limits)
        isPlain =
            isServed && hasESP && header == nil && mode == .tunnel && disaggregator == nil && decompressor == nil
            && cipher?.prefersBatches == false
    }

    /// What came of a packet. The headers of what was inside are handed on beside it, since they are large.
    struct Outcome {
        var dropped: DropReason?
        /// The inner packet, with what follows it.
        var packet: UnsafeMutableRawPointer?
        /// Or several packets.
        var bundle: InboundBundle?
        /// Whether traffic should be reported now.
        var reportsTraffic = false
        /// Whether a new endpoint of the peer should be reported now.
        var reportsEndpoint = false
        /// Whether the SA's exhaustion, or its end, should be reported now.
        var exhausted = false
        var expired = false

        /// Whether something is to be told.
        var hasNews: Bool { reportsTraffic || reportsEndpoint || exhausted || expired }

        static func drop(_ reason: DropReason) -> Outcome { Outcome(dropped: reason) }
    }

    /// Unwraps an ESP packet in place (RFC 4303 §3.4). `isInsideHeader`: AH around it proved genuine. `view` becomes that of
    /// the packet inside, where there is one.
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `packet`, at least ``ESP/headerOctets``.
    func open(
        _ packet: UnsafeMutableRawPointer, count: Int, from: Endpoint, isInsideHeader: Bool = false,
        trafficClass: UInt8, arena: PacketArena, now: Instant, _ view: inout PacketView
    ) -> Outcome {
        let sequence: UInt64
        switch check(packet, count: count, isInsideHeader: isInsideHeader) {
        case .failure(let drop): return .drop(drop.reason)
        case .success(let number): sequence = number
        }
        guard cipher?.open(packet, count: count, sequence: sequence, esn: extended) == true else {
            return .drop(.authenticationFailed)
        }
        return finish(
            packet, count: count, sequence: sequence, from: from, trafficClass: trafficClass, arena: arena, now: now,
            &view)
    }

    /// As ``open(_:count:from:isInsideHeader:trafficClass:arena:now:_:)`` where the SA ``isPlain``, for packets one after the
    /// other: in one piece, and without what does not concern them. `isExpected`: whether `from` is the peer's endpoint.
    ///
    /// SAFETY: as there.
    @inline(__always)
    func openPlain(
        _ packet: UnsafeMutableRawPointer, count: Int, isExpected: Bool, from: Endpoint, trafficClass: UInt8,
        now: Instant, _ view: inout PacketView, _ outcome: inout Outcome
    ) {
        guard let keyed else {
            outcome.dropped = .unsupported
            return
        }
        switch check(packet, count: count) {
        case .failure(let drop): outcome.dropped = drop.reason
        case .success(let sequence):
            let isGenuine = keyed._withUnsafeGuaranteedRef {
                $0.open(packet, count: count, sequence: sequence, esn: extended)
            }
            guard isGenuine else {
                outcome.dropped = .authenticationFailed
                return
            }
            guard enter(sequence, isExpected: isExpected, from, now, &outcome) else { return }
            let inner = packet + textOffset
            let plainOctets = count - fixedOctets
            guard let payloadOctets = payloadOctets(inner, plainOctets, &outcome) else { return }
            let nextHeader = inner.load(fromByteOffset: plainOctets - 1, as: UInt8.self)
            guard nextHeader == ESP.nextHeaderIPv4 || nextHeader == ESP.nextHeaderIPv6 else {
                outcome.dropped = nextHeader == ESP.nextHeaderNone ? .dummy : .nextHeader
                return
            }
            admit(inner, payloadOctets, nextHeader, trafficClass, now, &view, &outcome)
        }
    }

    /// Whether the cipher gains from several packets at once.
    var prefersBatches: Bool { cipher?.prefersBatches ?? false }

    /// Opens packets that ``check(_:count:isInsideHeader:)`` let pass, all at once. Each then wants
    /// ``finish(_:count:sequence:from:trafficClass:arena:now:_:)``, where it is done.
    func open(_ batch: UnsafeMutableBufferPointer<PacketCipher.Work>) { cipher?.open(batch, esn: extended) }

    struct Drop: Error { var reason: DropReason }

    /// What is done before any work is spent on a packet: its lengths, and whether its number is new. The number, whole.
    ///
    /// SAFETY: as for ``open(_:count:from:isInsideHeader:trafficClass:arena:now:_:)``.
    @inline(__always)
    func check(
        _ packet: UnsafeMutableRawPointer, count: Int, isInsideHeader: Bool = false
    ) -> Result<UInt64, Drop> {
        // An SA that has both protocols takes no packet with one of them (RFC 4301 §5.2 step 4).
        guard isServed, keyed != nil, isInsideHeader == (header != nil) else {
            return .failure(Drop(reason: isServed ? .unprotected : .unsupported))
        }
        let plainOctets = count - fixedOctets
        guard plainOctets >= 2, plainOctets & blockMask == 0 else {
            return .failure(Drop(reason: .malformed))
        }
        guard let sequence = window.sequence(low: UnsafeRawPointer(packet).bigEndian32(at: 4)),
            window.accepts(sequence)
        else { return .failure(Drop(reason: .replayed)) }
        return .success(sequence)
    }

    /// The number of a packet that proved genuine goes into the window, which moves only now. False where another packet of
    /// the batch had it.
    @inline(__always)
    private func enter(
        _ sequence: UInt64, isExpected: Bool, _ from: Endpoint, _ now: Instant, _ outcome: inout Outcome
    ) -> Bool {
        guard window.accepts(sequence) else {
            outcome.dropped = .replayed
            return false
        }
        let isNewest = sequence > window.top
        window.insert(sequence)
        if isNewest, !isExpected, udpEncapsulation, from != reportedEndpoint {
            reportedEndpoint = from
            outcome.reportsEndpoint = true
        }
        noteTraffic(now, &outcome)
        return true
    }

    /// Octets in front of the trailer of `plainOctets` opened ones (RFC 4303 §2.4); `nil` where its padding is wrong.
    @inline(__always)
    private func payloadOctets(
        _ inner: UnsafeMutableRawPointer, _ plainOctets: Int, _ outcome: inout Outcome
    ) -> Int? {
        let padding = Int(inner.load(fromByteOffset: plainOctets - 2, as: UInt8.self))
        guard padding + 2 <= plainOctets else {
            outcome.dropped = .paddingInvalid
            return nil
        }
        let payloadOctets = plainOctets - 2 - padding
        var wrong: UInt8 = 0
        for index in 0..<padding {
            wrong |=
                inner.load(fromByteOffset: payloadOctets + index, as: UInt8.self)
                ^ UInt8(truncatingIfNeeded: index + 1)
        }
        guard wrong == 0 else {
            outcome.dropped = .paddingInvalid
            return nil
        }
        return payloadOctets
    }

    /// What is done with a packet that proved genuine.
    ///
    /// SAFETY: as for ``open(_:count:from:isInsideHeader:trafficClass:arena:now:_:)``.
    func finish(
        _ packet: UnsafeMutableRawPointer, count: Int, sequence: UInt64, from: Endpoint, trafficClass: UInt8,
        arena: PacketArena, now: Instant, _ view: inout PacketView
    ) -> Outcome {
        var outcome = Outcome()
        guard enter(sequence, isExpected: from == remote, from, now, &outcome) else { return outcome }
        // 1. Trailer.
        let inner = packet + textOffset
        let plainOctets = count - fixedOctets
        guard let payloadOctets = payloadOctets(inner, plainOctets, &outcome) else { return outcome }
        let nextHeader = inner.load(fromByteOffset: plainOctets - 1, as: UInt8.self)
        let isDummy = nextHeader == ESP.nextHeaderNone
        if isDummy, order == nil {
            outcome.dropped = .dummy
            return outcome
        }
        // Where payloads have an order, a dummy has its place in it.
        if isDummy || nextHeader == AggregatedPayload.nextHeader && disaggregator != nil {
            outcome.bundle = InboundBundle(
                association: self, payload: inner, count: payloadOctets, sequence: sequence,
                trafficClass: trafficClass, now: now, isDummy: isDummy)
            return outcome
        }
        // 2. What is inside.
        deliver(inner, payloadOctets, nextHeader, trafficClass, arena, now, &view, &outcome)
        return outcome
    }

    /// Unwraps an IP packet with AH at `offset` (RFC 4302 §3.4), and what else the SA has inside of that.
    ///
    /// SAFETY: as for ``InboundHeader/open(_:offset:count:_:)``.
    func openHeader(
        _ packet: UnsafeMutableRawPointer, offset: Int, count: Int, _ family: IPAddress.Family, from: Endpoint,
        trafficClass: UInt8, arena: PacketArena, now: Instant, _ view: inout PacketView
    ) -> Outcome {
        guard isServed, let header else { return .drop(.unsupported) }
        switch header.open(packet, offset: offset, count: count, family) {
        case .dropped(let reason): return .drop(reason)
        case .authentic(let octets, let nextHeader):
            let content = packet + offset + octets
            let contentOctets = count - offset - octets
            guard hasESP else {
                var outcome = Outcome()
                noteTraffic(now, &outcome)
                guard nextHeader != ESP.nextHeaderNone else {
                    outcome.dropped = .dummy
                    return outcome
                }
                deliver(content, contentOctets, nextHeader, trafficClass, arena, now, &view, &outcome)
                return outcome
            }
            guard nextHeader == ESP.ipProtocol, contentOctets >= ESP.headerOctets,
                UnsafeRawPointer(content).bigEndian32(at: 0) == spi.value
            else { return .drop(.unprotected) }
            return open(
                content, count: contentOctets, from: from, isInsideHeader: true, trafficClass: trafficClass,
                arena: arena, now: now, &view)
        }
    }

    @inline(__always)
    private func noteTraffic(_ now: Instant, _ outcome: inout Outcome) {
        guard now.nanoseconds >= nextReport else { return }
        nextReport = now.nanoseconds &+ 1_000_000_000
        outcome.reportsTraffic = true
    }

    /// Checks an inner packet that was one of several. `isMoved`: it lies where the arena's next packet would.
    func deliver(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ bundle: InboundBundle, isMoved: Bool, _ arena: PacketArena,
        _ view: inout PacketView, _ outcome: inout Outcome
    ) {
        let version = packet.load(as: UInt8.self) >> 4
        deliver(
            packet, count, version == 4 ? ESP.nextHeaderIPv4 : ESP.nextHeaderIPv6, bundle.trafficClass, arena,
            bundle.now, &view, &outcome)
        if isMoved, outcome.packet != nil { arena.keep(count) }
    }

    /// Makes an inner packet of what the protocols held, and checks it against the policy.
    private func deliver(
        _ content: UnsafeMutableRawPointer, _ contentOctets: Int, _ contentHeader: UInt8, _ trafficClass: UInt8,
        _ arena: PacketArena, _ now: Instant, _ view: inout PacketView, _ outcome: inout Outcome
    ) {
        var (content, count, nextHeader) = (content, contentOctets, contentHeader)
        let room = arena.next
        // The place of an IP header is kept free in front of what is decompressed.
        let headerOctets = remote.address.family == .v4 ? 20 : 40
        var isInArena = false
        if nextHeader == PayloadCompression.ipProtocol, let decompressor {
            guard count > PayloadCompression.headerOctets,
                UnsafeRawPointer(content).bigEndian16(at: 2) == compressionIndex,
                let whole = decompressor.decompress(
                    content + PayloadCompression.headerOctets, count - PayloadCompression.headerOctets,
                    into: room + headerOctets, room: 65_535 - headerOctets)
            else {
                outcome.dropped = .compressionInvalid
                return
            }
            nextHeader = content.load(as: UInt8.self)
            content = room + headerOctets
            count = whole
            isInArena = true
        }
        let isTunnel = nextHeader == ESP.nextHeaderIPv4 || nextHeader == ESP.nextHeaderIPv6
        if isTransport {
            guard headerOctets + count <= 65_535 else {
                outcome.dropped = .malformed
                return
            }
            if !isInArena { (room + headerOctets).copyMemory(from: content, byteCount: count) }
            writeHeader(room, headerOctets + count, nextHeader, trafficClass)
            content = room
            count += headerOctets
            isInArena = true
        } else if !isTunnel {
            outcome.dropped = .nextHeader
            return
        }
        admit(content, count, nextHeader, trafficClass, now, &view, &outcome)
        if isInArena, outcome.packet != nil { arena.keep(count + (content == room ? 0 : headerOctets)) }
    }

    /// Checks an inner packet against the policy, and counts it.
    @inline(__always)
    private func admit(
        _ content: UnsafeMutableRawPointer, _ count: Int, _ nextHeader: UInt8, _ trafficClass: UInt8, _ now: Instant,
        _ view: inout PacketView, _ outcome: inout Outcome
    ) {
        // What the inner packet does not claim is traffic flow confidentiality padding (RFC 4303 §2.7).
        guard view.read(content, count: count),
            isTransport || view.flow.isV4 == (nextHeader == ESP.nextHeaderIPv4)
        else {
            outcome.dropped = .malformed
            return
        }
        // Selectors (RFC 4301 §5.2).
        guard matches(view, now) || !isTransport && view.enclosedFlow(content).map(matches) == true else {
            outcome.dropped = .outsideSelectors
            return
        }
        switch usage.charge(view.octets) {
        case .fine: break
        case .nearlyUsedUp: outcome.exhausted = true
        case .usedUp(let isNews):
            outcome.dropped = .lifetimeEnded
            outcome.expired = isNews
            return
        }
        if isTransport {
            if udpEncapsulation { TransportChecksum.renew(content, view) }
        } else {
            if copiesDSCP {
                TrafficClass.replace(content, &view, with: trafficClass & 0xFC | view.trafficClass & 3)
            }
            if treatment.copiesECN, !Congestion.combine(outer: trafficClass, content, &view) {
                outcome.dropped = .congestion
                return
            }
        }
        outcome.packet = content
        counters.add(octets: view.octets, now: now)
    }

    /// The IP header of a packet that came in transport mode: that of the outer packet, as far as it is known.
    private func writeHeader(
        _ header: UnsafeMutableRawPointer, _ total: Int, _ nextHeader: UInt8, _ trafficClass: UInt8
    ) {
        switch remote.address.family {
        case .v4:
            header.store(bigEndian: UInt32(0x4500_0000) | UInt32(trafficClass) << 16 | UInt32(total), at: 0)
            header.store(bigEndian: UInt32(0x0000_4000), at: 4)
            header.store(bigEndian: UInt32(0x4000_0000) | UInt32(nextHeader) << 16, at: 8)
            header.store(bigEndian: UInt32(truncatingIfNeeded: remote.address.value), at: 12)
            header.store(bigEndian: UInt32(truncatingIfNeeded: local.address.value), at: 16)
            let sum = InternetChecksum.fold(InternetChecksum.sum(header, count: 20))
            header.storeBytes(of: ~sum, toByteOffset: 10, as: UInt16.self)
        case .v6:
            header.store(bigEndian: UInt32(0x6000_0000) | UInt32(trafficClass) << 20, at: 0)
            header.store(bigEndian: UInt16(truncatingIfNeeded: total - 40), at: 4)
            header.storeBytes(of: nextHeader, toByteOffset: 6, as: UInt8.self)
            header.storeBytes(of: 64, toByteOffset: 7, as: UInt8.self)
            header.store(bigEndian: remote.address.value, at: 8)
            header.store(bigEndian: local.address.value, at: 24)
        }
    }

    /// Fragments too: a later one shows no ports, and passes with the first one's where that was agreed on (RFC 4301 §7).
    private func matches(_ view: PacketView, _ now: Instant) -> Bool {
        guard view.isFragment, looksAtPorts else { return matches(view.flow) }
        // The least offset of RFC 4301 §7.2: behind TCP's ports and flags.
        if view.flow.family == .v4, view.flow.ipProtocol == 6, view.fragmentOffset == 1 { return false }
        if matches(view.flow) {
            if view.flow.hasPorts { fragments?.note(view, now) }
            return true
        }
        guard !view.flow.hasPorts, let flow = fragments?.flow(of: view, now) else { return false }
        return matches(flow)
    }

    private func matches(_ flow: Flow) -> Bool {
        if lastMatch == flow { return true }
        let source = flow.sourceAddress
        let destination = flow.destinationAddress
        let fits =
            remoteSelectors.contains {
                $0.matches(source, ipProtocol: flow.ipProtocol, port: flow.hasPorts ? flow.sourcePort : nil)
            }
            && localSelectors.contains {
                $0.matches(destination, ipProtocol: flow.ipProtocol, port: flow.hasPorts ? flow.destinationPort : nil)
            }
        if fits { lastMatch = flow }
        return fits
    }
}
