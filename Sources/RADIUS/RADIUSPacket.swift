package import Cryptography
package import Primitives

/// A packet of RADIUS (RFC 2865 §3): code, identifier, length, 16 octets of authenticator, attributes.
package struct RADIUSPacket: Hashable, Sendable {
    package struct Code: Hashable, Sendable, RawRepresentable {
        package var rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let accessRequest = Code(rawValue: 1)
        package static let accessAccept = Code(rawValue: 2)
        package static let accessReject = Code(rawValue: 3)
        package static let accountingRequest = Code(rawValue: 4)
        package static let accountingResponse = Code(rawValue: 5)
        package static let accessChallenge = Code(rawValue: 11)
        /// RFC 5176 §2.
        package static let disconnectRequest = Code(rawValue: 40)
        package static let disconnectACK = Code(rawValue: 41)
        package static let disconnectNAK = Code(rawValue: 42)
        package static let coaRequest = Code(rawValue: 43)
        package static let coaACK = Code(rawValue: 44)
        package static let coaNAK = Code(rawValue: 45)
    }

    package static let headOctets = 20
    /// RFC 2865 §3.
    package static let maximumOctets = 4096
    package static let authenticatorOctets = 16

    package var code: Code
    package var identifier: UInt8
    package var authenticator: [UInt8]
    package var attributes: [RADIUSAttribute]

    package init(
        _ code: Code, identifier: UInt8, authenticator: [UInt8] = [UInt8](repeating: 0, count: 16),
        _ attributes: [RADIUSAttribute] = []
    ) {
        self.code = code
        self.identifier = identifier
        self.authenticator = authenticator
        self.attributes = attributes
    }

    /// - Throws: where the lengths do not fit. What is behind the packet's length is padding (RFC 2865 §3).
    package init(parsing octets: [UInt8]) throws(ParseError) {
        var reader = ByteReader(octets)
        code = Code(rawValue: try reader.readUInt8())
        identifier = try reader.readUInt8()
        let length = Int(try reader.readUInt16())
        guard length >= Self.headOctets, length <= min(octets.count, Self.maximumOctets) else {
            throw .invalid(
                offset: 2, rule: "a RADIUS packet has 20 to 4096 octets, and as many as it says (RFC 2865 §3)")
        }
        authenticator = Array(try reader.read(Self.authenticatorOctets))
        attributes = []
        var body = ByteReader(octets[Self.headOctets..<length])
        while !body.isAtEnd {
            let type = try body.readUInt8()
            let count = Int(try body.readUInt8())
            guard count >= 2 else {
                throw .invalid(offset: body.offset - 1, rule: "a RADIUS attribute has two octets or more (RFC 2865 §5)")
            }
            attributes.append(RADIUSAttribute(RADIUSAttribute.Kind(rawValue: type), Array(try body.read(count - 2))))
        }
    }

    package var octets: [UInt8] {
        let body = attributes.flatMap { [$0.kind.rawValue, UInt8(truncatingIfNeeded: $0.value.count + 2)] + $0.value }
        let length = Self.headOctets + body.count
        return [code.rawValue, identifier, UInt8(truncatingIfNeeded: length >> 8), UInt8(truncatingIfNeeded: length)]
            + authenticator + body
    }

    package func first(_ kind: RADIUSAttribute.Kind) -> [UInt8]? { attributes.first { $0.kind == kind }?.value }

    package func all(_ kind: RADIUSAttribute.Kind) -> [[UInt8]] {
        attributes.filter { $0.kind == kind }.map(\.value)
    }

    // MARK: Authenticators

    /// HMAC-MD5 over the packet with zeros for itself, and `authenticator` for the packet's own (RFC 3579 §3.2, RFC 5176 §3.4).
    private func messageAuthenticator(
        _ secret: Secret, authenticator: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        var copy = self
        copy.authenticator = authenticator
        for index in copy.attributes.indices where copy.attributes[index].kind == .messageAuthenticator {
            copy.attributes[index].value = [UInt8](repeating: 0, count: 16)
        }
        return try PseudorandomFunction.compute(.hmacMD5, key: secret, [.open(copy.octets)])
    }

    /// MD5(packet with `authenticator` for its own | secret): the Response Authenticator, and that of accounting's and dynamic
    /// authorization's requests over zeros (RFC 2865 §3, RFC 2866 §3, RFC 5176 §2.3).
    private func digest(_ secret: Secret, authenticator: [UInt8]) throws(CryptographyError) -> [UInt8] {
        var copy = self
        copy.authenticator = authenticator
        return try Digest.compute(.md5, [.open(copy.octets), .secret(secret)])
    }

    private static let zeros = [UInt8](repeating: 0, count: authenticatorOctets)

    /// An Access-Request with its Message-Authenticator, which stands first, so that no attribute of a foreign answer can take its
    /// place.
    package func signedAccess(_ secret: Secret) throws(CryptographyError) -> RADIUSPacket {
        var packet = self
        packet.attributes.removeAll { $0.kind == .messageAuthenticator }
        packet.attributes.insert(RADIUSAttribute(.messageAuthenticator, Self.zeros), at: 0)
        packet.attributes[0].value = try packet.messageAuthenticator(secret, authenticator: authenticator)
        return packet
    }

    /// A request whose authenticator is a digest of itself.
    package func signedRequest(_ secret: Secret) throws(CryptographyError) -> RADIUSPacket {
        var packet = self
        packet.authenticator = try digest(secret, authenticator: Self.zeros)
        return packet
    }

    /// An answer to a request, with a Message-Authenticator.
    package func signedResponse(_ secret: Secret, to request: RADIUSPacket) throws(CryptographyError) -> RADIUSPacket {
        var packet = self
        packet.attributes.insert(RADIUSAttribute(.messageAuthenticator, Self.zeros), at: 0)
        packet.attributes[0].value = try packet.messageAuthenticator(secret, authenticator: request.authenticator)
        packet.authenticator = try packet.digest(secret, authenticator: request.authenticator)
        return packet
    }

    /// Whether the answer is one to a request with this authenticator, by who has the secret. Both values are compared in constant
    /// time.
    ///
    /// - Parameter needsMessageAuthenticator: without one, it does not hold.
    package func isResponse(
        to requestAuthenticator: [UInt8], _ secret: Secret, needsMessageAuthenticator: Bool
    ) -> Bool {
        guard let expected = try? digest(secret, authenticator: requestAuthenticator),
            ConstantTime.equal(expected, authenticator)
        else { return false }
        return holdsMessageAuthenticator(secret, requestAuthenticator, isNeeded: needsMessageAuthenticator)
    }

    /// Whether a request's digest, and its Message-Authenticator if there is one, hold (RFC 5176 §2.3, §3.4).
    package func isRequest(_ secret: Secret) -> Bool {
        guard let expected = try? digest(secret, authenticator: Self.zeros),
            ConstantTime.equal(expected, authenticator)
        else { return false }
        return holdsMessageAuthenticator(secret, Self.zeros, isNeeded: false)
    }

    private func holdsMessageAuthenticator(_ secret: Secret, _ authenticator: [UInt8], isNeeded: Bool) -> Bool {
        let said = all(.messageAuthenticator)
        if said.isEmpty { return !isNeeded }
        guard said.count == 1,
            let expected = try? messageAuthenticator(secret, authenticator: authenticator)
        else { return false }
        return ConstantTime.equal(expected, said[0])
    }
}

