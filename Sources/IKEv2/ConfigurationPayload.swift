import IPsec
import ISAKMP
import Primitives

/// CP (RFC 7296 §3.15): a kind, three reserved octets, and attributes of a reserved bit, 15 bits of type, 16 of length and a value.
struct ConfigurationPayload: Hashable, Sendable {
    /// CFG Type; unknown ones are kept.
    struct Kind: Hashable, Sendable, RawRepresentable {
        var rawValue: UInt8
        static let request = Kind(rawValue: 1)
        static let reply = Kind(rawValue: 2)
        static let set = Kind(rawValue: 3)
        static let acknowledge = Kind(rawValue: 4)
    }

    struct Attribute: Hashable, Sendable {
        var type: AttributeType
        var value: [UInt8]

        init(_ type: AttributeType, _ value: [UInt8] = []) {
            self.type = type
            self.value = value
        }
    }

    /// A configuration attribute type (RFC 7296 §3.15.1).
    struct AttributeType: Hashable, Sendable, RawRepresentable {
        var rawValue: UInt16
        static let ip4Address = AttributeType(rawValue: 1)
        static let ip4Netmask = AttributeType(rawValue: 2)
        static let ip4DNS = AttributeType(rawValue: 3)
        static let ip4NBNS = AttributeType(rawValue: 4)
        static let ip4DHCP = AttributeType(rawValue: 6)
        static let applicationVersion = AttributeType(rawValue: 7)
        static let ip6Address = AttributeType(rawValue: 8)
        static let ip6DNS = AttributeType(rawValue: 10)
        static let ip6DHCP = AttributeType(rawValue: 12)
        static let ip4Subnet = AttributeType(rawValue: 13)
        static let supportedAttributes = AttributeType(rawValue: 14)
        static let ip6Subnet = AttributeType(rawValue: 15)
        /// RFC 8598 §4.1.
        static let dnsDomain = AttributeType(rawValue: 25)

        /// The answer to SUPPORTED_ATTRIBUTES.
        static let known: [AttributeType] = [
            .ip4Address, .ip4Netmask, .ip4DNS, .ip4NBNS, .ip4DHCP, .applicationVersion, .ip6Address, .ip6DNS, .ip6DHCP,
            .ip4Subnet, .supportedAttributes, .ip6Subnet, .dnsDomain,
        ]

        var octets: [UInt8] { [UInt8(rawValue >> 8), UInt8(truncatingIfNeeded: rawValue)] }
    }

    /// Attributes of one payload that are kept; what is behind them is passed over.
    static let maximumAttributes = 256

    var kind: Kind
    var attributes: [Attribute]

    init(_ kind: Kind, _ attributes: [Attribute]) {
        self.kind = kind
        self.attributes = attributes
    }

    init(parsing payload: Payload) throws(ParseError) {
        var reader = ByteReader(payload.body)
        kind = Kind(rawValue: try reader.readUInt8())
        _ = try reader.read(3)
        attributes = []
        while !reader.isAtEnd, attributes.count < Self.maximumAttributes {
            let type = AttributeType(rawValue: try reader.readUInt16() & 0x7FFF)
            let count = Int(try reader.readUInt16())
            attributes.append(Attribute(type, Array(try reader.read(count))))
        }
    }

    var payload: Payload {
        var body: [UInt8] = [kind.rawValue, 0, 0, 0]
        for attribute in attributes {
            body += attribute.type.octets
            body.append(bigEndian: UInt16(truncatingIfNeeded: attribute.value.count))
            body += attribute.value
        }
        return Payload(.configuration, body: body)
    }
}

extension ConfigurationPayload.Attribute {
    /// INTERNAL_IP4_ADDRESS or INTERNAL_IP6_ADDRESS; without a value it asks for any. A prefix length of 128 makes the
    /// latter one address (RFC 7296 §3.15.3 has what others might mean).
    init(_ address: IPAddress) {
        switch address.family {
        case .v4: self.init(.ip4Address, address.isUnspecified ? [] : address.octets)
        case .v6: self.init(.ip6Address, address.isUnspecified ? [] : address.octets + [128])
        }
    }

    /// The family of addresses that the attribute is about; `nil` where it is no address.
    var addressFamily: IPAddress.Family? {
        switch type {
        case .ip4Address: .v4
        case .ip6Address: .v6
        default: nil
        }
    }

    /// The address; `nil` where there is none, or its length is wrong. Some peers leave the prefix length out.
    var address: IPAddress? {
        switch (addressFamily, value.count) {
        case (.v4, 4), (.v6, 16), (.v6, 17): IPAddress(octets: value.prefix(addressFamily == .v4 ? 4 : 16))
        default: nil
        }
    }
}

