package import Primitives

/// A gateway that peers are sent on to (RFC 5685 §7.2): an address, or a DNS name.
package enum RedirectGateway: Hashable, Sendable, CustomStringConvertible {
    case address(IPAddress)
    case name(String)

    /// Octets of the longest name.
    package static let maximumNameOctets = 253

    /// An address, or a name of letters, digits, hyphens and dots.
    package init?(_ text: String) {
        if let address = IPAddress(text) {
            self = .address(address)
            return
        }
        let isName = text.utf8.allSatisfy { octet in
            switch octet {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        guard isName, (1...RedirectGateway.maximumNameOctets).contains(text.utf8.count) else { return nil }
        self = .name(text)
    }

    package var description: String {
        switch self {
        case .address(let address): "\(address)"
        case .name(let name): name
        }
    }
}

/// Where a connection sends its peers on to, and when it says so.
package struct RedirectPolicy: Hashable, Sendable {
    package enum Moment: Hashable, Sendable {
        /// In the response to IKE_SA_INIT, before any work is done (RFC 5685 §3).
        case initial
        /// In the response to IKE_AUTH, to those who proved who they are (RFC 5685 §6).
        case authentication
    }
    package var gateway: RedirectGateway
    package var moment: Moment

    package init(gateway: RedirectGateway, moment: Moment) {
        self.gateway = gateway
        self.moment = moment
    }
}

/// How often each connection was sent on lately: two gateways may send a client to each other for ever (RFC 5685 §3,
/// MAX_REDIRECTS within REDIRECT_LOOP_DETECT_PERIOD).
package struct RedirectHistory: Sendable {
    package static let maximumCount = 5
    package static let period = Duration.seconds(300)

    private var instants: [String: [Instant]] = [:]

    package init() {}

    /// Counts one more and says whether it may be followed.
    package mutating func admit(_ connection: String, at now: Instant) -> Bool {
        instants = instants.compactMapValues { times in
            let recent = times.filter { now - $0 < RedirectHistory.period }
            return recent.isEmpty ? nil : recent
        }
        guard instants[connection, default: []].count < RedirectHistory.maximumCount else { return false }
        instants[connection, default: []].append(now)
        return true
    }
}
