package import IPsec
package import ISAKMP
import Primitives

/// How long an IPsec SA lasts, in both ways that RFC 2407 §4.5 counts; 0 is no limit.
package struct PhaseTwoLife: Hashable, Sendable {
    package var seconds: UInt32 = 0
    /// Of 1024 octets each (RFC 2407 §4.5).
    package var kilobytes: UInt32 = 0

    private static let type: UInt16 = 1
    private static let duration: UInt16 = 2
    private static let inSeconds: UInt16 = 1
    private static let inKilobytes: UInt16 = 2
    /// A notification holds no more attributes than two lifetimes take; peers may repeat some.
    private static let maximumAttributes = 16

    package init(seconds: UInt32 = 0, kilobytes: UInt32 = 0) {
        self.seconds = seconds
        self.kilobytes = kilobytes
    }

    /// What a child's policy allows: its hard limits.
    package init(_ policy: ChildPolicy) {
        seconds = UInt32(clamping: policy.lifeTime.wholeSeconds)
        let octets = policy.octetLifetime.life
        kilobytes = UInt32(clamping: octets / 1024 + (octets % 1024 == 0 ? 0 : 1))
    }

    /// What attributes name; of several of a kind the smallest.
    init(_ attributes: [DataAttribute]) {
        seconds = IPsecDOI.lifetime(attributes, type: Self.type, duration: Self.duration) ?? 0
        kilobytes =
            IPsecDOI.lifetime(attributes, type: Self.type, duration: Self.duration, unit: UInt64(Self.inKilobytes)) ?? 0
    }

    /// The data of RESPONDER-LIFETIME (RFC 2407 §4.6.3.1); `nil` where it is malformed.
    package init?(parsing data: [UInt8]) {
        guard let attributes = IPsecDOI.attributes(data, atMost: Self.maximumAttributes) else { return nil }
        self.init(attributes)
    }

    /// As a transform carries it: a type, then how much.
    package var attributes: [DataAttribute] {
        var attributes: [DataAttribute] = []
        for (unit, number) in [(Self.inSeconds, seconds), (Self.inKilobytes, kilobytes)] where number > 0 {
            attributes += [DataAttribute(Self.type, unit), DataAttribute(Self.duration, number: number)]
        }
        return attributes
    }

    /// As RESPONDER-LIFETIME carries it.
    package var octets: [UInt8] { attributes.flatMap(\.octets) }

    /// In each way the smaller of the two that limits.
    package func shorter(_ other: PhaseTwoLife) -> PhaseTwoLife {
        func least(_ one: UInt32, _ two: UInt32) -> UInt32 { one == 0 || two == 0 ? max(one, two) : min(one, two) }
        return PhaseTwoLife(
            seconds: least(seconds, other.seconds), kilobytes: least(kilobytes, other.kilobytes))
    }

    /// Whether this ends an SA that the other would not end yet.
    package func ends(before other: PhaseTwoLife) -> Bool {
        func isLess(_ one: UInt32, _ two: UInt32) -> Bool { one > 0 && (two == 0 || one < two) }
        return isLess(seconds, other.seconds) || isLess(kilobytes, other.kilobytes)
    }

    /// The limits of an SA that must not carry more than this. It is replaced a tenth before that at the latest.
    package func limiting(_ limits: TrafficLimits) -> TrafficLimits {
        guard kilobytes > 0 else { return limits }
        var limits = limits
        let octets = UInt64(kilobytes) * 1024
        if limits.hardOctets == 0 || octets < limits.hardOctets { limits.hardOctets = octets }
        let soft = limits.hardOctets / 10 * 9
        if limits.softOctets == 0 || limits.softOctets > soft { limits.softOctets = max(soft, 1) }
        return limits
    }
}