extension NetworkInformation {
    private typealias Attribute = ConfigurationPayload.Attribute
    /// Values of a kind that are looked at in one payload.
    private static let maximumValues = 64
    /// Cisco's own attributes, which version 1 alone has.
    private static let unityRange: ClosedRange<UInt16> = 28_672...28_687

    /// What to tell a peer that asks for `asked`, besides addresses of `families`. Unasked, it hears what RFC 7296 §3.15.1 lets a
    /// gateway say, but of domains nothing (RFC 8598 §3.2).
    func attributes(
        asked: Set<ConfigurationPayload.AttributeType>, _ families: Set<IPAddress.Family>
    ) -> [ConfigurationPayload.Attribute] {
        var attributes: [ConfigurationPayload.Attribute] = []
        if let netmask, families.contains(.v4) { attributes.append(Attribute(.ip4Netmask, netmask.octets)) }
        for server in nameServers {
            attributes.append(Attribute(server.family == .v4 ? .ip4DNS : .ip6DNS, server.octets))
        }
        for server in netBIOSNameServers where server.family == .v4 {
            attributes.append(Attribute(.ip4NBNS, server.octets))
        }
        for server in addressServers {
            attributes.append(Attribute(server.family == .v4 ? .ip4DHCP : .ip6DHCP, server.octets))
        }
        for network in subnets + splitInclude.filter({ !subnets.contains($0) }) {
            switch network.address.family {
            case .v4:
                let mask = Prefix(.last(.v4), length: network.length)?.address ?? network.address
                attributes.append(Attribute(.ip4Subnet, network.address.octets + mask.octets))
            case .v6:
                attributes.append(Attribute(.ip6Subnet, network.address.octets + [UInt8(network.length)]))
            }
        }
        let mayNameDomains = asked.contains(.dnsDomain) && !nameServers.isEmpty
        if mayNameDomains {
            var domains: [String] = []
            for domain in splitDomains + (defaultDomain.map { [$0] } ?? []) where !domains.contains(domain) {
                domains.append(domain)
            }
            attributes += domains.map { Attribute(.dnsDomain, Array($0.utf8)) }
        }
        for other in others where !Self.unityRange.contains(other.type) {
            let type = ConfigurationPayload.AttributeType(rawValue: other.type)
            if type != .dnsDomain || mayNameDomains { attributes.append(Attribute(type, other.value)) }
        }
        return attributes
    }

    /// Reads what a gateway says; what is unknown, empty or of a wrong length is passed over (RFC 7296 §3.15.1).
    init(_ attributes: [ConfigurationPayload.Attribute]) {
        self.init()
        func add<Value: Equatable>(_ value: Value?, to list: inout [Value]) {
            guard let value, list.count < Self.maximumValues, !list.contains(value) else { return }
            list.append(value)
        }
        for attribute in attributes {
            let value = attribute.value
            func address(_ family: IPAddress.Family) -> IPAddress? {
                value.count == family.octetCount ? IPAddress(octets: value) : nil
            }
            switch attribute.type {
            case .ip4Netmask: netmask = netmask ?? address(.v4)
            case .ip4DNS: add(address(.v4), to: &nameServers)
            // RFC 4306 had a prefix length there as well.
            case .ip6DNS: add(value.count == 17 ? IPAddress(octets: value.prefix(16)) : address(.v6), to: &nameServers)
            case .ip4NBNS: add(address(.v4), to: &netBIOSNameServers)
            case .ip4DHCP: add(address(.v4), to: &addressServers)
            case .ip6DHCP: add(address(.v6), to: &addressServers)
            case .ip4Subnet, .ip6Subnet: add(Self.network(value), to: &subnets)
            case .dnsDomain: add(Self.domain(value), to: &splitDomains)
            default: break
            }
        }
        // RFC 8598 §3.3: domains without a name server to ask about them mean nothing.
        if nameServers.isEmpty { splitDomains = [] }
    }

    private static func network(_ octets: [UInt8]) -> Prefix? {
        switch octets.count {
        case 8:
            guard let address = IPAddress(octets: octets.prefix(4)), let mask = IPAddress(octets: octets.suffix(4)),
                let prefix = Prefix(address, length: mask.value.nonzeroBitCount),
                Prefix(.last(.v4), length: prefix.length)?.address == mask
            else { return nil }
            return prefix
        case 17: return IPAddress(octets: octets.prefix(16)).flatMap { Prefix($0, length: Int(octets[16])) }
        default: return nil
        }
    }

    /// A domain name as RFC 8598 §4.1 writes it: A-labels, so that nothing but letters, digits, `-`, `_` and dots is one.
    private static func domain(_ octets: [UInt8]) -> String? {
        let isName = octets.allSatisfy { octet in
            switch octet {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                true
            default: false
            }
        }
        return isName && (1...253).contains(octets.count) ? String(decoding: octets, as: UTF8.self) : nil
    }
}
