import IPsec
import ISAKMP
import Primitives

/// The configuration method (draft-dukes-ike-mode-cfg-02): a gateway gives a host an address inside its network, and tells it of
/// the network. The host asks (REQUEST, REPLY), or the gateway tells it unasked (SET, ACKNOWLEDGE).
struct ModeConfiguration: Sendable {
    enum State: Sendable {
        /// Nothing is under way, or all is done.
        case settled
        /// The host has asked.
        case requested
        /// The host waits to be told.
        case awaitingAssignment
        /// The gateway has told the host.
        case assigning
    }

    var state = State.settled
    /// Whether the peer speaks Cisco Unity.
    var isPeerUnity = false
    /// The host's: addresses that the gateway gave us, and what else it said.
    var addresses: [IPAddress] = []
    var information = NetworkInformation()
    /// The gateway's: addresses that we gave the peer.
    var assigned: [IPAddress] = []
    /// What we told the peer of our network.
    var told = NetworkInformation()

    var isSettled: Bool {
        if case .settled = state { return true }
        return false
    }

    /// Addresses in one message.
    static let maximumAddresses = 8
    /// What we are, for a peer that asks (§5.2).
    static let applicationVersion = "Parley"
}

extension IKEv1Session {
    private typealias Attribute = ConfigurationAttribute

    /// Both ends are known: ask for addresses, give them, or go on to phase 2.
    mutating func configure(_ context: inout Context) throws(Fault) {
        guard let connection else { return }
        if !connection.virtualAddresses.isEmpty, configuration.addresses.isEmpty {
            if connection.isPulling {
                try requestConfiguration(&context)
            } else {
                configuration.state = .awaitingAssignment
                context.set(.halfOpen, after: context.settings.halfOpenTimeout)
                repeatLastUnlessHeard(&context)
            }
        } else if !connection.pools.isEmpty, !connection.isPulling, configuration.assigned.isEmpty {
            try assign(&context)
        }
        try startWanted(&context)
    }

    // MARK: Host

    /// REQUEST for the addresses that the connection wants, or those that we have, be it in another session with the gateway.
    mutating func requestConfiguration(_ context: inout Context) throws(Fault) {
        guard let connection else { return }
        let had = context.environment.virtualAddresses.ours(connection.name, remote)
        let wanted = [configuration.addresses, had].first { !$0.isEmpty } ?? connection.virtualAddresses
        var attributes = wanted.prefix(ModeConfiguration.maximumAddresses).map { address in
            DataAttribute(
                address.family == .v4 ? Attribute.ip4Address : Attribute.ip6Address,
                octets: address.isUnspecified ? [] : address.octets)
        }
        attributes += Attribute.wanted(Set(wanted.map(\.family)), unity: configuration.isPeerUnity)
            .map { DataAttribute($0, octets: []) }
        configuration.state = .requested
        try beginTransaction(.request, attributes, for: .configuration, &context)
    }

    /// The gateway's REPLY.
    mutating func receiveConfiguration(_ attributes: [DataAttribute], _ context: inout Context) throws(Fault) {
        guard case .requested = configuration.state else { throw .dropped("no configuration is awaited") }
        _ = accept(attributes, &context)
        guard !configuration.addresses.isEmpty else {
            failPreparation(.policy("the peer has no virtual address for us"), &context)
            return
        }
        try settle(&context)
    }

    /// The gateway's SET, answered with the types of what was accepted (§2).
    mutating func takeAssignment(
        _ setting: AttributesPayload, in messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        guard case .awaitingAssignment = configuration.state else {
            // Nothing was wanted, so nothing is accepted.
            try reply(.acknowledge, [], in: messageID, &context)
            return
        }
        let accepted = accept(setting.attributes, &context)
        let types = accepted.sorted().map { DataAttribute(setting.attributes[$0].type, octets: []) }
        try reply(.acknowledge, types, in: messageID, &context)
        // A setting that holds no address leaves us waiting for one that does.
        guard !configuration.addresses.isEmpty else { return }
        context.cancel(.halfOpen)
        try settle(&context)
    }

