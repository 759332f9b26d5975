import IPsec
import ISAKMP
import Primitives

/// Cisco Unity: what Cisco's clients and gateways say to each other beyond the configuration method. Its attributes are in
/// ``ConfigurationAttribute``; here is what split tunnels mean for selectors, as charon's plugin and Cisco's gateways
/// have it: one tunnel is negotiated for 0.0.0.0/0, and each end lets only the networks of the split through.
enum Unity {
    /// The first fourteen octets; two of version follow.
    static let vendorID: [UInt8] = [
        0x12, 0xF5, 0xF2, 0x8C, 0x45, 0x71, 0x68, 0xA9, 0x70, 0x2D, 0x9F, 0xE2, 0x74, 0xCC, 0x01, 0x00,
    ]

    static func isVendorID(_ octets: [UInt8]) -> Bool { octets.starts(with: vendorID.dropLast(2)) }

    /// The parts of `selectors` that lie in one of `networks`; all of them where there are none, less what lies in
    /// `excluded`.
    static func narrow(
        _ selectors: [TrafficSelector], to networks: [Prefix], without excluded: [Prefix]
    ) -> [TrafficSelector] {
        var narrowed =
            networks.isEmpty ? selectors : TrafficSelector.narrow(networks.map { TrafficSelector($0) }, to: selectors)
        for network in excluded {
            narrowed = narrowed.flatMap { $0.without(network) }
            // As many as one SA may have.
            if narrowed.count >= TrafficSelector.maximumCount { break }
        }
        return narrowed
    }
}

extension TrafficSelector {
    /// What is left below and above a block.
    func without(_ block: Prefix) -> [TrafficSelector] {
        guard family == block.address.family, first <= block.last, block.address <= last else { return [self] }
        var parts: [TrafficSelector] = []
        if first < block.address {
            var below = self
            below.last = IPAddress(family: family, value: block.address.value - 1)
            parts.append(below)
        }
        if let next = block.last.successor, next <= last {
            var above = self
            above.first = next
            parts.append(above)
        }
        return parts
    }
}

extension IKEv1Session {
    /// Whether the peer is a Unity client to which we gave an address.
    var isUnityGateway: Bool { configuration.isPeerUnity && !configuration.assigned.isEmpty }

    /// Whether a Unity gateway gave us an address and said what goes into the tunnel.
    var isUnityHost: Bool {
        let information = configuration.information
        return configuration.isPeerUnity && !configuration.addresses.isEmpty
            && !(information.splitInclude.isEmpty && information.splitExclude.isEmpty)
    }

    /// The selectors of a Quick Mode that we begin: what is said, and what the SA will let through.
    func selectors(
        of policy: ChildPolicy
    ) -> (local: TrafficSelector, remote: TrafficSelector, narrowed: NarrowedSelectors?)? {
        let locals = localSelectors(of: policy)
        let remotes = remoteSelectors(of: policy)
        // One pair an exchange (RFC 2409 §5.5), of one family.
        guard var pair = zip(locals, remotes).map({ (local: $0, remote: $1) }).first else { return nil }
        for local in locals.reversed() {
            if let remote = remotes.first(where: { $0.family == local.family }) { pair = (local, remote) }
        }
        if isUnityHost, pair.remote.family == .v4 {
            let narrowed = split(remotes)
            guard !narrowed.isEmpty else { return nil }
            return (pair.local, .everything(.v4), NarrowedSelectors(local: [pair.local], remote: narrowed))
        }
        if isUnityGateway, !configuration.told.splitInclude.isEmpty, pair.local.family == .v4 {
            return (
                .everything(.v4), pair.remote,
                NarrowedSelectors(local: locals.filter { $0.family == .v4 }, remote: [pair.remote])
            )
        }
        return (pair.local, pair.remote, nil)
    }

    /// What the gateway's split leaves of the remote selectors.
    private func split(_ remotes: [TrafficSelector]) -> [TrafficSelector] {
        Unity.narrow(
            remotes.filter { $0.family == .v4 }, to: configuration.information.splitInclude,
            without: configuration.information.splitExclude)
    }

    /// A Unity client says 0.0.0.0/0 of our side, whatever the split is: the SA lets the policy's networks through. A
    /// gateway that replaces an SA says the same of its own.
    func narrowed(
        _ policy: ChildPolicy, local: TrafficSelector, remote: TrafficSelector
    ) -> NarrowedSelectors? {
        if isUnityHost, remote == .everything(.v4) {
            let narrowed = split(remoteSelectors(of: policy))
            return narrowed.isEmpty ? nil : NarrowedSelectors(local: [local], remote: narrowed)
        }
        guard isUnityGateway, local == .everything(.v4) else { return nil }
        let configured = localSelectors(of: policy).filter { $0.family == .v4 }
        guard !configured.isEmpty, !configured.contains(local) else { return nil }
        return NarrowedSelectors(local: configured, remote: [remote])
    }
}

/// Selectors of an SA that are fewer than what was said in its Quick Mode.
struct NarrowedSelectors: Hashable, Sendable {
    var local: [TrafficSelector]
    var remote: [TrafficSelector]
}
