import IPsec
import ISAKMP
import Primitives

/// Attribute types of the configuration method (draft-dukes-ike-mode-cfg-02 §3.4, draft-beaulieu-ike-xauth-02 §6.2) and
/// those of Cisco Unity.
enum ConfigurationAttribute {
    static let ip4Address: UInt16 = 1
    static let ip4Netmask: UInt16 = 2
    static let ip4DNS: UInt16 = 3
    static let ip4NBNS: UInt16 = 4
    static let addressExpiry: UInt16 = 5
    static let ip4DHCP: UInt16 = 6
    static let applicationVersion: UInt16 = 7
    static let ip6Address: UInt16 = 8
    static let ip6DNS: UInt16 = 10
    static let ip6NBNS: UInt16 = 11
    static let ip6DHCP: UInt16 = 12
    static let ip4Subnet: UInt16 = 13
    static let supportedAttributes: UInt16 = 14
    static let ip6Subnet: UInt16 = 15

    static let xauthType: UInt16 = 16_520
    static let xauthUserName: UInt16 = 16_521
    static let xauthUserPassword: UInt16 = 16_522
    static let xauthPasscode: UInt16 = 16_523
    static let xauthMessage: UInt16 = 16_524
    static let xauthStatus: UInt16 = 16_527
    /// All of Extended Authentication.
    static let xauthRange: ClosedRange<UInt16> = 16_520...16_529

    static let unityBanner: UInt16 = 28_672
    static let unitySavePassword: UInt16 = 28_673
    static let unityDefaultDomain: UInt16 = 28_674
    static let unitySplitDNS: UInt16 = 28_675
    static let unitySplitInclude: UInt16 = 28_676
    static let unitySplitExclude: UInt16 = 28_678
    static let unityForwardSecrecy: UInt16 = 28_679
    static let unityBackupServers: UInt16 = 28_681
    static let unityRange: ClosedRange<UInt16> = 28_672...28_687

    /// What a host asks for besides addresses.
    static func wanted(_ families: Set<IPAddress.Family>, unity: Bool) -> [UInt16] {
        var wanted: [UInt16] = []
        if families.contains(.v4) { wanted += [ip4Netmask, ip4DNS, ip4NBNS, ip4Subnet] }
        if families.contains(.v6) { wanted += [ip6DNS, ip6Subnet] }
        if unity {
            wanted += [
                unityBanner, unitySavePassword, unityDefaultDomain, unitySplitDNS, unitySplitInclude, unitySplitExclude,
                unityForwardSecrecy, unityBackupServers,
            ]
        }
        return wanted
    }

    /// The answer to SUPPORTED_ATTRIBUTES: every type that is understood here.
    static let supported: [UInt16] = [
        ip4Address, ip4Netmask, ip4DNS, ip4NBNS, addressExpiry, ip4DHCP, applicationVersion, ip6Address, ip6DNS,
        ip6NBNS, ip6DHCP, ip4Subnet, supportedAttributes, ip6Subnet,
    ]
}

extension NetworkInformation {
    /// Values of a kind in one message that are looked at.
    private static let maximumValues = 64
    /// Octets of a text that are kept.
    private static let maximumTextOctets = 1024

    /// What to tell a peer. Zero length values mean a question and are never answers (§3.4).
    func attributes(unity: Bool) -> [DataAttribute] {
        typealias Type = ConfigurationAttribute
        var attributes: [DataAttribute] = []
        func add(_ v4: UInt16, _ v6: UInt16, _ addresses: [IPAddress]) {
            attributes += addresses.map { DataAttribute($0.family == .v4 ? v4 : v6, octets: $0.octets) }
        }
        if let netmask { attributes.append(DataAttribute(Type.ip4Netmask, octets: netmask.octets)) }
        add(Type.ip4DNS, Type.ip6DNS, nameServers)
        add(Type.ip4NBNS, Type.ip6NBNS, netBIOSNameServers)
        add(Type.ip4DHCP, Type.ip6DHCP, addressServers)
        for subnet in subnets {
            attributes.append(
                subnet.address.family == .v4
                    ? DataAttribute(Type.ip4Subnet, octets: subnet.address.octets + subnet.mask.octets)
                    : DataAttribute(Type.ip6Subnet, octets: subnet.address.octets + [UInt8(subnet.length)]))
        }
        if let expirySeconds { attributes.append(DataAttribute(Type.addressExpiry, octets: expirySeconds.octets)) }
        if let applicationVersion {
            attributes.append(DataAttribute(Type.applicationVersion, octets: Array(applicationVersion.utf8)))
        }
        attributes += others.filter { unity || !Type.unityRange.contains($0.type) }
            .map { DataAttribute($0.type, octets: $0.value) }
        return unity ? attributes + unityAttributes : attributes
    }

    private var unityAttributes: [DataAttribute] {
        typealias Type = ConfigurationAttribute
        var attributes: [DataAttribute] = []
        if let banner { attributes.append(DataAttribute(Type.unityBanner, octets: Array(banner.utf8))) }
        if let maySavePassword { attributes.append(DataAttribute(Type.unitySavePassword, maySavePassword ? 1 : 0)) }
        if let defaultDomain {
            attributes.append(DataAttribute(Type.unityDefaultDomain, octets: Array(defaultDomain.utf8)))
        }
        if !splitDomains.isEmpty {
            attributes.append(
                DataAttribute(Type.unitySplitDNS, octets: Array(splitDomains.joined(separator: ",").utf8)))
        }
        // Address, mask, and six octets for a protocol and ports, which nobody fills. All networks in one attribute: peers
        // take the last one of several.
        func add(_ type: UInt16, _ networks: [Prefix]) {
            let octets = networks.filter { $0.address.family == .v4 }.flatMap {
                $0.address.octets + $0.mask.octets + [UInt8](repeating: 0, count: 6)
            }
            if !octets.isEmpty { attributes.append(DataAttribute(type, octets: octets)) }
        }
        add(Type.unitySplitInclude, splitInclude)
        add(Type.unitySplitExclude, splitExclude)
        if let wantsForwardSecrecy {
            attributes.append(DataAttribute(Type.unityForwardSecrecy, wantsForwardSecrecy ? 1 : 0))
        }
        let servers = backupServers.filter { $0.family == .v4 }.map(\.description).joined(separator: ",")
        if !servers.isEmpty { attributes.append(DataAttribute(Type.unityBackupServers, octets: Array(servers.utf8))) }
        return attributes
    }

