import IPsec
import ISAKMP
import Primitives

/// The fields of ISAKMP's and IKEv1's payloads (RFC 2408 §3.4 to §3.16, RFC 2407 §4.6).
enum PayloadsV1 {
    static func describe(_ type: UInt8, _ header: Header, _ scribe: inout Scribe) throws(ParseError) {
        switch type {
        case 1: try securityAssociation(&scribe)
        case 4: scribe.rest("Public value")
        case 5: try identification(&scribe)
        case 6, 7:
            try scribe.uint8("Encoding") { CertificateNames.of($0) }
            scribe.rest(type == 6 ? "Certificate data" : "Certification authority")
        case 8: scribe.rest("Hash")
        case 9: scribe.rest("Signature")
        case 10: try nonce(&scribe)
        case 11: try notification(&scribe)
        case 12: try delete(&scribe)
        case 13: scribe.rest("Vendor ID") { VendorNames.name(Array($0)) }
        case 14: try attributes(&scribe)
        case 15 where PayloadNames.isDraftDetection(type, header), 20, 130:
            scribe.rest("Hash of address and port")
        case 21, 131:
            try scribe.uint8("Type") { IdentityNames.of($0, isVersion2: false) }
            try scribe.hex("Reserved", 3)
            scribe.rest("Address") { octets in IPAddress(octets: octets).map { "\($0)" } ?? Scribe.shortened(octets) }
        case 132:
            try scribe.uint16("Fragment ID")
            try scribe.uint8("Number")
            try scribe.uint8("Flags") { $0 & 1 != 0 ? "last" : "more follow" }
            scribe.rest("Piece of a message")
        default: scribe.rest("Data")
        }
    }

    private static func domain(_ doi: UInt32) -> String {
        [0: "ISAKMP", 1: "IPsec", 2: "GDOI"][doi] ?? "unknown (\(doi))"
    }

    // MARK: SA

    private static func securityAssociation(_ scribe: inout Scribe) throws(ParseError) {
        let doi = try scribe.uint32("DOI", domain)
        if doi == 1 {
            let situation = try scribe.uint32("Situation") { flags in
                let names = [(UInt32(1), "identity only"), (2, "secrecy"), (4, "integrity")]
                let set = names.filter { flags & $0.0 != 0 }.map(\.1)
                return set.isEmpty ? "0x\(String(flags, radix: 16))" : set.joined(separator: ", ")
            }
            guard situation & 6 == 0 else {
                scribe.rest("Labels and proposals")
                return
            }
        }
        var isLast = false
        while !isLast {
            let next = try substructure(scribe.reader, "proposal", 2)
            try scribe.part("Proposal", next.length, proposal)
            isLast = !next.more
        }
    }

    /// Looks at the generic header of a proposal or transform.
    private static func substructure(
        _ reader: ByteReader, _ name: String, _ continuation: UInt8
    ) throws(ParseError) -> (length: Int, more: Bool) {
        var ahead = reader
        let offset = ahead.offset
        let next = try ahead.readUInt8()
        _ = try ahead.readUInt8()
        let length = Int(try ahead.readUInt16())
        guard next == 0 || next == continuation else {
            throw .invalid(
                offset: offset, rule: "another \(name) follows with \(continuation), none with 0 (RFC 2408 §3.5, §3.6)")
        }
        guard length >= 8 else {
            throw .invalid(offset: offset + 2, rule: "a \(name) has 8 octets or more (RFC 2408 §3.5, §3.6)")
        }
        return (length, next != 0)
    }

    private static func proposal(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Next payload") { $0 == 0 ? "none" : "Proposal" }
        try scribe.uint8("Reserved")
        try scribe.uint16("Length")
        try scribe.uint8("Number")
        let number = try scribe.uint8("Protocol") { ProtocolNames.of($0, isVersion2: false) }
        let spiOctets = try scribe.uint8("SPI size")
        let count = try scribe.uint8("Transforms")
        if spiOctets > 0 { try scribe.hex("SPI", Int(spiOctets)) }
        for _ in 0..<count {
            let next = try substructure(scribe.reader, "transform", 3)
            try scribe.part("Transform", next.length) { (part: inout Scribe) throws(ParseError) in
                try transform(number, &part)
            }
        }
    }

