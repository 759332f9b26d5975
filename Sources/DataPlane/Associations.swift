import Cryptography
package import IPsec
package import Primitives

/// Sizes of an ESP packet in a buffer (RFC 4303 §2).
package enum ESP {
    /// SPI and sequence number.
    package static let headerOctets = 8
    /// Room that sealing needs in front of the inner packet: the header and the longest IV.
    package static let headroom = headerOctets + 16
    /// Room that sealing needs behind it: padding to a block of 16, two trailer octets, the longest check value.
    package static let tailroom = 16 + 2 + 32

    static let nextHeaderIPv4: UInt8 = 4
    static let nextHeaderIPv6: UInt8 = 41
    static let nextHeaderNone: UInt8 = 59
}

/// An outbound SA at work: its cipher and its counter. Belongs to one worker.
package final class OutboundAssociation {
    package let child: ChildID
    package let requestID: UInt32
    package let spi: SPI
    package internal(set) var local: Endpoint
    package internal(set) var remote: Endpoint
    package let udpEncapsulation: Bool
    package let counters: AssociationCounters
    let localSelectors: [TrafficSelector]
    let remoteSelectors: [TrafficSelector]

    /// Past this number the SA should be replaced: 2^20 packets remain without extended numbers.
    package static let softLimit = UInt64(1) << 32 - UInt64(1) << 20

    private let cipher: PacketCipher?
    private let extended: Bool
    private let hardLimit: UInt64
    private let softLimit: UInt64
    private var sequence: UInt64
    private var reportedExhaustion = false

    /// `sequence` is the last number used: 0 but in tests.
    package init(_ association: SecurityAssociation, counters: AssociationCounters, sequence: UInt64 = 0) {
        child = association.child
        requestID = association.requestID
        spi = association.spi
        local = association.local
        remote = association.remote
        udpEncapsulation = association.udpEncapsulation
        localSelectors = association.localSelectors
        remoteSelectors = association.remoteSelectors
        self.counters = counters
        cipher = association.makeCipher(sealing: true)
        extended = association.suite.extendedSequenceNumbers
        hardLimit = extended ? .max : UInt64(UInt32.max)
        softLimit = extended ? .max - UInt64(1) << 20 : OutboundAssociation.softLimit
        self.sequence = sequence
    }

    func matches(_ flow: Flow) -> Bool {
        let source = flow.sourceAddress
        let destination = flow.destinationAddress
        return localSelectors.contains {
            $0.matches(source, ipProtocol: flow.ipProtocol, port: flow.hasPorts ? flow.sourcePort : nil)
        }
            && remoteSelectors.contains {
                $0.matches(destination, ipProtocol: flow.ipProtocol, port: flow.hasPorts ? flow.destinationPort : nil)
            }
    }

    /// Octets of ESP that an inner packet of `count` octets becomes; `nil` where the SA cannot be served.
    package func sealedOctets(_ count: Int) -> Int? {
        guard let cipher else { return nil }
        return ESP.headerOctets + cipher.ivOctets + OutboundAssociation.padded(count, cipher.blockOctets)
            + cipher.tagOctets
    }

    /// Octets from the start of the ESP packet to its inner packet; `nil` where the SA cannot be served.
    package var innerOffset: Int? { cipher.map { ESP.headerOctets + $0.ivOctets } }

    private static func padded(_ count: Int, _ block: Int) -> Int { (count + 2 + block - 1) / block * block }

    /// The outcome of sealing.
    package struct Outcome {
        /// Octets of ESP from ``innerOffset`` before the inner packet; 0 where it was dropped.
        package var octets: Int
        package var dropped: DropReason?
        /// Whether the SA's exhaustion should be reported now; said once.
        package var exhausted = false
    }

    /// Wraps the inner packet in place (RFC 4303 §3.3): header and IV go in front of it, trailer and check value behind.
    ///
    /// SAFETY: the caller vouches for ``ESP/headroom`` writable octets before `inner` and `count` +
    /// ``ESP/tailroom`` from it on.
    package func seal(_ inner: UnsafeMutableRawPointer, count: Int, isV6: Bool, now: Instant) -> Outcome {
        guard let cipher else { return Outcome(octets: 0, dropped: .unsupported) }
        guard sequence < hardLimit else {
            defer { reportedExhaustion = true }
            return Outcome(octets: 0, dropped: .sequenceExhausted, exhausted: !reportedExhaustion)
        }
        sequence += 1
        // 1. Trailer: padding 1, 2, 3 …, its length and the next header.
        let padded = OutboundAssociation.padded(count, cipher.blockOctets)
        let padding = padded - count - 2
        let trailer = inner + count
        for index in 0..<padding {
            trailer.storeBytes(of: UInt8(truncatingIfNeeded: index + 1), toByteOffset: index, as: UInt8.self)
        }
        trailer.storeBytes(of: UInt8(truncatingIfNeeded: padding), toByteOffset: padding, as: UInt8.self)
        trailer.storeBytes(
            of: isV6 ? ESP.nextHeaderIPv6 : ESP.nextHeaderIPv4, toByteOffset: padding + 1, as: UInt8.self)
        // 2. Header.
        let start = inner - (ESP.headerOctets + cipher.ivOctets)
        start.store(bigEndian: spi.value, at: 0)
        start.store(bigEndian: UInt32(truncatingIfNeeded: sequence), at: 4)
        // 3. IV, ciphertext and check value.
        let octets = ESP.headerOctets + cipher.ivOctets + padded + cipher.tagOctets
        guard cipher.seal(start, count: octets, sequence: sequence, esn: extended) else {
            return Outcome(octets: 0, dropped: .sealFailed)
        }
        counters.add(octets: count, now: now)
        guard sequence >= softLimit, !reportedExhaustion else { return Outcome(octets: octets) }
        reportedExhaustion = true
        return Outcome(octets: octets, exhausted: true)
    }
}

