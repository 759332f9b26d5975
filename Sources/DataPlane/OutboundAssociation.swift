import Cryptography
package import IPsec
package import Primitives

/// An outbound SA at work: its cipher and its counters. Belongs to one worker.
package final class OutboundAssociation {
    package let child: ChildID
    package let requestID: UInt32
    /// Of ESP, or of AH where there is no ESP.
    package let spi: SPI
    package internal(set) var local: Endpoint
    package internal(set) var remote: Endpoint
    package let udpEncapsulation: Bool
    package let mode: SecurityMode
    private let isTransport: Bool
    package let counters: AssociationCounters
    let priority: UInt32
    let localSelectors: [TrafficSelector]
    let remoteSelectors: [TrafficSelector]
    let treatment: PacketTreatment
    private let copiesDSCP: Bool
    /// Whether later fragments follow the first ones here (RFC 4301 §7.3).
    let carriesFragments: Bool
    package let overhead: Overhead
    /// The worker that alone seals with this SA; the others know it by its selectors.
    package let owner: Int
    /// Where inner packets share payloads.
    package private(set) var aggregator: Aggregator?
    /// What is said of the path in payloads, and known of it.
    package let meter: CongestionMeter?
    /// How packets share payloads, where they do.
    private let aggregation: Aggregation?

    private let cipher: PacketCipher?
    // SAFETY: `cipher`, which lives as long as this object; looked at for each packet without counting references.
    private let keyed: Unmanaged<PacketCipher>?
    /// Octets of the check value; 0 without ESP.
    private let tagOctets: Int
    private let header: OutboundHeader?
    private let compressor: PayloadCompressor?
    private let compressionIndex: UInt16
    private let isServed: Bool
    // SAFETY (unchecked): one thread uses this object, and counting does not come back to it.
    @exclusivity(unchecked) private var counter: SequenceCounter
    @exclusivity(unchecked) private var usage: Usage
    private var reportedExhaustion = false
    /// Packets that have all but their cipher's work, where that gains from batches.
    private let work: WorkQueue?
    /// IPv4's identification, for packets whose header is written here (RFC 6864 §4.1 lets it be anything for whole
    /// packets with DF; AH authenticates it, so the kernel must not choose it).
    private var identification: UInt16

    /// `sequence` is the last number used: 0 but in tests. With `isForeign` it belongs to another worker, its `owner`, and
    /// carries nothing here.
    package init(
        _ association: SecurityAssociation, counters: AssociationCounters, sequence: UInt64 = 0, owner: Int = 0,
        isForeign: Bool = false, meter: CongestionMeter? = nil
    ) {
        self.owner = owner
        self.meter = association.aggregation?.tellsOfCongestion == true ? meter : nil
        child = association.child
        requestID = association.requestID
        spi = association.spi
        local = association.local
        remote = association.remote
        udpEncapsulation = association.udpEncapsulation
        mode = association.mode
        isTransport = association.mode == .transport
        priority = association.priority
        localSelectors = association.localSelectors
        remoteSelectors = association.remoteSelectors
        treatment = association.treatment
        copiesDSCP = association.treatment.copiesDSCP.copiesOut
        carriesFragments = association.carriesFragments && association.mode == .tunnel
        let overhead = Overhead(association)
        self.overhead = overhead
        self.counters = counters
        let cipher = isForeign ? nil : association.makeCipher(sealing: true)
        self.cipher = cipher
        keyed = cipher.map(Unmanaged.passUnretained)
        tagOctets = cipher?.tagOctets ?? 0
        counter = SequenceCounter(extended: association.suite.extendedSequenceNumbers, used: sequence)
        header = isForeign ? nil : association.header.flatMap { OutboundHeader($0, sequence: sequence) }
        compressor = isForeign || association.compression == nil ? nil : PayloadCompressor()
        compressionIndex = association.compression?.index ?? 0
        aggregation = isForeign ? nil : association.aggregation
        aggregator = aggregation.map { overhead.aggregator($0, packetOctets: $0.packetOctets) }
        isServed = association.isServed(cipher: cipher != nil, header: header != nil)
        usage = Usage(association.limits)
        work = cipher?.prefersBatches == true ? WorkQueue() : nil
        identification = UInt16(truncatingIfNeeded: spi.value)
    }

    /// Makes payloads for outer packets of `octets` from now on. Those that were begun must be out: they are forgotten.
    package func resizePayloads(forPackets octets: Int) {
        guard let aggregation else { return }
        let resized = overhead.aggregator(aggregation, packetOctets: octets)
        if resized.capacity != aggregator?.capacity { aggregator = resized }
    }

    /// Fills in what a payload that is sent now says of congestion, where it does. `rate`: packets a second, 0 without.
    ///
    /// SAFETY: the caller vouches for a payload of the SA's ``aggregator``.
    package func tell(in payload: UnsafeMutableRawPointer, rate: Int, now: Instant) {
        guard let meter else { return }
        let pause = rate > 0 ? Duration.nanoseconds(1_000_000_000 / Int64(rate)) : .zero
        meter.information(transmitDelay: pause, now: now).write(to: payload)
    }

    func matches(_ flow: Flow) -> Bool { flow.isCovered(local: localSelectors, remote: remoteSelectors) }

    /// Whether packets are sealed where they lie: ESP alone. Others take ``wrap(_:view:into:now:)``.
    package var isPlain: Bool { header == nil && compressor == nil }

    /// Whether what ``wrap(_:view:into:now:)`` makes begins with an IP header.
    package var writesHeader: Bool { header != nil }

    /// Whether the outer packet must not be cut (RFC 4301 §8.1): where the inner one must not, unless told otherwise.
    package func forbidsFragments(_ view: PacketView) -> Bool { treatment.copiesDF && view.forbidsFragments }

    /// DSCP and ECN of the outer header (RFC 4301 §5.1.2.1, RFC 6040 §4.1).
    package func outerClass(_ inner: UInt8) -> UInt8 {
        if isTransport { return inner }
        return (copiesDSCP ? inner & 0xFC : 0) | (treatment.copiesECN ? inner & 3 : 0)
    }

    /// Where a packet of `count` octets goes; `view` describes it, or a larger one of which it is a segment. `nil` where
    /// the SA cannot be served, or cannot carry this packet: transport mode takes whole packets without IPv4 options or
    /// extension headers, since the outer header is the kernel's to write.
    @inline(__always)
    package func placement(_ view: PacketView, count: Int) -> Placement? {
        guard isServed, let cipher else { return nil }
        var placement = Placement(
            skippedOctets: 0, innerOctets: count, paddedOctets: count,
            nextHeader: ESP.tunnelNextHeader(view.flow.family), offset: ESP.headerOctets + cipher.ivOctets,
            sealedOctets: 0)
        if isTransport {
            guard view.isPlain, !view.isFragment, view.flow.family == remote.address.family else { return nil }
            placement.skippedOctets = view.headerOctets
            placement.innerOctets = count - view.headerOctets
            placement.paddedOctets = placement.innerOctets
            placement.nextHeader = view.flow.ipProtocol
        } else if case .octets(let least) = treatment.padding {
            placement.paddedOctets = max(count, Int(least))
        }
        placement.sealedOctets = sealedOctets(placement.paddedOctets, cipher)
        return placement
    }

    private func sealedOctets(_ count: Int, _ cipher: PacketCipher) -> Int {
        let block = cipher.blockOctets
        return ESP.headerOctets + cipher.ivOctets + (count + 2 + block - 1) & ~(block - 1) + cipher.tagOctets
    }

    /// The outcome of sealing.
    package struct Outcome {
        /// Octets made; 0 where the packet was dropped.
        package var octets: Int
        /// Where they begin.
        package var start = 0
        package var dropped: DropReason?
        /// Whether the SA's exhaustion should be reported now; said once.
        package var exhausted = false
        /// Whether the end of the SA's lifetime should be reported now; said once.
        package var expired = false
    }

    /// Wraps an inner packet that lies in its place (RFC 4303 §3.3): header and IV go in front of it, trailer and check
    /// value behind.
    ///
    /// SAFETY: the caller vouches for `placement.sealedOctets` writable octets at `start`, of which
    /// `placement.innerOctets` from `placement.offset` on are the inner ones.
    ///
    /// With `deferring`, the cipher's work may be left to ``sealDeferred()``, which must come before the packet is sent.
    @inline(__always)
    package func seal(
        _ start: UnsafeMutableRawPointer, _ placement: Placement, deferring: Bool = false, now: Instant
    ) -> Outcome {
        var outcome = Outcome(octets: 0)
        guard charge(placement.innerOctets + placement.skippedOctets, &outcome) else { return outcome }
        guard encapsulate(start, placement, deferring: deferring, &outcome) else { return outcome }
        counters.add(octets: placement.innerOctets + placement.skippedOctets, now: now)
        return outcome
    }

    /// Does what ``seal(_:_:deferring:now:)`` left over, for a whole batch at once. False where a packet of the batch must
    /// not be sent.
    package func sealDeferred() -> Bool {
        guard let work, let cipher, work.count > 0 else { return true }
        defer { work.count = 0 }
        cipher.seal(work.batch, esn: counter.extended)
        return work.batch.allSatisfy(\.isDone)
    }

    /// Counts an inner packet in that goes into a payload with others.
    package func admit(_ count: Int, now: Instant) -> Outcome {
        var outcome = Outcome(octets: 0)
        guard isServed else { return Outcome(octets: 0, dropped: .unsupported) }
        guard let aggregator, aggregator.takes(count) else { return Outcome(octets: 0, dropped: .tooBig) }
        if charge(count, &outcome) { counters.add(octets: count, now: now) }
        return outcome
    }

    /// Where an AGGFRAG payload of `count` octets goes.
    package func payloadPlacement(count: Int) -> Placement? {
        guard isServed, let cipher else { return nil }
        return Placement(
            skippedOctets: 0, innerOctets: count, paddedOctets: count, nextHeader: AggregatedPayload.nextHeader,
            offset: ESP.headerOctets + cipher.ivOctets, sealedOctets: sealedOctets(count, cipher))
    }

    /// Wraps a payload whose packets were counted by ``admit(_:now:)``.
    ///
    /// SAFETY: as for ``seal(_:_:deferring:now:)``.
    package func sealPayload(
        _ start: UnsafeMutableRawPointer, _ placement: Placement, deferring: Bool = false
    ) -> Outcome {
        var outcome = Outcome(octets: 0)
        _ = encapsulate(start, placement, deferring: deferring, &outcome)
        return outcome
    }

    /// A dummy packet (RFC 4303 §2.6): `count` octets of zeros that the peer discards, indistinguishable from others
    /// without the key. It uses up a number, and nothing of the SA's lifetime.
    ///
    /// SAFETY: the caller vouches for `count` + ``ESP/headroom`` + ``ESP/tailroom`` writable octets at `start`.
    package func sealDummy(_ start: UnsafeMutableRawPointer, count: Int) -> Outcome {
        var outcome = Outcome(octets: 0)
        guard isServed, let cipher else { return Outcome(octets: 0, dropped: .unsupported) }
        let placement = Placement(
            skippedOctets: 0, innerOctets: 0, paddedOctets: count, nextHeader: ESP.nextHeaderNone,
            offset: ESP.headerOctets + cipher.ivOctets, sealedOctets: sealedOctets(count, cipher))
        _ = encapsulate(start, placement, &outcome)
        return outcome
    }

    @inline(__always)
    private func charge(_ count: Int, _ outcome: inout Outcome) -> Bool {
        switch usage.charge(count) {
        case .fine: return true
        case .nearlyUsedUp:
            outcome.exhausted = !reportedExhaustion
            reportedExhaustion = true
            return true
        case .usedUp(let isNews):
            outcome.dropped = .lifetimeEnded
            outcome.expired = isNews
            return false
        }
    }

    /// False, with the reason in the outcome, where the packet must not be sent.
    private func encapsulate(
        _ start: UnsafeMutableRawPointer, _ placement: Placement, deferring: Bool = false, _ outcome: inout Outcome
    ) -> Bool {
        guard let keyed else {
            outcome.dropped = .unsupported
            return false
        }
        guard let sequence = counter.next() else {
            outcome.dropped = .sequenceExhausted
            reportExhaustion(&outcome)
            return false
        }
        // 1. Trailer: octets of zero that hide the length, padding 1, 2, 3 …, its length and the next header.
        let text = start + placement.offset
        if placement.paddedOctets > placement.innerOctets {
            (text + placement.innerOctets).initializeMemory(
                as: UInt8.self, repeating: 0, count: placement.paddedOctets - placement.innerOctets)
        }
        let trailer = text + placement.paddedOctets
        let padding = placement.sealedOctets - placement.offset - tagOctets - placement.paddedOctets - 2
        for index in 0..<padding {
            trailer.storeBytes(of: UInt8(truncatingIfNeeded: index + 1), toByteOffset: index, as: UInt8.self)
        }
        trailer.storeBytes(of: UInt8(truncatingIfNeeded: padding), toByteOffset: padding, as: UInt8.self)
        trailer.storeBytes(of: placement.nextHeader, toByteOffset: padding + 1, as: UInt8.self)
        // 2. Header.
        start.store(bigEndian: spi.value, at: 0)
        start.store(bigEndian: UInt32(truncatingIfNeeded: sequence), at: 4)
        // 3. IV, ciphertext and check value.
        if deferring, let work, work.hasRoom {
            work.add(PacketCipher.Work(packet: start, count: placement.sealedOctets, sequence: sequence))
        } else {
            if let work, work.count > 0, !sealDeferred() {
                outcome.dropped = .sealFailed
                return false
            }
            let isSealed = keyed._withUnsafeGuaranteedRef {
                $0.seal(start, count: placement.sealedOctets, sequence: sequence, esn: counter.extended)
            }
            guard isSealed else {
                outcome.dropped = .sealFailed
                return false
            }
        }
        outcome.octets = placement.sealedOctets
        if counter.isNearlyExhausted { reportExhaustion(&outcome) }
        return true
    }

    private func reportExhaustion(_ outcome: inout Outcome) {
        if !reportedExhaustion { outcome.exhausted = true }
        reportedExhaustion = true
    }
}

