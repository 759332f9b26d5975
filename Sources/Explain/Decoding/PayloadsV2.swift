import IPsec
import ISAKMP
import Primitives

/// The fields of IKEv2's payloads (RFC 7296 §3.3 to §3.16).
enum PayloadsV2 {
    static func describe(_ type: UInt8, _ header: Header, _ scribe: inout Scribe) throws(ParseError) {
        switch type {
        case 33: try securityAssociation(&scribe)
        case 34: try keyExchange(&scribe)
        case 35, 36: try identification(&scribe)
        case 37, 38:
            try scribe.uint8("Encoding") { CertificateNames.of($0) }
            scribe.rest(type == 37 ? "Certificate data" : "Certification authority")
        case 39: try authentication(&scribe)
        case 40: try nonce(&scribe)
        case 41: try notify(&scribe)
        case 42: try delete(&scribe)
        case 43: scribe.rest("Vendor ID") { VendorNames.name(Array($0)) }
        case 44, 45: try trafficSelectors(&scribe)
        case 46: scribe.rest("Encrypted") { "IV, payloads and integrity check value, \($0.count) octets" }
        case 47: try configuration(&scribe)
        case 48: try extensibleAuthentication(&scribe)
        case 53:
            try scribe.uint16("Fragment number")
            try scribe.uint16("Total fragments")
            scribe.rest("Encrypted") { "IV, part of the payloads and integrity check value, \($0.count) octets" }
        case 54: scribe.rest("Puzzle solution") { "four keys of \($0.count / 4) octets" }
        default: scribe.rest("Data")
        }
    }

    // MARK: SA

    private static func securityAssociation(_ scribe: inout Scribe) throws(ParseError) {
        var isLast = false
        while !isLast {
            let offset = scribe.reader.offset
            var ahead = scribe.reader
            let next = try ahead.readUInt8()
            guard next == 0 || next == 2 else {
                throw .invalid(offset: offset, rule: "another proposal follows with 2, none with 0 (RFC 7296 §3.3.1)")
            }
            _ = try ahead.readUInt8()
            let length = Int(try ahead.readUInt16())
            guard length >= 8 else {
                throw .invalid(offset: offset + 2, rule: "a proposal has 8 octets or more (RFC 7296 §3.3.1)")
            }
            try scribe.part("Proposal", length, proposal)
            isLast = next == 0
        }
    }

    private static func proposal(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Last substructure") { $0 == 0 ? "last" : "more" }
        try scribe.uint8("Reserved")
        try scribe.uint16("Length")
        try scribe.uint8("Number")
        try scribe.uint8("Protocol") { ProtocolNames.of($0, isVersion2: true) }
        let spiOctets = try scribe.uint8("SPI size")
        let count = try scribe.uint8("Transforms")
        if spiOctets > 0 { try scribe.hex("SPI", Int(spiOctets)) }
        for _ in 0..<count {
            let offset = scribe.reader.offset
            var ahead = scribe.reader
            _ = try ahead.readUInt16()
            let length = Int(try ahead.readUInt16())
            guard length >= 8 else {
                throw .invalid(offset: offset + 2, rule: "a transform has 8 octets or more (RFC 7296 §3.3.2)")
            }
            try scribe.part("Transform", length, transform)
        }
    }

    private static func transform(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Last substructure") { $0 == 0 ? "last" : "more" }
        try scribe.uint8("Reserved")
        try scribe.uint16("Length")
        let type = try scribe.uint8("Type") { TransformNames.types[$0] ?? "unknown (\($0))" }
        try scribe.uint8("Reserved")
        try scribe.uint16("Identifier") { TransformNames.of(type: type, $0) }
        while !scribe.reader.isAtEnd {
            var ahead = scribe.reader
            let head = try ahead.readUInt16()
            guard head & 0x8000 != 0 else {
                let length = Int(try ahead.readUInt16())
                try scribe.hex("Attribute \(head)", 4 + length)
                continue
            }
            let value = try ahead.readUInt16()
            let name = head & 0x7FFF == 14 ? "Key length" : "Attribute \(head & 0x7FFF)"
            try scribe.hex(name, 4) { _ in head & 0x7FFF == 14 ? "\(value) bits" : "\(value)" }
        }
    }

    // MARK: Others

    private static func keyExchange(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint16("Group") { TransformNames.of(type: 4, $0) }
        try scribe.uint16("Reserved")
        scribe.rest("Public value")
    }

    private static func identification(_ scribe: inout Scribe) throws(ParseError) {
        let kind = try scribe.uint8("Type") { IdentityNames.of($0, isVersion2: true) }
        try scribe.hex("Reserved", 3)
        scribe.rest("Identity") { "\(Identity(Identity.Kind(rawValue: kind), octets: Array($0)))" }
    }

