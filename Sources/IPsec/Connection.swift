package import Primitives

/// Addresses that a connection accepts or tries for one end.
package enum AddressPattern: Hashable, Sendable, CustomStringConvertible {
    /// `%any`, `%any4` and `%any6` (the family, or `nil` for both).
    case any(IPAddress.Family?)
    /// A block or range; a single address is a range of one.
    case range(IPAddress, IPAddress)
    /// A DNS name, with the addresses that the resolver last gave.
    case name(String, [IPAddress])

    package func matches(_ address: IPAddress) -> Bool {
        switch self {
        case .any(let family): family == nil || family == address.family
        case .range(let first, let last): first.family == address.family && first <= address && address <= last
        case .name(_, let addresses): addresses.contains(address)
        }
    }

    /// The addresses to which an initiator can send: single ones and resolved names.
    package var concrete: [IPAddress] {
        switch self {
        case .any: []
        case .range(let first, let last): first == last ? [first] : []
        case .name(_, let addresses): addresses
        }
    }

    /// Larger is closer: a single address beats a name, a block, and any.
    package func specificity(for address: IPAddress) -> Int {
        guard matches(address) else { return 0 }
        switch self {
        case .any: return 1
        case .range(let first, let last): return first == last ? 4 : 2
        case .name: return 3
        }
    }

    package var description: String {
        switch self {
        case .any(nil): "%any"
        case .any(.v4): "%any4"
        case .any(.v6): "%any6"
        case .range(let first, let last): first == last ? "\(first)" : "\(first)-\(last)"
        case .name(let name, _): name
        }
    }
}

/// Which major versions of IKE a connection speaks.
package enum IKEVersion: UInt8, Hashable, Sendable {
    /// Answers both, initiates version 2.
    case any = 0
    case v1 = 1
    case v2 = 2
}

/// What happens to a child at an event: the values of `start_action`, `dpd_action` and `close_action`.
package enum ChildAction: String, Hashable, Sendable {
    case none
    case trap
    case start
}

/// A child's policy: an SPD entry (RFC 4301 §4.4.1) with the lifetimes that its SAs get.
package struct ChildPolicy: Hashable, Sendable {
    package var name: String
    package var proposals: [Proposal]
    /// A selector, or `nil` for `dynamic`: the end's own address, known once the IKE SA is.
    package var localSelectors: [DynamicSelector]
    package var remoteSelectors: [DynamicSelector]
    package var mode: SecurityMode = .tunnel
    /// `bypass` or `discard` for an entry that never has an SA (RFC 4301 §4.4.1.2); `nil` for one that protects.
    package var action: SecurityPolicy.Action?
    /// When the SA is replaced; zero for never. Subject to jitter.
    package var rekeyTime: Duration = .seconds(3600)
    /// When the SA ends whatever happens; zero for never.
    package var lifeTime: Duration = .seconds(3960)
    /// Up to this much is taken off `rekeyTime` at random, so that peers do not rekey at once.
    package var randomTime: Duration = .seconds(360)
    /// Rekeys a first child at once, so that a mismatch of its own key exchanges shows at once.
    package var rehearsesRekeying = false
    package var startAction: ChildAction = .none
    /// A child that is started has a trap besides, so that it comes back with the next packet whatever ended it.
    package var trapsWhenStarted = false
    package var deadPeerAction: ChildAction = .none
    package var closeAction: ChildAction = .none
    /// A command that is run when a pair of SAs comes up for the first time, and when the last one of it is gone; it is told
    /// whether packets to this host itself are meant to pass its firewall.
    package var updown: String?
    package var opensHost = false
    /// How long it may carry nothing before it is closed; zero for ever.
    package var inactivity: Duration = .zero
    /// What else ends an SA: how much it carried.
    package var octetLifetime = CountedLifetime()
    package var packetLifetime = CountedLifetime()
    /// Packets; 0 turns the replay check off.
    package var replayWindowPackets: Int = 32
    package var treatment = PacketTreatment()
    /// Offers and takes IP payload compression (RFC 3173); version 2 only.
    package var compresses = false
    /// Version 2: where its selectors have ports, later fragments pass as well, if the peer agrees (RFC 4301 §7.3).
    package var carriesFragments = false
    /// Version 2: packets share payloads, if the peer agrees (RFC 9347).
    package var aggregation: Aggregation?
    /// Version 2: a pair of SAs for each processor, if the peer agrees (RFC 9611).
    package var usesResources = false
    /// Before others where smaller; 0: by how narrow the selectors are (RFC 4301 §4.4.1, the SPD is ordered).
    package var priority: UInt32 = 0
    /// Version 1: what its proposals have of AH goes around what they have of ESP, instead of in its place: ESP and AH of one
    /// proposal number are meant together (RFC 2408 §4.2).
    package var isBundle = false
    /// Version 1: pairs of SAs that one Quick Mode negotiates (RFC 2409 §5.5), 1 to 8.
    package var parallelPairs = 1
    /// A fixed request ID, or 0 for one chosen by the daemon.
    package var requestID: UInt32 = 0

    package init(
        name: String, proposals: [Proposal], localSelectors: [DynamicSelector] = [.dynamic],
        remoteSelectors: [DynamicSelector] = [.dynamic]
    ) {
        self.name = name
        self.proposals = proposals
        self.localSelectors = localSelectors
        self.remoteSelectors = remoteSelectors
    }
}