/// An inbound SA at work: its cipher and its replay window. Belongs to one worker.
package final class InboundAssociation {
    package let child: ChildID
    package let spi: SPI
    package internal(set) var local: Endpoint
    package internal(set) var remote: Endpoint
    package let udpEncapsulation: Bool
    package let counters: AssociationCounters
    private let localSelectors: [TrafficSelector]
    private let remoteSelectors: [TrafficSelector]
    private let cipher: PacketCipher?
    private let extended: Bool
    private var window: ReplayWindow
    private var lastMatch: Flow?
    private var lastReport: Instant?
    private var reportedEndpoint: Endpoint?

    package init(_ association: SecurityAssociation, counters: AssociationCounters) {
        child = association.child
        spi = association.spi
        local = association.local
        remote = association.remote
        udpEncapsulation = association.udpEncapsulation
        localSelectors = association.localSelectors
        remoteSelectors = association.remoteSelectors
        self.counters = counters
        cipher = association.makeCipher(sealing: false)
        extended = association.suite.extendedSequenceNumbers
        window = ReplayWindow(packets: association.replayWindowPackets, extended: extended)
    }

    /// What came of a packet.
    package struct Outcome {
        package var dropped: DropReason?
        /// The inner packet: where it starts, counted from the ESP header, and its headers.
        package var offset = 0
        package var view: PacketView?
        /// Whether traffic should be reported now.
        package var reportsTraffic = false
        /// Whether a new endpoint of the peer should be reported now.
        package var reportsEndpoint = false

        static func drop(_ reason: DropReason) -> Outcome { Outcome(dropped: reason) }
    }

    /// Unwraps the packet in place (RFC 4303 §3.4).
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `packet`, at least ``ESP/headerOctets``.
    package func open(
        _ packet: UnsafeMutableRawPointer, count: Int, from: Endpoint, now: Instant
    ) -> Outcome {
        guard let cipher else { return .drop(.unsupported) }
        let overhead = ESP.headerOctets + cipher.ivOctets + cipher.tagOctets
        let plainOctets = count - overhead
        guard plainOctets >= 2, plainOctets.isMultiple(of: cipher.blockOctets) else { return .drop(.malformed) }
        // 1. Replay, before any work is spent on the packet.
        let raw = UnsafeRawPointer(packet)
        guard let sequence = window.sequence(low: raw.bigEndian32(at: 4)), window.accepts(sequence) else {
            return .drop(.replayed)
        }
        // 2. Integrity and decryption; only then does the window move.
        guard cipher.open(packet, count: count, sequence: sequence, esn: extended) else {
            return .drop(.authenticationFailed)
        }
        let isNewest = sequence > window.top
        window.insert(sequence)
        var outcome = Outcome()
        if isNewest, udpEncapsulation, from != remote, from != reportedEndpoint {
            reportedEndpoint = from
            outcome.reportsEndpoint = true
        }
        if lastReport.map({ now - $0 >= .seconds(1) }) ?? true {
            lastReport = now
            outcome.reportsTraffic = true
        }
        // 3. Trailer.
        outcome.offset = ESP.headerOctets + cipher.ivOctets
        let inner = raw + outcome.offset
        let padding = Int(inner.load(fromByteOffset: plainOctets - 2, as: UInt8.self))
        let nextHeader = inner.load(fromByteOffset: plainOctets - 1, as: UInt8.self)
        guard padding + 2 <= plainOctets else {
            outcome.dropped = .paddingInvalid
            return outcome
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
            return outcome
        }
        // 4. The inner packet; what it does not claim is traffic flow confidentiality padding (RFC 4303 §2.7).
        switch nextHeader {
        case ESP.nextHeaderIPv4, ESP.nextHeaderIPv6:
            guard let view = PacketView(inner, count: payloadOctets),
                view.flow.family == (nextHeader == ESP.nextHeaderIPv4 ? .v4 : .v6)
            else {
                outcome.dropped = .malformed
                return outcome
            }
            // 5. Selectors (RFC 4301 §5.2).
            guard matches(view.flow) else {
                outcome.dropped = .outsideSelectors
                return outcome
            }
            outcome.view = view
            counters.add(octets: view.octets, now: now)
        case ESP.nextHeaderNone: outcome.dropped = .dummy
        default: outcome.dropped = .nextHeader
        }
        return outcome
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

extension SecurityAssociation {
    /// The SA's cipher; `nil` for what this plane does not serve: AH, transport mode, an unknown algorithm.
    fileprivate func makeCipher(sealing: Bool) -> PacketCipher? {
        guard securityProtocol == .esp, mode == .tunnel else { return nil }
        return try? PacketCipher(
            suite: suite.encryption, integrity: suite.integrity, encryptionKey: keys.encryption,
            integrityKey: keys.integrity, sealing: sealing)
    }
}