    private static func transform(_ protocolID: UInt8, _ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Next payload") { $0 == 0 ? "none" : "Transform" }
        try scribe.uint8("Reserved")
        try scribe.uint16("Length")
        try scribe.uint8("Number")
        try scribe.uint8("Identifier") { AttributeNamesV1.transform($0, protocolID: protocolID) }
        try scribe.uint16("Reserved")
        while !scribe.reader.isAtEnd {
            var ahead = scribe.reader
            let head = try ahead.readUInt16()
            let second = try ahead.readUInt16()
            let type = head & 0x7FFF
            let name = AttributeNamesV1.name(type, isPhaseOne: protocolID == 1)
            if head & 0x8000 != 0 {
                try scribe.hex(name, 4) { _ in
                    AttributeNamesV1.value(type, UInt64(second), isPhaseOne: protocolID == 1)
                }
            } else {
                let value = try ahead.read(Int(second))
                try scribe.hex(name, 4 + Int(second)) { _ in
                    value.count <= 8
                        ? AttributeNamesV1.value(
                            type, value.reduce(0) { $0 << 8 | UInt64($1) }, isPhaseOne: protocolID == 1)
                        : Scribe.shortened(value)
                }
            }
        }
    }

    // MARK: Others

    private static func identification(_ scribe: inout Scribe) throws(ParseError) {
        let kind = try scribe.uint8("Type") { IdentityNames.of($0, isVersion2: false) }
        try scribe.uint8("Protocol") { $0 == 0 ? "any" : "\($0)" }
        try scribe.uint16("Port") { $0 == 0 ? "any" : "\($0)" }
        let offset = scribe.reader.offset
        let count = scribe.reader.remaining
        let wanted: Int? =
            switch kind {
            case 1: 4
            case 5: 16
            case 4, 7: 8
            case 6, 8: 32
            default: nil
            }
        scribe.rest("Identity") { octets in
            guard kind == 4 || kind == 6 || kind == 7 || kind == 8, octets.count == wanted else {
                return "\(Identity(Identity.Kind(rawValue: kind), octets: Array(octets)))"
            }
            let middle = octets.startIndex + octets.count / 2
            let halves = [octets[..<middle], octets[middle...]].compactMap { IPAddress(octets: $0) }
            return halves.map(\.description).joined(separator: kind == 4 || kind == 6 ? "/" : "-")
        }
        if let wanted, wanted != count {
            throw .invalid(
                offset: offset, rule: "an identity of this type has \(wanted) octets, not \(count) (RFC 2407 §4.6.2)")
        }
    }

    private static func nonce(_ scribe: inout Scribe) throws(ParseError) {
        let offset = scribe.reader.offset
        let count = scribe.reader.remaining
        scribe.rest("Nonce")
        guard (8...256).contains(count) else {
            throw .invalid(offset: offset, rule: "a nonce has 8 to 256 octets, not \(count) (RFC 2409 §5)")
        }
    }

    private static func notification(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint32("DOI", domain)
        try scribe.uint8("Protocol") { ProtocolNames.of($0, isVersion2: false) }
        let spiOctets = try scribe.uint8("SPI size")
        try scribe.uint16("Type") { NotificationNames.version1($0) }
        if spiOctets > 0 { try scribe.hex("SPI", Int(spiOctets)) }
        scribe.rest("Data")
    }

    private static func delete(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint32("DOI", domain)
        try scribe.uint8("Protocol") { ProtocolNames.of($0, isVersion2: false) }
        let spiOctets = Int(try scribe.uint8("SPI size"))
        let offset = scribe.reader.offset
        let count = Int(try scribe.uint16("SPIs"))
        guard spiOctets > 0 || count == 0 else {
            throw .invalid(offset: offset, rule: "SPIs of no octets cannot be counted (RFC 2408 §3.15)")
        }
        for _ in 0..<count { try scribe.hex("SPI", spiOctets) }
    }

    private static func attributes(_ scribe: inout Scribe) throws(ParseError) {
        try scribe.uint8("Type") { type in
            [1: "request", 2: "reply", 3: "set", 4: "acknowledgement"][type] ?? "unknown (\(type))"
        }
        try scribe.uint8("Reserved")
        try scribe.uint16("Identifier")
        while !scribe.reader.isAtEnd {
            var ahead = scribe.reader
            let head = try ahead.readUInt16()
            let second = try ahead.readUInt16()
            let count = head & 0x8000 != 0 ? 4 : 4 + Int(second)
            let type = head & 0x7FFF
            try scribe.hex(PayloadsV2.configurationNames[type] ?? "Attribute \(type)", count) {
                Scribe.shortened($0.dropFirst(head & 0x8000 != 0 ? 2 : 4))
            }
        }
    }
}