// MARK: More than ESP

extension OutboundAssociation {
    /// Octets in front of the content of a wrapped packet: an IPv6 header, AH, ESP and an IV.
    private static let wrapHeadroom = 40 + AH.fixedOctets + 64 + 8 + ESP.headroom
    /// What ``wrap(_:view:into:now:)`` may write, for an inner packet of `count` octets.
    package static func wrapOctets(_ count: Int) -> Int { wrapHeadroom + count + 8 + ESP.tailroom }

    /// Wraps an inner packet by copying it: compressed, inside ESP, inside AH, as the SA has it (RFC 3173 §2.2: before
    /// any other; RFC 4302 §3.1: AH authenticates the outer IP header, which is therefore written here).
    ///
    /// SAFETY: the caller vouches for the packet that `view` describes, whole, and for ``wrapOctets(_:)`` writable octets
    /// at `room`.
    package func wrap(
        _ packet: UnsafeRawPointer, view: PacketView, into room: UnsafeMutableRawPointer, now: Instant
    ) -> Outcome {
        var outcome = Outcome(octets: 0)
        guard isServed, !(writesHeader && udpEncapsulation) else { return Outcome(octets: 0, dropped: .unsupported) }
        var skipped = 0
        var nextHeader = ESP.tunnelNextHeader(view.flow.family)
        if isTransport {
            guard view.isPlain, !view.isFragment, view.flow.family == remote.address.family else {
                return Outcome(octets: 0, dropped: .unsupported)
            }
            skipped = view.headerOctets
            nextHeader = view.flow.ipProtocol
        }
        guard charge(view.octets, &outcome) else { return outcome }
        // 1. The content, compressed where that helps.
        let content = room + Self.wrapHeadroom
        var count = view.octets - skipped
        if let compressor,
            let compressed = compressor.compress(
                packet + skipped, count, into: content + PayloadCompression.headerOctets)
        {
            content.storeBytes(of: nextHeader, as: UInt8.self)
            content.storeBytes(of: 0, toByteOffset: 1, as: UInt8.self)
            content.store(bigEndian: compressionIndex, at: 2)
            nextHeader = PayloadCompression.ipProtocol
            count = compressed + PayloadCompression.headerOctets
        } else {
            content.copyMemory(from: packet + skipped, byteCount: count)
        }
        var start = Self.wrapHeadroom
        // 2. ESP.
        if let cipher {
            let offset = ESP.headerOctets + cipher.ivOctets
            let placement = Placement(
                skippedOctets: skipped, innerOctets: count, paddedOctets: count, nextHeader: nextHeader,
                offset: offset, sealedOctets: sealedOctets(count, cipher))
            guard encapsulate(content - offset, placement, &outcome) else { return outcome }
            nextHeader = ESP.ipProtocol
            start -= offset
            count = placement.sealedOctets
        }
        // 3. AH, and the outer IP header.
        if let header {
            let family = remote.address.family
            let ipOctets = family == .v4 ? 20 : 40
            let total = ipOctets + header.octets(family) + count
            start -= ipOctets + header.octets(family)
            writeOuterHeader(room + start, total, view)
            guard
                total <= 65_535,
                header.seal(
                    room + start, headerOctets: ipOctets, count: total, nextHeader: nextHeader, family)
            else {
                outcome.octets = 0
                outcome.dropped = .sequenceExhausted
                reportExhaustion(&outcome)
                return outcome
            }
            if header.isNearlyExhausted { reportExhaustion(&outcome) }
            count = total
        }
        counters.add(octets: view.octets, now: now)
        outcome.octets = count
        outcome.start = start
        return outcome
    }

