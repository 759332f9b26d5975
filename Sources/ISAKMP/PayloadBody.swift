package import Primitives

/// The body of an Identification payload (RFC 2408 §3.8): a type, three octets that the DOI gives a meaning, and data.
package struct IdentificationPayload: Hashable, Sendable {
    package var type: UInt8
    /// "DOI Specific ID Data", the first three octets of it.
    package var specific: [UInt8]
    package var data: [UInt8]

    package init(type: UInt8, specific: [UInt8] = [0, 0, 0], data: [UInt8]) {
        self.type = type
        self.specific = specific
        self.data = data
    }

    package init(parsing body: [UInt8]) throws(ParseError) {
        var reader = ByteReader(body)
        type = try reader.readUInt8()
        specific = Array(try reader.read(3))
        data = Array(reader.readRest())
    }

    package var payload: Payload { Payload(.identification, body: [type] + specific + data) }
}

/// The body of a Certificate or Certificate Request payload (RFC 2408 §3.9, §3.10): an encoding, and what is encoded. A
/// request for any authority of the type has no data.
package struct EncodedCertificate: Hashable, Sendable {
    /// Certificate encodings of RFC 2408 §3.9 by number.
    package static let encodings: [UInt8: String] = [
        0: "NONE", 1: "PKCS #7 wrapped X.509 certificate", 2: "PGP certificate", 3: "DNS signed key",
        4: "X.509 certificate - signature", 5: "X.509 certificate - key exchange", 6: "Kerberos tokens",
        7: "certificate revocation list (CRL)", 8: "authority revocation list (ARL)", 9: "SPKI certificate",
        10: "X.509 certificate - attribute",
    ]

    package var encoding: UInt8
    package var data: [UInt8]

    package init(encoding: UInt8, data: [UInt8]) {
        self.encoding = encoding
        self.data = data
    }

    package init(parsing body: [UInt8]) throws(ParseError) {
        var reader = ByteReader(body)
        encoding = try reader.readUInt8()
        data = Array(reader.readRest())
    }

    package var body: [UInt8] { [encoding] + data }
}

/// The body of a NAT-OA payload (RFC 3947 §5.2): a type, three zero octets, and the address that a NAT hides.
package struct OriginalAddress: Hashable, Sendable {
    package var address: IPAddress

    package init(_ address: IPAddress) { self.address = address }

    package init(parsing body: [UInt8]) throws(ParseError) {
        var reader = ByteReader(body)
        let type = try reader.readUInt8()
        guard try reader.read(3).allSatisfy({ $0 == 0 }) else {
            throw .invalid(offset: 1, rule: "three octets are reserved (RFC 3947 §5.2)")
        }
        // ID_IPV4_ADDR and ID_IPV6_ADDR.
        guard let address = IPAddress(octets: reader.readRest()), type == (address.family == .v4 ? 1 : 5) else {
            throw .invalid(offset: 0, rule: "an IPv4 or IPv6 address of the type that it says (RFC 3947 §5.2)")
        }
        self.address = address
    }

    package var payload: Payload {
        Payload(.natOriginalAddress, body: [address.family == .v4 ? 1 : 5, 0, 0, 0] + address.octets)
    }
}

/// The body of any payload that RFC 2408 §3.4 to §3.16 or RFC 3947 defines, by its type. Proposals and transforms (types 2
/// and 3) stand inside the SA payload.
package enum PayloadBody: Hashable, Sendable {
    case securityAssociation(SecurityAssociationPayload)
    case keyExchange([UInt8])
    case identification(IdentificationPayload)
    case certificate(EncodedCertificate)
    case certificateRequest(EncodedCertificate)
    case hash([UInt8])
    case signature([UInt8])
    case nonce([UInt8])
    case notification(NotificationPayload)
    case delete(DeletePayload)
    case vendorID([UInt8])
    case natDiscovery([UInt8])
    case natOriginalAddress(OriginalAddress)

    /// `nil` for a type that is none of these.
    ///
    /// - Throws: where the body has not the form of its type; offsets count from the start of the body.
    package init?<DOI: DomainOfInterpretation>(parsing payload: Payload, _: DOI.Type) throws(ParseError) {
        switch payload.type {
        case .securityAssociation:
            self = .securityAssociation(try SecurityAssociationPayload(parsing: payload.body[...], DOI.self))
        case .keyExchange: self = .keyExchange(payload.body)
        case .identification: self = .identification(try IdentificationPayload(parsing: payload.body))
        case .certificate: self = .certificate(try EncodedCertificate(parsing: payload.body))
        case .certificateRequest: self = .certificateRequest(try EncodedCertificate(parsing: payload.body))
        case .hash: self = .hash(payload.body)
        case .signature: self = .signature(payload.body)
        case .nonce: self = .nonce(payload.body)
        case .notification: self = .notification(try NotificationPayload(parsing: payload.body))
        case .delete: self = .delete(try DeletePayload(parsing: payload.body))
        case .vendorID: self = .vendorID(payload.body)
        case .natDiscovery: self = .natDiscovery(payload.body)
        case .natOriginalAddress: self = .natOriginalAddress(try OriginalAddress(parsing: payload.body))
        default: return nil
        }
    }

    package var payload: Payload {
        switch self {
        case .securityAssociation(let association): Payload(.securityAssociation, body: association.body)
        case .keyExchange(let octets): Payload(.keyExchange, body: octets)
        case .identification(let identification): identification.payload
        case .certificate(let certificate): Payload(.certificate, body: certificate.body)
        case .certificateRequest(let request): Payload(.certificateRequest, body: request.body)
        case .hash(let octets): Payload(.hash, body: octets)
        case .signature(let octets): Payload(.signature, body: octets)
        case .nonce(let octets): Payload(.nonce, body: octets)
        case .notification(let notification): notification.payload
        case .delete(let delete): delete.payload
        case .vendorID(let octets): Payload(.vendorID, body: octets)
        case .natDiscovery(let octets): Payload(.natDiscovery, body: octets)
        case .natOriginalAddress(let address): address.payload
        }
    }
}
