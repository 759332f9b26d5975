package import Cryptography
package import Primitives

/// A 32-bit security parameters index (RFC 4301 §4.1). 0 to 255 are reserved and never chosen.
package struct SPI: Hashable, Sendable, CustomStringConvertible {
    package var value: UInt32
    package init(_ value: UInt32) { self.value = value }

    /// Eight hexadecimal digits.
    package var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}

/// An IPsec protocol by the number that both IKEs use in proposals (RFC 2407 §4.4.1, RFC 7296 §3.3.1).
package struct SecurityProtocol: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// The ISAKMP or IKE SA itself.
    package static let ike = SecurityProtocol(rawValue: 1)
    package static let ah = SecurityProtocol(rawValue: 2)
    package static let esp = SecurityProtocol(rawValue: 3)
    /// IP payload compression, in IKEv1's proposals alone.
    package static let ipcomp = SecurityProtocol(rawValue: 4)
}

/// How an SA wraps packets (RFC 4301 §4.1).
package enum SecurityMode: String, Hashable, Sendable {
    case tunnel
    case transport

    /// charon's name, which has one of its own for a tunnel whose packets share payloads (RFC 9347).
    package func listed(sharesPayloads: Bool) -> String { sharesPayloads ? "IPTFS" : rawValue.uppercased() }
}

/// Names a child SA pair on this node, across its inbound and outbound halves. Never reused while the daemon runs.
package struct ChildID: Hashable, Sendable, CustomStringConvertible {
    package var value: UInt32
    package init(_ value: UInt32) { self.value = value }
    package var description: String { String(value) }
}

/// The keys of one direction of an SA.
package struct KeyMaterial: Sendable {
    /// Cipher key followed by its salt: ``Encryption/keyMaterialOctets`` octets.
    package var encryption: Secret
    /// ``IntegrityID/keyOctets`` octets; `nil` with an AEAD.
    package var integrity: Secret?

    package init(encryption: Secret, integrity: Secret?) {
        self.encryption = encryption
        self.integrity = integrity
    }
}

/// One direction of an IPsec SA, ready to install: all that a data plane must know (RFC 4301 §4.4.2).
package struct SecurityAssociation: Sendable {
    package enum Direction: Hashable, Sendable { case inbound, outbound }

    package var direction: Direction
    package var child: ChildID
    /// The name of the child's configuration.
    package var name: String
    /// Equal for all SAs that serve one policy: a rekeyed child keeps it. A newer outbound SA of the same request
    /// takes over from an older one at once.
    package var requestID: UInt32
    /// The receiver's choice: ours for inbound, the peer's for outbound.
    package var spi: SPI
    package var securityProtocol: SecurityProtocol
    package var mode: SecurityMode
    package var local: Endpoint
    package var remote: Endpoint
    /// ESP inside UDP (RFC 3948), between the ports of `local` and `remote`.
    package var udpEncapsulation: Bool
    package var suite: Suite
    package var keys: KeyMaterial
    package var localSelectors: [TrafficSelector]
    package var remoteSelectors: [TrafficSelector]
    /// Packets of anti-replay window; 0 turns the check off.
    package var replayWindowPackets: Int
    package var limits = TrafficLimits.none
    package var treatment = PacketTreatment()
    /// The place of the SA's policy in the SPD: smaller ones first, 0 for where its selectors put it.
    package var priority: UInt32 = 0
    /// AH around this ESP SA: packets get both, ESP first (RFC 4301 §3.2, an "SA bundle" of RFC 2401 §4.3).
    package var authenticationHeader: AuthenticationHeader?
    /// Whether later fragments pass whose first fragment the selectors cover (RFC 4301 §7.3).
    package var carriesFragments = false
    /// AGGFRAG payloads in place of inner packets (RFC 9347); tunnel mode and ESP alone.
    package var aggregation: Aggregation?
    /// Its number among SAs of the same policy that are in use together, 0 for the first or only one (RFC 9611).
    package var resource = 0
    /// Outbound: the peer asked for it, and may not have our answer yet.
    package var mayBeUnknown = false
    /// Compression inside this SA (RFC 3173).
    package var compression: Compression?

    package init(
        direction: Direction, child: ChildID, name: String, requestID: UInt32, spi: SPI,
        securityProtocol: SecurityProtocol = .esp, mode: SecurityMode = .tunnel, local: Endpoint, remote: Endpoint,
        udpEncapsulation: Bool, suite: Suite, keys: KeyMaterial, localSelectors: [TrafficSelector],
        remoteSelectors: [TrafficSelector], replayWindowPackets: Int
    ) {
        self.direction = direction
        self.child = child
        self.name = name
        self.requestID = requestID
        self.spi = spi
        self.securityProtocol = securityProtocol
        self.mode = mode
        self.local = local
        self.remote = remote
        self.udpEncapsulation = udpEncapsulation
        self.suite = suite
        self.keys = keys
        self.localSelectors = localSelectors
        self.remoteSelectors = remoteSelectors
        self.replayWindowPackets = replayWindowPackets
    }
}

