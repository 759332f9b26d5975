package import Primitives

/// Addresses for peers that ask for one inside the network, and what such a peer is told besides: one `pools.NAME` section
/// (draft-dukes-ike-mode-cfg-02 §5.1, RFC 7296 §2.19).
package struct AddressPool: Hashable, Sendable {
    package var name: String
    /// The block or the lower end of the range, as it was configured.
    package var base: IPAddress
    /// The addresses that are given out, both inclusive and of one family.
    package private(set) var first: IPAddress
    package private(set) var last: IPAddress
    package var information = NetworkInformation()

    /// A range; `nil` where its ends are of different families or in the wrong order.
    package init?(name: String, first: IPAddress, last: IPAddress) {
        guard first.family == last.family, first <= last else { return nil }
        self.name = name
        base = first
        self.first = first
        self.last = last
    }

    /// A block, whose first and last address are not given out where it has more than two; with host bits in `address`,
    /// those below it are not either, as charon has it.
    package init?(name: String, _ address: IPAddress, length: Int) {
        guard let prefix = Prefix(address, length: length) else { return nil }
        self.name = name
        base = address
        let hasInside = address.family.bitCount - length > 1
        let inside = hasInside ? prefix.address.successor ?? address : prefix.address
        let end = IPAddress(family: address.family, value: prefix.last.value - (hasInside ? 1 : 0))
        first = max(address, inside)
        last = end
        guard first <= last else { return nil }
    }

    package var family: IPAddress.Family { first.family }

    package func contains(_ address: IPAddress) -> Bool {
        address.family == family && first <= address && address <= last
    }

    /// How many addresses there are, at most `UInt64.max`.
    package var size: UInt64 {
        let span = UInt64(clamping: last.value - first.value)
        return span == .max ? .max : span + 1
    }
}

/// What a peer is told of the network behind a gateway.
package struct NetworkInformation: Hashable, Sendable {
    /// Name servers: INTERNAL_IP4_DNS and INTERNAL_IP6_DNS.
    package var nameServers: [IPAddress] = []
    /// NetBIOS name servers (WINS).
    package var netBIOSNameServers: [IPAddress] = []
    package var addressServers: [IPAddress] = []
    /// INTERNAL_IP4_NETMASK.
    package var netmask: IPAddress?
    /// Networks that the gateway protects: INTERNAL_IP4_SUBNET and INTERNAL_IP6_SUBNET.
    package var subnets: [Prefix] = []
    /// Cisco Unity: networks that alone go into the tunnel, and those that do not.
    package var splitInclude: [Prefix] = []
    package var splitExclude: [Prefix] = []
    /// Cisco Unity: text to be shown, the domain to append to short names, the domains that the name servers are for, and
    /// gateways to turn to when this one does not answer.
    package var banner: String?
    package var defaultDomain: String?
    package var splitDomains: [String] = []
    package var backupServers: [IPAddress] = []
    /// Cisco Unity: whether the peer may keep its password.
    package var maySavePassword: Bool?
    /// Cisco Unity: whether Quick Mode shall have a key exchange of its own.
    package var wantsForwardSecrecy: Bool?
    /// Seconds that the address may be used for.
    package var expirySeconds: UInt32?
    /// APPLICATION_VERSION.
    package var applicationVersion: String?
    /// Attributes that are configured by number.
    package var others: [NumberedAttribute] = []

    /// An attribute by its number, as octets.
    package struct NumberedAttribute: Hashable, Sendable {
        package var type: UInt16
        package var value: [UInt8]

        package init(type: UInt16, value: [UInt8]) {
            self.type = type
            self.value = value
        }
    }

    package init() {}

    /// Adds what another pool says; where only one can be said, this one's counts.
    package mutating func add(_ other: NetworkInformation) {
        func merge<Value: Equatable>(_ path: WritableKeyPath<NetworkInformation, [Value]>) {
            self[keyPath: path] += other[keyPath: path].filter { !self[keyPath: path].contains($0) }
        }
        merge(\.nameServers)
        merge(\.netBIOSNameServers)
        merge(\.addressServers)
        merge(\.subnets)
        merge(\.splitInclude)
        merge(\.splitExclude)
        merge(\.splitDomains)
        merge(\.backupServers)
        merge(\.others)
        netmask = netmask ?? other.netmask
        banner = banner ?? other.banner
        defaultDomain = defaultDomain ?? other.defaultDomain
        maySavePassword = maySavePassword ?? other.maySavePassword
        wantsForwardSecrecy = wantsForwardSecrecy ?? other.wantsForwardSecrecy
    }
}

extension IPAddress {
    /// Whether a host may have the address: neither unspecified, nor loopback, nor multicast or broadcast.
    package var isForHost: Bool {
        switch family {
        case .v4:
            let first = UInt8(truncatingIfNeeded: value >> 24)
            return first != 0 && first != 127 && first < 224
        case .v6: return value > 1 && value >> 120 != 0xFF
        }
    }
}
