import IPsec
package import Primitives

/// One EAP packet (RFC 3748 §4): code, identifier, length, and for requests and responses a type and its data.
package struct EAPPacket: Hashable, Sendable {
    package enum Code: UInt8, Sendable {
        case request = 1
        case response = 2
        case success = 3
        case failure = 4
    }

    /// A method type (RFC 3748 §5 and IANA "EAP Method Types").
    package struct MethodType: Hashable, Sendable, RawRepresentable {
        package var rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let identity = MethodType(rawValue: 1)
        package static let notification = MethodType(rawValue: 2)
        /// A response alone: the methods that the peer would rather have (§5.3.1).
        package static let nak = MethodType(rawValue: 3)
        package static let md5Challenge = MethodType(rawValue: 4)
        package static let tokenCard = MethodType(rawValue: 6)
        /// RFC 5216.
        package static let tls = MethodType(rawValue: 13)
        /// RFC 5281.
        package static let ttls = MethodType(rawValue: 21)
        /// draft-kamath-pppext-peapv0.
        package static let peap = MethodType(rawValue: 25)
        package static let mschapv2 = MethodType(rawValue: 26)

        /// Those that prove both ends and make a key that no password can be guessed from (RFC 5998 §4): TLS, SIM, TTLS, AKA, PEAP,
        /// FAST, PAX, SAKE, AKA', GPSK, pwd and EKE.
        static let mutual: Set<MethodType> = Set(
            [13, 18, 21, 23, 25, 43, 46, 48, 50, 51, 52, 53].map { MethodType(rawValue: $0) })
    }

    package var code: Code
    package var identifier: UInt8
    /// `nil` in Success and Failure.
    package var type: MethodType?
    package var data: [UInt8]

    package init(_ code: Code, identifier: UInt8, type: MethodType? = nil, data: [UInt8] = []) {
        self.code = code
        self.identifier = identifier
        self.type = type
        self.data = data
    }

    /// - Throws: where the code is unknown or the length is not that of the octets. What is behind the length is padding (§4).
    package init(parsing octets: [UInt8]) throws(ParseError) {
        var reader = ByteReader(octets)
        guard let code = Code(rawValue: try reader.readUInt8()) else {
            throw .invalid(offset: 0, rule: "an EAP code is 1 to 4 (RFC 3748 §4)")
        }
        self.code = code
        identifier = try reader.readUInt8()
        let length = Int(try reader.readUInt16())
        let head = code == .request || code == .response ? 5 : 4
        guard length >= head, length <= octets.count else {
            throw .invalid(offset: 2, rule: "an EAP packet is as long as it says (RFC 3748 §4)")
        }
        type = head == 5 ? MethodType(rawValue: octets[4]) : nil
        data = Array(octets[head..<length])
    }

    package var octets: [UInt8] {
        let length = 4 + (type == nil ? 0 : 1) + data.count
        return [code.rawValue, identifier, UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)]
            + (type.map { [$0.rawValue] } ?? []) + data
    }
}

extension UserMethod {
    /// The type of a method that runs TLS; `nil` of the others.
    var tunnelType: EAPPacket.MethodType? {
        switch self {
        case .tls: .tls
        case .ttls: .ttls
        case .peap: .peap
        case .any, .md5, .gtc, .mschapv2, .radius: nil
        }
    }
}

/// A packet of EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2 §2): an operation, an identifier, a length, and what goes with the
/// operation. A response to Success or Failure is the operation alone.
struct MSCHAPv2Packet: Hashable, Sendable {
    static let challenge: UInt8 = 1
    static let response: UInt8 = 2
    static let success: UInt8 = 3
    static let failure: UInt8 = 4
    /// Peer's challenge, eight reserved octets, the response, flags.
    static let responseValueOctets = 49

    var operation: UInt8
    var identifier: UInt8 = 0
    var data: [UInt8] = []

    init(_ operation: UInt8, identifier: UInt8, _ data: [UInt8]) {
        self.operation = operation
        self.identifier = identifier
        self.data = data
    }

    /// `nil` where it has not the form.
    init?(parsing octets: [UInt8]) {
        guard let operation = octets.first else { return nil }
        self.operation = operation
        if octets.count == 1 { return }
        guard octets.count >= 4, Int(octets[2]) << 8 | Int(octets[3]) == octets.count else { return nil }
        identifier = octets[1]
        data = Array(octets[4...])
    }

    var octets: [UInt8] {
        let length = 4 + data.count
        return [operation, identifier, UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)] + data
    }
}