extension ChildPolicy {
    /// What is in force for the child without an SA: its shunt, or the trap that waits for a packet.
    package var standingAction: SecurityPolicy.Action? {
        switch startAction {
        case .none: nil
        case .trap: action ?? .trap
        case .start: action ?? (trapsWhenStarted ? .trap : nil)
        }
    }
}

/// A configured traffic selector: fixed, or the end's own address with an optional protocol and port.
package enum DynamicSelector: Hashable, Sendable, CustomStringConvertible {
    case fixed(TrafficSelector)
    case dynamicPorts(ipProtocol: UInt8, firstPort: UInt16, lastPort: UInt16)

    package static let dynamic = DynamicSelector.dynamicPorts(ipProtocol: 0, firstPort: 0, lastPort: .max)

    /// The selector once the end's address is known.
    package func resolved(_ address: IPAddress) -> TrafficSelector {
        switch self {
        case .fixed(let selector): return selector
        case .dynamicPorts(let number, let first, let last):
            var selector = TrafficSelector(address)
            selector.ipProtocol = number
            selector.firstPort = first
            selector.lastPort = last
            return selector
        }
    }

    package var description: String {
        switch self {
        case .fixed(let selector): return selector.description
        case .dynamicPorts(0, 0, .max): return "dynamic"
        case .dynamicPorts(let number, let first, let last): return "dynamic[\(number)/\(first)-\(last)]"
        }
    }
}