    /// Takes in what a gateway says; what is unknown, empty or of a wrong length is passed over (§3.4).
    ///
    /// - Returns: the attributes that were taken, by their places.
    mutating func take(_ attributes: [DataAttribute]) -> Set<Int> {
        typealias Type = ConfigurationAttribute
        var taken: Set<Int> = []
        for (index, attribute) in attributes.enumerated() where !attribute.value.isEmpty {
            let value = attribute.value
            let isTaken: Bool
            switch attribute.type {
            case Type.ip4Netmask: isTaken = Self.set(&netmask, value.count == 4 ? IPAddress(octets: value) : nil)
            case Type.ip4DNS, Type.ip6DNS: isTaken = Self.append(&nameServers, IPAddress(octets: value))
            case Type.ip4NBNS, Type.ip6NBNS: isTaken = Self.append(&netBIOSNameServers, IPAddress(octets: value))
            case Type.ip4DHCP, Type.ip6DHCP: isTaken = Self.append(&addressServers, IPAddress(octets: value))
            case Type.ip4Subnet, Type.ip6Subnet: isTaken = Self.append(&subnets, Self.subnet(value))
            case Type.addressExpiry:
                isTaken = Self.set(&expirySeconds, attribute.number.flatMap { UInt32(exactly: $0) })
            case Type.applicationVersion: isTaken = Self.set(&applicationVersion, Self.text(value))
            case Type.unityBanner: isTaken = Self.set(&banner, Self.text(value))
            case Type.unityDefaultDomain: isTaken = Self.set(&defaultDomain, Self.text(value))
            case Type.unitySavePassword: isTaken = Self.set(&maySavePassword, attribute.number.map { $0 == 1 })
            case Type.unityForwardSecrecy: isTaken = Self.set(&wantsForwardSecrecy, attribute.number.map { $0 == 1 })
            case Type.unitySplitDNS: isTaken = Self.append(&splitDomains, Self.list(value))
            case Type.unityBackupServers:
                isTaken = Self.append(&backupServers, Self.list(value).compactMap { IPAddress($0) })
            case Type.unitySplitInclude: isTaken = Self.append(&splitInclude, Self.networks(value))
            case Type.unitySplitExclude: isTaken = Self.append(&splitExclude, Self.networks(value))
            default: isTaken = false
            }
            if isTaken { taken.insert(index) }
        }
        return taken
    }

    private static func set<Value>(_ place: inout Value?, _ value: Value?) -> Bool {
        guard let value else { return false }
        place = value
        return true
    }

    private static func append<Value: Equatable>(_ list: inout [Value], _ value: Value?) -> Bool {
        append(&list, value.map { [$0] } ?? [])
    }

    private static func append<Value: Equatable>(_ list: inout [Value], _ values: [Value]) -> Bool {
        for value in values where list.count < maximumValues && !list.contains(value) { list.append(value) }
        return !values.isEmpty
    }

    /// Text of a peer's as it may be shown: no control characters, so that it cannot move a terminal's cursor or forge
    /// lines of a log.
    static func text(_ octets: [UInt8]) -> String {
        let text = String(decoding: octets.prefix(maximumTextOctets), as: UTF8.self)
        return String(String.UnicodeScalarView(text.unicodeScalars.map { isShown($0) ? $0 : " " }))
    }

    private static func isShown(_ scalar: UnicodeScalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }

    private static func list(_ octets: [UInt8]) -> [String] {
        text(octets).split { $0 == "," || $0 == " " }.prefix(maximumValues).map(String.init)
    }

    /// INTERNAL_IP4_SUBNET has an address and a mask, INTERNAL_IP6_SUBNET an address and a length.
    private static func subnet(_ octets: [UInt8]) -> Prefix? {
        switch octets.count {
        case 8: return network(octets)
        case 17: return IPAddress(octets: octets.prefix(16)).flatMap { Prefix($0, length: Int(octets[16])) }
        default: return nil
        }
    }

    private static func network(_ octets: [UInt8]) -> Prefix? {
        guard let address = IPAddress(octets: octets.prefix(4)), let mask = IPAddress(octets: octets.dropFirst(4)),
            let prefix = Prefix(address, length: mask.value.nonzeroBitCount), prefix.mask == mask
        else { return nil }
        return prefix
    }

    /// Structures of 14 octets, or one network of eight without a protocol and ports, as strongSwan says what its pools
    /// have; none at all where the length is another.
    private static func networks(_ octets: [UInt8]) -> [Prefix] {
        if octets.count == 8 { return network(octets).map { [$0] } ?? [] }
        guard octets.count.isMultiple(of: 14) else { return [] }
        return stride(from: 0, to: min(octets.count, 14 * maximumValues), by: 14)
            .compactMap { network(Array(octets[$0..<$0 + 8])) }
    }
}

extension Prefix {
    /// The mask whose one bits are the prefix's.
    var mask: IPAddress { Prefix(.last(address.family), length: length)?.address ?? address }
}
