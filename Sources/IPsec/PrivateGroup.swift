package import Cryptography
package import Primitives

/// A Diffie-Hellman group under a private number (RFC 2409 §5.6, Appendix A), which means something to two ends that
/// agreed on it only. It has been checked: whoever holds one may compute in it.
package struct PrivateGroup: Sendable {
    /// The group's own numbers, with what computes in it.
    package enum Form: Sendable {
        case modp(PrimeGroup.Parameters, PrimeGroup)
        case curve(EllipticCurve.Parameters, EllipticCurve)
    }

    package let number: KeyExchangeID
    package let form: Form

    /// RFC 2409 Appendix A: values of the group attribute for private use among parties that agree.
    package static let numbers: ClosedRange<UInt16> = 32_768...65_535

    /// A group whose numbers were checked already.
    package init(_ number: KeyExchangeID, vetted form: Form) {
        self.number = number
        self.form = form
    }

    /// Checks a MODP group: primality, generator and order. Takes some 100 ms for 2048 bits.
    ///
    /// - Throws: what is wrong with the group.
    package init(
        _ number: KeyExchangeID, checking parameters: PrimeGroup.Parameters, _ limits: GroupLimits,
        _ randomness: inout Randomness
    ) throws(GroupDefect) {
        self.init(number, vetted: .modp(parameters, try PrimeGroup.checked(parameters, limits, &randomness)))
    }

    /// Checks an elliptic curve: the field, the curve, the generator and its order.
    ///
    /// - Throws: what is wrong with the group.
    package init(
        _ number: KeyExchangeID, checking parameters: EllipticCurve.Parameters, _ limits: GroupLimits,
        _ randomness: inout Randomness
    ) throws(GroupDefect) {
        self.init(number, vetted: .curve(parameters, try EllipticCurve.checked(parameters, limits, &randomness)))
    }

    /// Whether both are the same group, whatever their numbers.
    package func isSameGroup(as other: PrivateGroup) -> Bool {
        switch (form, other.form) {
        case (.modp(let own, _), .modp(let others, _)): own == others
        case (.curve(let own, _), .curve(let others, _)): own == others
        case (.modp, .curve), (.curve, .modp): false
        }
    }
}

extension PrivateGroup: Hashable {
    package static func == (left: PrivateGroup, right: PrivateGroup) -> Bool {
        left.number == right.number && left.isSameGroup(as: right)
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(number) }
}

extension KeyExchangeID {
    /// Whether the number is for private use (RFC 2409 Appendix A).
    package var isPrivate: Bool { PrivateGroup.numbers.contains(rawValue) }
}

/// Groups that peers and we agreed on in New Group Mode, for the Main Modes that come after (RFC 2409 §5.6: "only the
/// group identifier is passed in the clear during phase 1"). Bounded: the oldest goes first.
package struct AgreedGroups: Sendable {
    /// Groups kept on a node; each took an authenticated peer.
    package static let maximumCount = 64

    private var entries: [(peer: IPAddress, group: PrivateGroup)] = []

    package init() {}

    package var count: Int { entries.count }

    /// The two ends have agreed. What one peer meant by the number before is forgotten.
    package mutating func add(_ group: PrivateGroup, with peer: IPAddress) {
        entries.removeAll { $0.peer == peer && $0.group.number == group.number }
        if entries.count >= AgreedGroups.maximumCount { entries.removeFirst() }
        entries.append((peer, group))
    }

    /// The groups agreed on with a peer.
    package func groups(with peer: IPAddress) -> [PrivateGroup] { entries.filter { $0.peer == peer }.map(\.group) }
}