    /// Takes addresses and information in; the places of what was taken.
    private mutating func accept(_ attributes: [DataAttribute], _ context: inout Context) -> Set<Int> {
        var information = NetworkInformation()
        var taken = information.take(attributes)
        var addresses: [IPAddress] = []
        let families = Set((connection?.virtualAddresses ?? []).map(\.family))
        for (index, attribute) in attributes.enumerated() {
            let octets: Int
            switch attribute.type {
            case Attribute.ip4Address: octets = 4
            // Some gateways append a prefix length, as version 2 does.
            case Attribute.ip6Address: octets = 16
            default: continue
            }
            let isWhole = attribute.value.count == octets || (octets == 16 && attribute.value.count == 17)
            guard isWhole, let address = IPAddress(octets: attribute.value.prefix(octets)), address.isForHost,
                families.contains(address.family), !addresses.contains(address),
                addresses.count < ModeConfiguration.maximumAddresses
            else { continue }
            addresses.append(address)
            taken.insert(index)
        }
        configuration.information = information
        if let banner = information.banner, !banner.isEmpty { context.note("the peer's banner: \(banner)") }
        guard !addresses.isEmpty else { return taken }
        for address in configuration.addresses where !addresses.contains(address) {
            context.emit(.removeAddress(address))
        }
        for address in addresses where !configuration.addresses.contains(address) {
            context.emit(.addAddress(address))
        }
        let isNews = configuration.addresses != addresses
        configuration.addresses = addresses
        if isNews {
            context.report(
                .configured(local: addresses, remote: configuration.assigned, names: information.names))
        }
        // The address must be renewed before it expires (§3.4).
        if let seconds = information.expirySeconds, seconds > 0 {
            context.set(.renewAddress, after: .seconds(Int(max(seconds / 10 * 9, 1))))
        }
        return taken
    }

    /// Asks for our address again before it expires.
    mutating func renewAddress(_ context: inout Context) throws(Fault) {
        guard phaseOne != nil, configuration.isSettled, !configuration.addresses.isEmpty else { return }
        try requestConfiguration(&context)
    }

    private mutating func settle(_ context: inout Context) throws(Fault) {
        configuration.state = .settled
        try startWanted(&context)
    }

    // MARK: Gateway

    /// The host's REQUEST; a REPLY is always sent, be it empty (§2).
    mutating func answerConfigurationRequest(
        _ request: AttributesPayload, in messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        var attributes: [DataAttribute] = []
        if let connection, !connection.pools.isEmpty {
            var addresses: [IPAddress] = []
            for attribute in request.attributes {
                let family: IPAddress.Family
                switch attribute.type {
                case Attribute.ip4Address: family = .v4
                case Attribute.ip6Address: family = .v6
                default: continue
                }
                guard addresses.count < ModeConfiguration.maximumAddresses else { break }
                let requested = IPAddress(octets: attribute.value.prefix(family.octetCount))
                if let address = lease(family, requested, except: addresses, &context) { addresses.append(address) }
            }
            if addresses.isEmpty { context.note("no virtual address is free for the peer, or it asked for none") }
            attributes = giveAway(addresses, &context)
        }
        let asked = Set(request.attributes.filter(\.value.isEmpty).map(\.type))
        if asked.contains(Attribute.addressExpiry), let expireAt, !configuration.assigned.isEmpty {
            let seconds = UInt32(clamping: (expireAt - context.now).wholeSeconds)
            attributes.append(DataAttribute(Attribute.addressExpiry, octets: seconds.octets))
        }
        // Some peers name their own version in the request, and would like to know ours.
        if request.attributes.contains(where: { $0.type == Attribute.applicationVersion }) {
            attributes.append(
                DataAttribute(Attribute.applicationVersion, octets: Array(ModeConfiguration.applicationVersion.utf8)))
        }
        if asked.contains(Attribute.supportedAttributes) {
            attributes.append(
                DataAttribute(Attribute.supportedAttributes, octets: Attribute.supported.flatMap { $0.octets }))
        }
        try reply(.reply, attributes, in: messageID, &context)
    }

