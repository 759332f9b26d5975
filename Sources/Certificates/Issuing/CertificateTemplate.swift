package import IPsec
package import Primitives

/// A certificate that is about to be signed (RFC 5280 §4.1).
package struct CertificateTemplate: Hashable, Sendable {
    /// 1 or 3.
    package var version = 3
    /// Unsigned; 1 to 20 octets (RFC 5280 §4.1.2.2).
    package var serialNumber: [UInt8]
    package var issuer: DistinguishedName
    package var subject: DistinguishedName
    package var notBefore: WallTime
    package var notAfter: WallTime
    /// DER.
    package var subjectPublicKeyInfo: [UInt8]
    package var extensions: [EncodedExtension]

    package init(
        serialNumber: [UInt8], issuer: DistinguishedName, subject: DistinguishedName, notBefore: WallTime,
        notAfter: WallTime, subjectPublicKeyInfo: [UInt8], extensions: [EncodedExtension] = []
    ) {
        self.serialNumber = serialNumber
        self.issuer = issuer
        self.subject = subject
        self.notBefore = notBefore
        self.notAfter = notAfter
        self.subjectPublicKeyInfo = subjectPublicKeyInfo
        self.extensions = extensions
    }

    /// Signs it.
    package func signed(by signer: Signer) throws(Signer.Failure) -> Certificate {
        let body = Encoding.sequence(
            version == 1 ? [] : Encoding.tagged(0, Encoding.integer(version - 1)), Encoding.integer(serialNumber),
            signer.algorithm.algorithmIdentifier, issuer.octets,
            Encoding.sequence(Encoding.time(notBefore), Encoding.time(notAfter)), subject.octets, subjectPublicKeyInfo,
            extensions.isEmpty ? [] : Encoding.tagged(3, extensions.octets))
        let octets = try signer.envelope(body)
        do throws(CertificateDefect) {
            return try Certificate(parsing: octets)
        } catch {
            throw .unreadable(error)
        }
    }
}

/// A revocation list that is about to be signed (RFC 5280 §5.1).
package struct RevocationListTemplate: Hashable, Sendable {
    package var issuer: DistinguishedName
    package var thisUpdate: WallTime
    package var nextUpdate: WallTime?
    /// By the content octets of the serial number.
    package var entries: [[UInt8]: RevocationList.Entry]
    package var number: Int
    /// The number of the list that this one changes; `nil`: a whole list.
    package var baseNumber: Int?
    package var authorityKeyIdentifier: [UInt8]?
    /// Others, behind those that follow from the above.
    package var extensions: [EncodedExtension] = []

    package init(
        issuer: DistinguishedName, thisUpdate: WallTime, nextUpdate: WallTime?,
        entries: [[UInt8]: RevocationList.Entry] = [:], number: Int, baseNumber: Int? = nil,
        authorityKeyIdentifier: [UInt8]? = nil
    ) {
        self.issuer = issuer
        self.thisUpdate = thisUpdate
        self.nextUpdate = nextUpdate
        self.entries = entries
        self.number = number
        self.baseNumber = baseNumber
        self.authorityKeyIdentifier = authorityKeyIdentifier
    }

    /// Signs it.
    package func signed(by signer: Signer) throws(Signer.Failure) -> RevocationList {
        let revoked = entries.sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { serial, entry in
            let reason = EncodedExtension("2.5.29.21", value: Encoding.element(0x0A, [entry.reason.rawValue]))
            return Encoding.sequence(
                Encoding.element(0x02, serial), Encoding.time(entry.date),
                entry.reason == .unspecified ? [] : [reason].octets)
        }
        var all: [EncodedExtension] = []
        if let authorityKeyIdentifier { all.append(.authorityKeyIdentifier(authorityKeyIdentifier)) }
        all.append(EncodedExtension("2.5.29.20", value: Encoding.integer(number)))
        if let baseNumber {
            all.append(EncodedExtension("2.5.29.27", isCritical: true, value: Encoding.integer(baseNumber)))
        }
        all += extensions
        let body = Encoding.sequence(
            Encoding.integer(1), signer.algorithm.algorithmIdentifier, issuer.octets, Encoding.time(thisUpdate),
            nextUpdate.map { Encoding.time($0) } ?? [], revoked.isEmpty ? [] : Encoding.sequence(of: revoked),
            Encoding.tagged(0, all.octets))
        let octets = try signer.envelope(body)
        do throws(CertificateDefect) {
            return try RevocationList(parsing: octets)
        } catch {
            throw .unreadable(error)
        }
    }
}