/// The AH half of an SA that has ESP and AH (RFC 4302).
package struct AuthenticationHeader: Sendable {
    package var spi: SPI
    package var integrity: IntegrityID
    package var key: Secret
    package var extendedSequenceNumbers: Bool

    package init(spi: SPI, integrity: IntegrityID, key: Secret, extendedSequenceNumbers: Bool = false) {
        self.spi = spi
        self.integrity = integrity
        self.key = key
        self.extendedSequenceNumbers = extendedSequenceNumbers
    }
}

/// The compression of an SA (RFC 3173): DEFLATE (RFC 2394), the one algorithm on offer.
package struct Compression: Hashable, Sendable {
    /// The receiver's compression parameter index: ours for inbound, the peer's for outbound.
    package var index: UInt16

    package init(index: UInt16) { self.index = index }

    /// IPCOMP_DEFLATE, by which both IKEs name the algorithm (RFC 2407 §4.4.5, RFC 7296 §3.10.1); as an index it is the
    /// well-known one (RFC 3173 §3.3).
    package static let deflate: UInt8 = 2
}

/// What an engine counts for one direction of a child.
package struct TrafficCounters: Hashable, Sendable {
    package var packets: UInt64
    package var octets: UInt64
    /// When the last packet passed; `nil` before the first.
    package var lastUse: Instant?

    package init(packets: UInt64 = 0, octets: UInt64 = 0, lastUse: Instant? = nil) {
        self.packets = packets
        self.octets = octets
        self.lastUse = lastUse
    }

    /// The sum of both, with the later use.
    package static func + (left: TrafficCounters, right: TrafficCounters) -> TrafficCounters {
        TrafficCounters(
            packets: left.packets &+ right.packets, octets: left.octets &+ right.octets,
            lastUse: [left.lastUse, right.lastUse].compactMap { $0 }.max())
    }
}

/// What carries the packets: the userspace data plane, a kernel, or a recording fake. Calls post changes; none blocks
/// on packets.
package protocol IPsecEngine: AnyObject {
    /// Puts one direction of an SA to work. A newer outbound SA with the same `requestID` takes the traffic over.
    func install(_ association: SecurityAssociation)
    /// We have offered this SPI to a peer, whose packets may come before the SA is installed; they should wait a moment.
    func expect(_ spi: SPI)
    /// Takes one direction away and wipes its keys. Unknown pairs are ignored.
    func remove(_ spi: SPI, _ direction: SecurityAssociation.Direction, of child: ChildID)
    /// Puts an SPD entry without an SA into force.
    func install(_ policy: SecurityPolicy)
    /// Takes it away; what waits for its SA is dropped. Unknown ones are ignored.
    func remove(_ policy: SecurityPolicy)
    /// The peer's or our own address or port changed (NAT mapping, MOBIKE): both directions of the child follow.
    func move(_ child: ChildID, local: Endpoint, remote: Endpoint)
    /// Counters of a child's two directions, summed over what is installed now; `nil` for an unknown child.
    func counters(of child: ChildID) -> (inbound: TrafficCounters, outbound: TrafficCounters)?
}