    /// SET with an address of each family that the pools have.
    private mutating func assign(_ context: inout Context) throws(Fault) {
        var addresses: [IPAddress] = []
        for family in [IPAddress.Family.v4, .v6] {
            if let address = lease(family, nil, except: addresses, &context) { addresses.append(address) }
        }
        let attributes = giveAway(addresses, &context)
        guard !attributes.isEmpty else {
            context.note("no virtual address is free for the peer")
            return
        }
        configuration.state = .assigning
        try beginTransaction(.set, attributes, for: .assignment, &context)
    }

    mutating func assignmentIsHeard(_ context: inout Context) throws(Fault) {
        guard case .assigning = configuration.state else { return }
        try settle(&context)
    }

    /// An address of the connection's pools for the peer, which is its user where it has one.
    private mutating func lease(
        _ family: IPAddress.Family, _ requested: IPAddress?, except others: [IPAddress], _ context: inout Context
    ) -> IPAddress? {
        guard let connection, let peer = extended.peerUser ?? remoteIdentity else { return nil }
        // What this session has given already is given again, and what another one has given the host comes next.
        let held = configuration.assigned.filter { $0.family == family && !others.contains($0) }
        if let address = held.first(where: { $0 == requested }) ?? held.first { return address }
        if let address = extended.grant?.address(family) {
            return connection.pools.isEmpty || others.contains(address) ? nil : address
        }
        for name in connection.pools {
            guard let pool = context.environment.policies.pool(name), pool.family == family else { continue }
            let given = context.environment.virtualAddresses.theirs(connection.name, remote)
                .filter { $0.family == family && !others.contains($0) }
            let wish = requested.flatMap { $0.isUnspecified ? nil : $0 } ?? given.first
            if let address = context.takeLease(from: pool, requested: wish, for: peer, holder: id) { return address }
        }
        return nil
    }

    /// The attributes that give the addresses away, with all that the pools say.
    private mutating func giveAway(_ addresses: [IPAddress], _ context: inout Context) -> [DataAttribute] {
        var information = NetworkInformation()
        for name in connection?.pools ?? [] {
            if let pool = context.environment.policies.pool(name) { information.add(pool.information) }
        }
        configuration.told = information
        if addresses.isEmpty || configuration.assigned != addresses {
            configuration.assigned = addresses
            if !addresses.isEmpty { context.report(.configured(local: configuration.addresses, remote: addresses)) }
        }
        let attributes = addresses.map { address in
            DataAttribute(
                address.family == .v4 ? Attribute.ip4Address : Attribute.ip6Address, octets: address.octets)
        }
        return attributes + information.attributes(unity: configuration.isPeerUnity)
    }

    // MARK: Selectors

    /// What `dynamic` stands for at our end: the virtual addresses, or else our own.
    var localDynamicAddresses: [IPAddress] {
        configuration.addresses.isEmpty ? [local.address] : configuration.addresses
    }

    /// What `dynamic` stands for at the peer's end.
    var remoteDynamicAddresses: [IPAddress] {
        configuration.assigned.isEmpty ? [remote.address] : configuration.assigned
    }

    func localSelectors(of policy: ChildPolicy) -> [TrafficSelector] {
        policy.localSelectors.flatMap { selector in localDynamicAddresses.map { selector.resolved($0) } }.unique
    }

    func remoteSelectors(of policy: ChildPolicy) -> [TrafficSelector] {
        policy.remoteSelectors.flatMap { selector in remoteDynamicAddresses.map { selector.resolved($0) } }.unique
    }
}

extension Array where Element: Hashable {
    /// Without repetitions, in order.
    fileprivate var unique: [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