    /// RFC 791 §3.1, RFC 8200 §3. The checksum stays zero; the kernel fills it in.
    private func writeOuterHeader(_ header: UnsafeMutableRawPointer, _ total: Int, _ view: PacketView) {
        let trafficClass = outerClass(view.trafficClass)
        switch remote.address.family {
        case .v4:
            identification = identification == .max ? 1 : identification + 1
            header.storeBytes(of: 0x45, as: UInt8.self)
            header.storeBytes(of: trafficClass, toByteOffset: 1, as: UInt8.self)
            header.store(bigEndian: UInt16(truncatingIfNeeded: total), at: 2)
            header.store(bigEndian: identification, at: 4)
            header.store(bigEndian: UInt16(forbidsFragments(view) ? 0x4000 : 0), at: 6)
            header.storeBytes(of: 64, toByteOffset: 8, as: UInt8.self)
            header.storeBytes(of: AH.ipProtocol, toByteOffset: 9, as: UInt8.self)
            header.store(bigEndian: UInt16(0), at: 10)
            header.store(bigEndian: UInt32(truncatingIfNeeded: local.address.value), at: 12)
            header.store(bigEndian: UInt32(truncatingIfNeeded: remote.address.value), at: 16)
        case .v6:
            header.store(bigEndian: UInt32(0x6000_0000) | UInt32(trafficClass) << 20, at: 0)
            header.store(bigEndian: UInt16(truncatingIfNeeded: total - 40), at: 4)
            header.storeBytes(of: AH.ipProtocol, toByteOffset: 6, as: UInt8.self)
            header.storeBytes(of: 64, toByteOffset: 7, as: UInt8.self)
            header.store(bigEndian: local.address.value, at: 8)
            header.store(bigEndian: remote.address.value, at: 24)
        }
    }
}

