import IPsec
import ISAKMP
import Primitives

/// Addresses inside a network for hosts outside it (RFC 7296 §2.19): the initiator of an IKE SA asks, the responder gives.
///
///     HDR, SK {IDi, [IDr,] AUTH, CP(CFG_REQUEST), SAi2, TSi, TSr}  -->
///                         <--  HDR, SK {IDr, AUTH, CP(CFG_REPLY), SAr2, TSi, TSr}
struct VirtualAddresses: Sendable {
    /// Addresses in one message.
    static let maximumCount = 8
    /// What we are, for a peer that asks (APPLICATION_VERSION).
    static let applicationVersion = "Parley"

    /// The host's: what the gateway gave us, and what else it said.
    var own: [IPAddress] = []
    var information = NetworkInformation()
    /// The gateway's: what we gave the peer.
    var assigned: [IPAddress] = []
}

extension IKESession {
    private typealias Attribute = ConfigurationPayload.Attribute

    // MARK: Host

    /// CP(CFG_REQUEST) for the addresses that the connection wants, and for all that one can be told besides.
    var configurationRequest: [Payload] {
        let wanted = (connection?.virtualAddresses ?? []).prefix(VirtualAddresses.maximumCount)
        guard !wanted.isEmpty else { return [] }
        var attributes = wanted.map { Attribute($0) }
        let families = Set(wanted.map(\.family))
        if families.contains(.v4) { attributes += [.ip4DNS, .ip4NBNS, .ip4Subnet].map { Attribute($0) } }
        if families.contains(.v6) { attributes += [.ip6DNS, .ip6Subnet].map { Attribute($0) } }
        attributes.append(Attribute(.dnsDomain))
        return [ConfigurationPayload(.request, attributes).payload]
    }

    /// Whether we still wait for the addresses that `dynamic` stands for.
    private var awaitsAddresses: Bool {
        isInitiator && !isEstablished && virtual.own.isEmpty && connection?.virtualAddresses.isEmpty == false
    }

    /// Takes the gateway's reply in, before the first child is looked at.
    ///
    /// - Throws: `noVirtualAddress` where there is none for us although we want one.
    mutating func takeConfiguration(_ content: MessageContent, _ context: inout Context) throws(Fault) {
        guard let connection, !connection.virtualAddresses.isEmpty else { return }
        noteAllowedFamilies(content, &context)
        let reply = content.configuration.flatMap { $0.kind == .reply ? $0 : nil }
        let families = Set(connection.virtualAddresses.map(\.family))
        var addresses: [IPAddress] = []
        for address in (reply?.attributes ?? []).compactMap(\.address)
        where address.isForHost && families.contains(address.family) && !addresses.contains(address)
            && addresses.count < VirtualAddresses.maximumCount
        {
            addresses.append(address)
        }
        guard !addresses.isEmpty else {
            throw content.error.map { Fault.refusedByPeer($0) } ?? Fault.noVirtualAddress(isOurs: true)
        }
        virtual.own = addresses
        virtual.information = NetworkInformation(reply?.attributes ?? [])
        for address in addresses { context.emit(.addAddress(address)) }
        context.report(.configured(local: addresses, remote: [], names: virtual.information.names))
        let servers = virtual.information.nameServers.map(\.description).joined(separator: ", ")
        if !servers.isEmpty {
            let domains = virtual.information.splitDomains.joined(separator: ", ")
            context.note("the peer's name servers: \(servers)" + (domains.isEmpty ? "" : ", for \(domains)"))
        }
    }

    /// IP4_ALLOWED and IP6_ALLOWED tell why an address of the other family is missing (RFC 8983 §5).
    private func noteAllowedFamilies(_ content: MessageContent, _ context: inout Context) {
        switch (content.notification(.ip4Allowed) != nil, content.notification(.ip6Allowed) != nil) {
        case (true, false): context.note("the peer has virtual addresses of IPv4 alone")
        case (false, true): context.note("the peer has virtual addresses of IPv6 alone")
        case (true, true): context.note("the peer has virtual addresses of one family at a time")
        case (false, false): break
        }
    }

    /// The first child's offer was made before the addresses were known: it shrinks to them, and so does what the peer took
    /// of it where it did not narrow that itself.
    func narrowed(
        _ attempt: ChildAttempt, _ policy: ChildPolicy, _ content: MessageContent
    ) -> (ChildAttempt, MessageContent) {
        guard !virtual.own.isEmpty else { return (attempt, content) }
        var (attempt, content) = (attempt, content)
        attempt.offeredLocal = localSelectors(of: policy)
        if let taken = content.selectorsInitiator {
            let common = TrafficSelector.narrow(taken, to: attempt.offeredLocal)
            if !common.isEmpty { content.selectorsInitiator = common }
        }
        return (attempt, content)
    }

    /// The session ends: the machine loses the addresses.
    mutating func dropAddresses(_ context: inout Context) {
        for address in virtual.own { context.emit(.removeAddress(address)) }
        virtual.own = []
    }

    // MARK: Gateway