    private static func authentication(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Method") { method in
            let names: [UInt8: String] = [
                1: "RSA digital signature", 2: "shared key message integrity code", 3: "DSS digital signature",
                9: "ECDSA with SHA-256 on P-256", 10: "ECDSA with SHA-384 on P-384",
                11: "ECDSA with SHA-512 on P-521", 12: "generic secure password", 13: "null",
                14: "digital signature",
            ]
            return names[method] ?? "unknown (\(method))"
        }
        try scribe.hex("Reserved", 3)
        scribe.rest("Authentication data")
    }

    private static func nonce(_ scribe: inout Scribe) throws(ParseError) {
        let offset = scribe.reader.offset
        let count = scribe.reader.remaining
        scribe.rest("Nonce")
        guard (16...256).contains(count) else {
            throw .invalid(offset: offset, rule: "a nonce has 16 to 256 octets, not \(count) (RFC 7296 §3.9)")
        }
    }

    private static func notify(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Protocol") { ProtocolNames.of($0, isVersion2: true) }
        let spiOctets = try scribe.uint8("SPI size")
        try scribe.uint16("Type") { NotificationNames.version2($0) }
        if spiOctets > 0 { try scribe.hex("SPI", Int(spiOctets)) }
        scribe.rest("Data")
    }

    private static func delete(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Protocol") { ProtocolNames.of($0, isVersion2: true) }
        let spiOctets = Int(try scribe.uint8("SPI size"))
        let count = try scribe.uint16("SPIs")
        for _ in 0..<count where spiOctets > 0 { try scribe.hex("SPI", spiOctets) }
    }

    private static func trafficSelectors(_ scribe: inout Scribe) throws(ParseError) {
        let count = try scribe.uint8("Selectors")
        try scribe.hex("Reserved", 3)
        for _ in 0..<count {
            var ahead = scribe.reader
            let offset = ahead.offset
            _ = try ahead.readUInt16()
            let length = Int(try ahead.readUInt16())
            guard length >= 8 else {
                throw .invalid(offset: offset + 2, rule: "a selector has 8 octets or more (RFC 7296 §3.13.1)")
            }
            try scribe.part("Traffic selector", length) { (part: inout Scribe) throws(ParseError) in
                let type = try part.uint8("Type") {
                    [7: "IPv4 range", 8: "IPv6 range", 9: "FC address range", 10: "security label"][$0]
                        ?? "unknown (\($0))"
                }
                try part.uint8("IP protocol") { $0 == 0 ? "any" : "\($0)" }
                try part.uint16("Length")
                try part.uint16("First port")
                try part.uint16("Last port")
                guard type == 7 || type == 8 else {
                    part.rest("Selector")
                    return
                }
                let width = type == 7 ? 4 : 16
                for name in ["First address", "Last address"] {
                    try part.hex(name, width) { octets in IPAddress(octets: octets).map { "\($0)" } ?? "" }
                }
            }
        }
    }

    private static func configuration(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Type") { type in
            [1: "request", 2: "reply", 3: "set", 4: "acknowledgement"][type] ?? "unknown (\(type))"
        }
        try scribe.hex("Reserved", 3)
        while !scribe.reader.isAtEnd {
            var ahead = scribe.reader
            let type = try ahead.readUInt16() & 0x7FFF
            let length = Int(try ahead.readUInt16())
            let value = try ahead.read(length)
            try scribe.hex(configurationNames[type] ?? "Attribute \(type)", 4 + length) { _ in
                IPAddress(octets: value).map { "\($0)" } ?? Scribe.shortened(value)
            }
        }
    }

    /// IKEv1's configuration method uses the same numbers; 5, 9 and 11 are its own, as are those of XAUTH.
    static let configurationNames: [UInt16: String] = [
        1: "INTERNAL_IP4_ADDRESS", 2: "INTERNAL_IP4_NETMASK", 3: "INTERNAL_IP4_DNS", 4: "INTERNAL_IP4_NBNS",
        5: "INTERNAL_ADDRESS_EXPIRY", 9: "INTERNAL_IP6_NETMASK", 11: "INTERNAL_IP6_NBNS", 22: "FTT_KAT",
        23: "EXTERNAL_SOURCE_IP4_NAT_INFO", 24: "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK", 27: "ENCDNS_IP4",
        28: "ENCDNS_IP6", 29: "ENCDNS_DIGEST_INFO", 16520: "XAUTH_TYPE", 16521: "XAUTH_USER_NAME",
        16522: "XAUTH_USER_PASSWORD", 16523: "XAUTH_PASSCODE", 16524: "XAUTH_MESSAGE", 16525: "XAUTH_CHALLENGE",
        16526: "XAUTH_DOMAIN", 16527: "XAUTH_STATUS", 16528: "XAUTH_NEXT_PIN", 16529: "XAUTH_ANSWER",
        6: "INTERNAL_IP4_DHCP", 7: "APPLICATION_VERSION", 8: "INTERNAL_IP6_ADDRESS", 10: "INTERNAL_IP6_DNS",
        12: "INTERNAL_IP6_DHCP", 13: "INTERNAL_IP4_SUBNET", 14: "SUPPORTED_ATTRIBUTES", 15: "INTERNAL_IP6_SUBNET",
        16: "MIP6_HOME_PREFIX", 17: "INTERNAL_IP6_LINK", 18: "INTERNAL_IP6_PREFIX", 19: "HOME_AGENT_ADDRESS",
        20: "P_CSCF_IP4_ADDRESS", 21: "P_CSCF_IP6_ADDRESS", 25: "INTERNAL_DNS_DOMAIN", 26: "INTERNAL_DNSSEC_TA",
    ]

    private static func extensibleAuthentication(_ scribe: inout Scribe) throws(ParseError) {
        let code = try scribe.uint8("Code") { code in
            [1: "request", 2: "response", 3: "success", 4: "failure"][code] ?? "unknown (\(code))"
        }
        try scribe.uint8("Identifier")
        try scribe.uint16("Length")
        guard code == 1 || code == 2 else { return }
        try scribe.uint8("Type") { type in
            let names: [UInt8: String] = [
                1: "identity", 2: "notification", 3: "NAK", 4: "MD5-challenge", 6: "GTC", 13: "TLS", 18: "SIM",
                21: "TTLS", 23: "AKA", 25: "PEAP", 26: "MSCHAPv2", 50: "AKA'",
            ]
            return names[type] ?? "unknown (\(type))"
        }
        scribe.rest("Data")
    }
}