extension SecurityAssociation {
    /// The same SA with padding to the tunnel's MTU said in octets.
    package func padded(toMTU mtu: Int) -> SecurityAssociation {
        guard treatment.padding == .mtu else { return self }
        var association = self
        association.treatment.padding = .octets(UInt16(clamping: mtu))
        return association
    }

    /// The SA's ESP cipher; `nil` with AH alone, and for an algorithm that this build lacks.
    func makeCipher(sealing: Bool) -> PacketCipher? {
        guard securityProtocol == .esp else { return nil }
        return try? PacketCipher(
            suite: suite.encryption, integrity: suite.integrity, encryptionKey: keys.encryption,
            integrityKey: keys.integrity, sealing: sealing)
    }

    /// The SA's AH, whether alone or around ESP.
    var header: AuthenticationHeader? {
        guard securityProtocol == .ah else { return authenticationHeader }
        guard let integrity = suite.integrity, let key = keys.integrity else { return nil }
        return AuthenticationHeader(
            spi: spi, integrity: integrity, key: key, extendedSequenceNumbers: suite.extendedSequenceNumbers)
    }

    /// Whether all that the SA is made of could be made.
    func isServed(cipher: Bool, header made: Bool) -> Bool {
        switch securityProtocol {
        case .esp: cipher && (authenticationHeader == nil || made)
        case .ah: made
        default: false
        }
    }
}