/// One attribute: type and up to 253 octets (RFC 2865 §5).
package struct RADIUSAttribute: Hashable, Sendable {
    package struct Kind: Hashable, Sendable, RawRepresentable {
        package var rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        package static let userName = Kind(rawValue: 1)
        package static let userPassword = Kind(rawValue: 2)
        package static let nasIPAddress = Kind(rawValue: 4)
        package static let nasPort = Kind(rawValue: 5)
        package static let serviceType = Kind(rawValue: 6)
        package static let framedProtocol = Kind(rawValue: 7)
        package static let framedIPAddress = Kind(rawValue: 8)
        package static let filterID = Kind(rawValue: 11)
        package static let replyMessage = Kind(rawValue: 18)
        package static let state = Kind(rawValue: 24)
        package static let classText = Kind(rawValue: 25)
        package static let vendorSpecific = Kind(rawValue: 26)
        package static let sessionTimeout = Kind(rawValue: 27)
        package static let calledStationID = Kind(rawValue: 30)
        package static let callingStationID = Kind(rawValue: 31)
        package static let nasIdentifier = Kind(rawValue: 32)
        package static let accountingStatus = Kind(rawValue: 40)
        package static let accountingDelay = Kind(rawValue: 41)
        package static let inputOctets = Kind(rawValue: 42)
        package static let outputOctets = Kind(rawValue: 43)
        package static let accountingSessionID = Kind(rawValue: 44)
        package static let accountingAuthentic = Kind(rawValue: 45)
        package static let sessionTime = Kind(rawValue: 46)
        package static let inputPackets = Kind(rawValue: 47)
        package static let outputPackets = Kind(rawValue: 48)
        package static let terminateCause = Kind(rawValue: 49)
        package static let inputGigawords = Kind(rawValue: 52)
        package static let outputGigawords = Kind(rawValue: 53)
        package static let eventTimestamp = Kind(rawValue: 55)
        package static let nasPortType = Kind(rawValue: 61)
        /// RFC 2868 §3.1.
        package static let tunnelType = Kind(rawValue: 64)
        package static let eapMessage = Kind(rawValue: 79)
        package static let messageAuthenticator = Kind(rawValue: 80)
        package static let interimInterval = Kind(rawValue: 85)
        package static let nasIPv6Address = Kind(rawValue: 95)
        package static let errorCause = Kind(rawValue: 101)
        package static let framedIPv6Address = Kind(rawValue: 168)
    }

    package static let maximumOctets = 253

    package var kind: Kind
    package var value: [UInt8]

    package init(_ kind: Kind, _ value: [UInt8]) {
        self.kind = kind
        self.value = Array(value.prefix(Self.maximumOctets))
    }

    package init(_ kind: Kind, _ number: UInt32) {
        self.kind = kind
        value = []
        value.append(bigEndian: number)
    }

    package init(_ kind: Kind, _ text: String) { self.init(kind, Array(text.utf8)) }

    /// Octets of any length in as many attributes as they need (RFC 3579 §3.1).
    package static func split(_ kind: Kind, _ octets: [UInt8]) -> [RADIUSAttribute] {
        stride(from: 0, to: octets.count, by: maximumOctets).map {
            RADIUSAttribute(kind, Array(octets[$0..<min($0 + maximumOctets, octets.count)]))
        }
    }

    /// A number of four octets.
    package static func number(_ octets: [UInt8]?) -> UInt32? {
        guard let octets, octets.count == 4 else { return nil }
        return octets.reduce(0) { $0 << 8 | UInt32($1) }
    }
}
