package import Primitives

/// How much an SA may carry, in octets of inner packets and in packets (RFC 4301 §4.4.2.1: the lifetime in both its
/// forms). Zero is no limit.
package struct TrafficLimits: Hashable, Sendable {
    /// Past these the SA should be replaced.
    package var softOctets: UInt64 = 0
    package var softPackets: UInt64 = 0
    /// An SA that has carried this much carries nothing more.
    package var hardOctets: UInt64 = 0
    package var hardPackets: UInt64 = 0

    package init(
        softOctets: UInt64 = 0, softPackets: UInt64 = 0, hardOctets: UInt64 = 0, hardPackets: UInt64 = 0
    ) {
        self.softOctets = softOctets
        self.softPackets = softPackets
        self.hardOctets = hardOctets
        self.hardPackets = hardPackets
    }

    package static let none = TrafficLimits()
}

/// A lifetime that counts: octets or packets. Zeros turn its parts off.
package struct CountedLifetime: Hashable, Sendable {
    /// When the SA is replaced.
    package var rekey: UInt64 = 0
    /// When it ends whatever happens.
    package var life: UInt64 = 0
    /// Up to this much is taken off `rekey` at random, so that peers do not rekey at once.
    package var random: UInt64 = 0

    package init(rekey: UInt64 = 0, life: UInt64 = 0, random: UInt64 = 0) {
        self.rekey = rekey
        self.life = life
        self.random = random
    }

    /// The soft limit of one SA; at least 1 where there is one.
    fileprivate func soft(_ randomness: inout Randomness) -> UInt64 {
        guard rekey > 0 else { return 0 }
        guard random > 0 else { return rekey }
        let taken = randomness.below(random == .max ? .max : random + 1)
        return rekey > taken ? rekey - taken : 1
    }
}

extension ChildPolicy {
    /// The limits of one new SA, with the jitter drawn.
    package func limits(_ randomness: inout Randomness) -> TrafficLimits {
        TrafficLimits(
            softOctets: octetLifetime.soft(&randomness), softPackets: packetLifetime.soft(&randomness),
            hardOctets: octetLifetime.life, hardPackets: packetLifetime.life)
    }
}

/// Padding behind the inner packet that hides its length (RFC 4303 §2.7); for tunnel mode, where the packet says its own
/// length.
package enum TrafficFlowPadding: Hashable, Sendable {
    case none
    /// Inner packets are padded to this many octets at least.
    case octets(UInt16)
    /// Inner packets are padded to the tunnel's MTU.
    case mtu
}

/// Between which headers DSCP is copied (RFC 4301 §5.1.2.1, RFC 2983).
package enum DSCPCopy: String, Hashable, Sendable {
    case no, `in`, out, yes

    /// Whether the inner header's value shows outside.
    package var copiesOut: Bool { self == .out || self == .yes }
    /// Whether the outer header's value replaces the inner one's.
    package var copiesIn: Bool { self == .in || self == .yes }
}

/// How one SA's packets are wrapped beyond what its algorithms say.
package struct PacketTreatment: Hashable, Sendable {
    package var padding = TrafficFlowPadding.none
    /// The outer header has the inner one's DF bit (RFC 4301 §8.1); otherwise it never has.
    package var copiesDF = true
    /// ECN crosses the tunnel (RFC 6040 §4); otherwise the outer header says not-ECT, and what it says is ignored.
    package var copiesECN = true
    package var copiesDSCP = DSCPCopy.out

    package init() {}
}