/// A peer authorization database entry (RFC 4301 §4.4.3) with the children it may have: one `connections.NAME` section.
package struct Connection: Hashable, Sendable {
    package var name: String
    package var version: IKEVersion = .any
    package var localAddresses: [AddressPattern] = [.any(nil)]
    package var remoteAddresses: [AddressPattern] = [.any(nil)]
    package var localPort: UInt16 = 500
    package var remotePort: UInt16 = 500
    package var proposals: [Proposal]
    /// How we prove who we are, and how the peer does: at least one round each, in the order in which they are done.
    package var local = [AuthenticationRound()]
    package var remote = [AuthenticationRound()]
    package var children: [ChildPolicy]
    /// Version 1: Aggressive Mode instead of Main Mode. It shows both identities to whoever watches, and a pre-shared key
    /// to whoever can guess it from that (RFC 2409 §5.4), so it is only done where it is asked for.
    package var isAggressive = false
    /// Version 1: Base Mode instead of Main Mode (draft-ietf-ipsec-ike-base-mode-02). It shows both identities as well, and a
    /// responder that is not the real one gets something to guess the key by; but it computes nothing before the initiator has
    /// returned its cookie.
    package var isBase = false
    /// Version 1: groups of our own under private numbers, which New Group Mode offers to the peer and accepts from it
    /// (RFC 2409 §5.6).
    package var privateGroups: [PrivateGroup] = []
    /// Version 1: whether the authenticated peer may bring groups that ``privateGroups`` does not name.
    package var acceptsNewGroups = false
    /// Whether long messages of version 1 are sent in fragments, as vendors do it.
    package var fragmentation: Fragmentation = .yes
    /// Addresses inside the peer's network that we ask for; an unspecified one asks for any of its family.
    package var virtualAddresses: [IPAddress] = []
    /// Names of the pools from which the peer gets addresses.
    package var pools: [String] = []
    /// Version 1: hosts ask for addresses, rather than be told them (draft-dukes-ike-mode-cfg-02 §2).
    package var isPulling = true
    /// Version 1: the labels that SAs must have, both ISAKMP's and IPsec's (RFC 2407 §4.2).
    package var situation = SecuritySituation.identityOnly
    /// Version 1: as responder of Quick Mode, tell the initiator when the SAs are in place, with the Commit bit and CONNECTED
    /// (RFC 2408 §3.1).
    package var asksCommit = false
    /// Version 1: delete the ISAKMP SA when its Quick Modes are done, so that its keys do not betray the identities of
    /// others (RFC 2409 §8).
    package var hasIdentityForwardSecrecy = false
    /// Pretend to be behind NAT, so that ESP goes inside UDP.
    package var forceEncapsulation = false
    /// Bare ESP or AH where there is no NAT and the data plane has what it takes.
    package var avoidsEncapsulation = false
    /// Whether the initiator speaks over TCP (RFC 9329).
    package enum StreamUse: String, Hashable, Sendable {
        case no
        case yes
        /// Where UDP gets no answer.
        case fallback
    }
    /// Version 2: as initiator, use TCP.
    package var streamUse = StreamUse.no
    /// The TCP port that the peer listens on.
    package var streamPort: UInt16 = 4500
    /// Version 2: the ends may change their addresses (RFC 4555).
    package var isMobile = false
    /// Version 2: rekeyings leave out what stays the same, where the peer takes that.
    package var optimizesRekeying = false
    /// Version 2: IKE SAs that may be cloned from one at once (RFC 7791); with 0 it is not offered.
    package var maximumClones = 0
    /// Version 2: IKE SAs without a first child (RFC 6023).
    package var childless = ChildlessUse.allow
    /// Version 2: OCSP answers inside IKE (RFC 4806).
    package var statusUse = StatusUse.reply
    /// Whether our certificates go to the peer, who else must have them.
    package var showsCertificates = true
    /// Whether the peer is told which authorities we trust.
    package var requestsCertificates = true
    /// Version 2: the peer is told how it may prove itself (RFC 9593). What a peer says counts in any case.
    package var announcesMethods = false
    /// Version 2: certificates are fetched where a peer says no more than where they are (RFC 7296 §3.6), and ours said so.
    package var usesCertificateLocations = false
    /// Digital signatures (RFC 7427) are said to be known, and made for a peer that knows them.
    package var signsDigitally = true
    /// Version 2: sessions that broke off are resumed with tickets (RFC 5723).
    package var resumes = false
    /// Version 2: peers are sent on to another gateway (RFC 5685).
    package var redirect: RedirectPolicy?
    /// Version 2: the post-quantum pre-shared key to mix in as initiator (RFC 8784); as responder the only one that is
    /// taken.
    package var postquantumKey: Identity?
    /// Whether the key gets into the keys in IKE_INTERMEDIATE already, where the peer can (RFC 9867).
    package var mixesKeyEarly = true
    /// Whether an SA without such a key is refused.
    package var requiresPostquantumKey = false
    /// Quiet time after which the peer is asked for a sign of life; zero turns it off (RFC 3706, RFC 7296 §2.4).
    package var deadPeerDelay: Duration = .zero
    /// Version 1 only: how long unanswered R-U-THERE messages are borne; zero means the retransmission schedule.
    package var deadPeerTimeout: Duration = .zero
    /// When the IKE SA is replaced; zero for never.
    package var rekeyTime: Duration = .seconds(14_400)
    /// Version 1: when the ISAKMP SA is negotiated anew; version 2: reauthentication. Zero for never.
    package var reauthenticationTime: Duration = .zero
    /// Behind `rekeyTime`: when the IKE SA ends whatever happens.
    package var overTime: Duration = .seconds(1440)
    /// Up to this much is taken off `rekeyTime` at random.
    package var randomTime: Duration = .seconds(1440)
    /// How many times a first exchange is tried; 0 for ever.
    package var keyingTries: UInt32 = 1
    package var unique: Uniqueness = .no

    /// The values of `fragmentation`.
    package enum Fragmentation: String, Hashable, Sendable {
        /// Neither sent nor taken.
        case no
        /// Taken, and announced to the peer; not sent.
        case accept
        /// Sent to peers that announce that they take them.
        case yes
        /// Sent from the first message on, without asking.
        case force
    }

    /// The values of `ocsp`: whether we say what OCSP responders say of our certificates to who asks, and ask for it.
    package enum StatusUse: String, Hashable, Sendable, CaseIterable {
        case reply, request, both, never

        package var replies: Bool { self == .reply || self == .both }
        package var requests: Bool { self == .request || self == .both }
    }

    /// The values of `childless`.
    package enum ChildlessUse: String, Hashable, Sendable {
        case allow, prefer, force, never
    }

    /// The DSCP of IKE's own packets, 0 to 63 (RFC 2474 §3).
    package var differentiatedServices: UInt8 = 0

    /// What a second SA with the same pair of identities does to the first.
    package enum Uniqueness: String, Hashable, Sendable {
        case no, never, keep, replace
    }

    package init(name: String, proposals: [Proposal], children: [ChildPolicy]) {
        self.name = name
        self.proposals = proposals
        self.children = children
    }

    /// The IP header's octet of IKE's own packets (RFC 2474 §3).
    package var trafficClass: UInt8 { differentiatedServices << 2 }

    /// Whether we cut our own long messages.
    package var cutsMessages: Bool { fragmentation == .yes || fragmentation == .force }

    package func child(_ name: String) -> ChildPolicy? { children.first { $0.name == name } }

    /// How closely the two addresses fit: 0 not at all, larger is closer.
    package func specificity(local: IPAddress, remote: IPAddress) -> Int {
        let localFit = localAddresses.map { $0.specificity(for: local) }.max() ?? 0
        let remoteFit = remoteAddresses.map { $0.specificity(for: remote) }.max() ?? 0
        return localFit == 0 || remoteFit == 0 ? 0 : remoteFit * 8 + localFit
    }
}