    /// The answer to IKE_AUTH's request, with addresses of the connection's pools for `peer`.
    ///
    /// - Returns: payloads to send, and why the first child must not be, if that is so.
    mutating func answerConfiguration(
        _ content: MessageContent, peer: Identity, _ context: inout Context
    ) -> (payloads: [Payload], fault: Fault?) {
        guard let connection else { return ([], nil) }
        guard let request = content.configuration, request.kind == .request else {
            return ([], connection.pools.isEmpty ? nil : .configurationRequired)
        }
        let pools = connection.pools.compactMap { context.environment.policies.pool($0) }
        var addresses: [IPAddress] = []
        var wanted: Set<IPAddress.Family> = []
        for attribute in request.attributes where addresses.count < VirtualAddresses.maximumCount {
            guard let family = attribute.addressFamily else { continue }
            wanted.insert(family)
            let wish = attribute.address.flatMap { $0.isUnspecified ? nil : $0 }
            // What an authentication server names is nobody else's.
            if let address = grant?.address(family) {
                if !connection.pools.isEmpty, !addresses.contains(address) { addresses.append(address) }
                continue
            }
            for pool in pools where pool.family == family {
                // An address that this very request has already is another's wish no more.
                guard let address = context.takeLease(from: pool, requested: wish, for: peer, holder: id),
                    !addresses.contains(address)
                else { continue }
                addresses.append(address)
                break
            }
        }
        if !addresses.isEmpty {
            virtual.assigned = addresses
            context.report(.configured(local: [], remote: addresses))
        }
        var payloads = [reply(to: request, addresses, pools)]
        // RFC 8983 §5: a family that is wanted and not to be had here is no reason to ask again.
        let families = Set(pools.map(\.family))
        if !pools.isEmpty, !wanted.isSubset(of: families) {
            if families.contains(.v4) { payloads.append(NotifyPayload(.ip4Allowed).payload) }
            if families.contains(.v6) { payloads.append(NotifyPayload(.ip6Allowed).payload) }
        }
        guard addresses.isEmpty, !wanted.isEmpty else { return (payloads, nil) }
        if content.offers == nil { payloads.append(NotifyPayload(.internalAddressFailure).payload) }
        return (payloads, .noVirtualAddress(isOurs: false))
    }

    /// The answer to a request in an INFORMATIONAL exchange: what the peer has, and what there is to say; never more addresses.
    /// Nobody may set ours, so that CFG_SET goes unanswered (RFC 7296 §3.15).
    func answerLaterConfiguration(_ content: MessageContent, _ context: Context) -> [Payload] {
        guard isEstablished, let request = content.configuration, request.kind == .request else { return [] }
        let families = Set(request.attributes.compactMap(\.addressFamily))
        let pools = (connection?.pools ?? []).compactMap { context.environment.policies.pool($0) }
        return [reply(to: request, virtual.assigned.filter { families.contains($0.family) }, pools)]
    }

    private func reply(
        to request: ConfigurationPayload, _ addresses: [IPAddress], _ pools: [AddressPool]
    ) -> Payload {
        var information = NetworkInformation()
        for pool in pools { information.add(pool.information) }
        let asked = Set(request.attributes.map(\.type))
        var attributes = addresses.map { Attribute($0) }
        attributes += information.attributes(asked: asked, Set(addresses.map(\.family)))
        if asked.contains(.applicationVersion) {
            attributes.append(Attribute(.applicationVersion, Array(VirtualAddresses.applicationVersion.utf8)))
        }
        if asked.contains(.supportedAttributes) {
            let types = ConfigurationPayload.AttributeType.known
            attributes.append(Attribute(.supportedAttributes, types.flatMap(\.octets)))
        }
        return ConfigurationPayload(.reply, attributes).payload
    }

    // MARK: Selectors

    /// The child's selectors at our end: `dynamic` is our virtual addresses, or else our own; while we wait for the former it
    /// is all that they could be, from which the peer chooses (RFC 7296 §2.19).
    func localSelectors(of policy: ChildPolicy) -> [TrafficSelector] {
        if awaitsAddresses, let wanted = connection?.virtualAddresses {
            return Self.resolve(policy.localSelectors, wanted.map { .any($0.family) }).map { selector in
                guard selector.first == selector.last, selector.first.isUnspecified else { return selector }
                var selector = selector
                selector.last = .last(selector.family)
                return selector
            }
        }
        return Self.resolve(policy.localSelectors, virtual.own.isEmpty ? [local.address] : virtual.own)
    }

    /// The child's selectors at the peer's end: `dynamic` is the addresses that we gave it, or else its own.
    func remoteSelectors(of policy: ChildPolicy) -> [TrafficSelector] {
        Self.resolve(policy.remoteSelectors, virtual.assigned.isEmpty ? [remote.address] : virtual.assigned)
    }

    /// In order, without repetitions.
    private static func resolve(_ selectors: [DynamicSelector], _ addresses: [IPAddress]) -> [TrafficSelector] {
        var seen: Set<TrafficSelector> = []
        return selectors.flatMap { selector in addresses.map { selector.resolved($0) } }
            .filter { seen.insert($0).inserted }
    }
}
