/// A purpose of RFC 5280 §4.2.1.12 as dotted numbers.
package struct CertificatePurpose: Hashable, Sendable, CustomStringConvertible {
    package var identifier: String
    package init(_ identifier: String) { self.identifier = identifier }

    package static let any = CertificatePurpose("2.5.29.37.0")
    package static let serverAuthentication = CertificatePurpose("1.3.6.1.5.5.7.3.1")
    package static let clientAuthentication = CertificatePurpose("1.3.6.1.5.5.7.3.2")
    package static let codeSigning = CertificatePurpose("1.3.6.1.5.5.7.3.3")
    package static let emailProtection = CertificatePurpose("1.3.6.1.5.5.7.3.4")
    package static let ocspSigning = CertificatePurpose("1.3.6.1.5.5.7.3.9")
    /// id-kp-eapOverPPP and id-kp-eapOverLAN (RFC 4334 §2).
    package static let eapOverPPP = CertificatePurpose("1.3.6.1.5.5.7.3.13")
    package static let eapOverLAN = CertificatePurpose("1.3.6.1.5.5.7.3.14")
    /// id-kp-ipsecIKE (RFC 4945 §5.1.3.12).
    package static let ipsecIKE = CertificatePurpose("1.3.6.1.5.5.7.3.17")
    /// iKEIntermediate, which Windows and older Apple clients look for.
    package static let ikeIntermediate = CertificatePurpose("1.3.6.1.5.5.8.2.2")

    package var description: String {
        switch self {
        case .any: "any purpose"
        case .serverAuthentication: "serverAuth"
        case .clientAuthentication: "clientAuth"
        case .codeSigning: "codeSigning"
        case .emailProtection: "emailProtection"
        case .ocspSigning: "OCSPSigning"
        case .eapOverPPP: "eapOverPPP"
        case .eapOverLAN: "eapOverLAN"
        case .ipsecIKE: "ipsecIKE"
        case .ikeIntermediate: "iKEIntermediate"
        default: identifier
        }
    }
}

/// Why a certificate was revoked (RFC 5280 §5.3.1), by number.
package struct RevocationReason: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let unspecified = RevocationReason(rawValue: 0)
    package static let keyCompromise = RevocationReason(rawValue: 1)
    package static let authorityCompromise = RevocationReason(rawValue: 2)
    package static let affiliationChanged = RevocationReason(rawValue: 3)
    package static let superseded = RevocationReason(rawValue: 4)
    package static let cessationOfOperation = RevocationReason(rawValue: 5)
    package static let certificateHold = RevocationReason(rawValue: 6)
    /// In a delta alone: no longer revoked.
    package static let removeFromList = RevocationReason(rawValue: 8)
    package static let privilegeWithdrawn = RevocationReason(rawValue: 9)

    package var description: String {
        switch self {
        case .keyCompromise: "key compromise"
        case .authorityCompromise: "CA compromise"
        case .affiliationChanged: "affiliation changed"
        case .superseded: "superseded"
        case .cessationOfOperation: "cessation of operation"
        case .certificateHold: "certificate hold"
        case .removeFromList: "removed from the list"
        case .privilegeWithdrawn: "privilege withdrawn"
        default: "no reason given"
        }
    }
}

/// What follows when nothing is known about a certificate's revocation: the values of `revocation`.
package enum RevocationPolicy: String, CaseIterable, Hashable, Sendable {
    /// Nothing: only a certificate that is known to be revoked fails.
    case relaxed
    /// It fails if it says where to ask.
    case ifURI = "ifuri"
    /// It fails.
    case strict
}
