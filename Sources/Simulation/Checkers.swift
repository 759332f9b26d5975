import IPsec
package import Primitives

/// A broken promise: what was violated, when, and the state that shows it.
package struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
    package var invariant: Invariant
    package var time: Instant
    package var detail: String

    package var description: String {
        let seconds = Double(time.nanoseconds) / 1e9
        return "\(invariant.rawValue) violated at \(seconds) s: \(detail)"
    }
}

/// What must hold in every run.
package enum Invariant: String, Hashable, Sendable, CaseIterable {
    /// Two ends of an SA hold equal keys, the same suite and mirrored selectors.
    case equalKeys = "ends of an SA agree"
    /// A packet that a node accepts was sent under an SA whose selectors cover it.
    case selectors = "no traffic outside selectors"
    /// An SPI names one inbound SA of a node.
    case uniqueSPI = "an SPI is used once"
    /// A virtual address belongs to one node.
    case uniqueAddress = "an address is leased once"
    /// A node installs nothing for a peer whose user has not authenticated.
    case authenticatedFirst = "no child before its user has authenticated"
    /// A minute after the network healed, traffic passes both ways.
    case convergence = "both ends converge to working SAs"
    /// Packets that the network delivers are taken, and there is always an SA to send one on, whatever is rekeyed meanwhile.
    case steadyTraffic = "rekeying loses no traffic"
    /// No exchange is left running when nothing happens any more.
    case exchangesEnd = "every exchange ends"
    /// After everything was deleted, nothing is left.
    case noResidue = "no state is left after delete"
    /// Of children with the same selectors (RFC 9611), each has a number of its own, and there are no more than either end takes.
    case boundedSet = "children for processors stay within their number"
    /// A processor without an SA of its own sends on another's, as long as there is one.
    case fallback = "every processor has an SA where one has"
    /// Half-open SAs stay within the limit.
    case boundedState = "state is bounded"
}
