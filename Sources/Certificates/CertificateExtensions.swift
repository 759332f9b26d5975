package import IPsec
internal import SwiftASN1
internal import X509

/// The extensions of a certificate (RFC 5280 §4.2), those that are understood as values, the rest by name.
package struct CertificateExtensions: Hashable, Sendable {
    package struct BasicConstraints: Hashable, Sendable {
        package var isAuthority: Bool
        /// How many certificates of CAs may stand between this one and the end entity's.
        package var pathLength: Int?
    }

    /// RFC 5280 §4.2.1.3, by bit.
    package struct KeyUsage: OptionSet, Hashable, Sendable {
        package var rawValue: UInt16
        package init(rawValue: UInt16) { self.rawValue = rawValue }

        package static let digitalSignature = KeyUsage(rawValue: 1 << 0)
        package static let nonRepudiation = KeyUsage(rawValue: 1 << 1)
        package static let keyEncipherment = KeyUsage(rawValue: 1 << 2)
        package static let dataEncipherment = KeyUsage(rawValue: 1 << 3)
        package static let keyAgreement = KeyUsage(rawValue: 1 << 4)
        package static let certificateSigning = KeyUsage(rawValue: 1 << 5)
        package static let revocationListSigning = KeyUsage(rawValue: 1 << 6)
        package static let encipherOnly = KeyUsage(rawValue: 1 << 7)
        package static let decipherOnly = KeyUsage(rawValue: 1 << 8)
    }

    package typealias Purpose = CertificatePurpose

    package var basicConstraints: BasicConstraints?
    package var keyUsage: KeyUsage?
    package var purposes: [Purpose]?
    package var subjectAlternativeNames: [SubjectName] = []
    package var permittedSubtrees: [NameSubtree] = []
    package var excludedSubtrees: [NameSubtree] = []
    package var subjectKeyIdentifier: [UInt8]?
    package var authorityKeyIdentifier: [UInt8]?
    /// Where revocation lists are (RFC 5280 §4.2.1.13), and changes to them (§4.2.1.15).
    package var distributionPoints: [DistributionPoint] = []
    package var freshestPoints: [DistributionPoint] = []
    /// Where OCSP answers, and where the issuer's certificate is (RFC 5280 §4.2.2.1): URIs.
    package var ocspLocations: [String] = []
    package var issuerLocations: [String] = []
    /// Whether the responder's certificate needs no check of its own (RFC 6960 §4.2.2.2.1).
    package var needsNoOCSPCheck = false
    /// The policies under which it was issued (RFC 5280 §4.2.1.4), as dotted numbers.
    package var policies: Set<String> = []
    /// What becomes of them along the path.
    package var policyRules = PolicyRules()
    /// Extensions that must be understood and are not, as dotted numbers.
    package var unknownCritical: [String] = []

    /// Limits of what one certificate may hold.
    private static let maximumExtensions = 64
    static let maximumNames = 1024

    package init() {}

    /// URIs of revocation lists, and of changes to them.
    package var revocationListLocations: [String] { DistributionPoint.locations(distributionPoints) }
    package var freshestListLocations: [String] { DistributionPoint.locations(freshestPoints) }

    /// - Parameter list: Extensions; `nil`: none.
    init(_ list: ASN1Node?) throws(CertificateDefect) {
        guard let list else { return }
        var elements = try Elements(list)
        var seen: Set<String> = []
        let nodes = try elements.rest(maximum: CertificateExtensions.maximumExtensions, "the list of extensions")
        if nodes.isEmpty { throw .malformed("the list of extensions is empty") }
        for node in nodes {
            let read = try Reading.attempt("an extension") { try X509.Certificate.Extension(derEncoded: node) }
            let identifier = try Reading.extensionIdentifier(node)
            guard seen.insert(identifier).inserted else { throw .malformed("the extension \(identifier) stands twice") }
            try take(read, identifier)
        }
    }

    private mutating func take(
        _ read: X509.Certificate.Extension, _ identifier: String
    ) throws(CertificateDefect) {
        switch identifier {
        case "2.5.29.19":
            let value = try Reading.attempt("basicConstraints") { try X509.BasicConstraints(read) }
            switch value {
            case .isCertificateAuthority(let length):
                guard length ?? 0 >= 0 else { throw .malformed("pathLenConstraint is negative") }
                basicConstraints = BasicConstraints(isAuthority: true, pathLength: length)
            case .notCertificateAuthority: basicConstraints = BasicConstraints(isAuthority: false)
            }
        case "2.5.29.15":
            keyUsage = CertificateExtensions.usage(
                try Reading.attempt("keyUsage") { try X509.KeyUsage(read) })
        case "2.5.29.37":
            purposes = try CertificateExtensions.purposes(Array(read.value))
        case "2.5.29.17":
            let value = try Reading.attempt("subjectAltName") { try X509.SubjectAlternativeNames(read) }
            guard value.count <= CertificateExtensions.maximumNames else { throw .malformed("too many names") }
            for name in value { subjectAlternativeNames.append(try SubjectName(name)) }
        case "2.5.29.30":
            let value = try Reading.attempt("nameConstraints") { try X509.NameConstraints(read) }
            guard value.permittedSubtrees.count + value.excludedSubtrees.count <= CertificateExtensions.maximumNames
            else { throw .malformed("too many name constraints") }
            for name in value.permittedSubtrees { permittedSubtrees.append(try NameSubtree(name)) }
            for name in value.excludedSubtrees { excludedSubtrees.append(try NameSubtree(name)) }
        case "2.5.29.14":
            let value = try Reading.attempt("subjectKeyIdentifier") { try X509.SubjectKeyIdentifier(read) }
            subjectKeyIdentifier = Array(value.keyIdentifier)
        case "2.5.29.35":
            let value = try Reading.attempt("authorityKeyIdentifier") { try X509.AuthorityKeyIdentifier(read) }
            authorityKeyIdentifier = value.keyIdentifier.map { Array($0) }
        case "1.3.6.1.5.5.7.1.1":
            let value = try Reading.attempt("authorityInfoAccess") { try X509.AuthorityInformationAccess(read) }
            for description in value.prefix(16) {
                guard case .uniformResourceIdentifier(let uri) = description.location else { continue }
                if description.method == .ocspServer { ocspLocations.append(uri) }
                if description.method == .issuingCA { issuerLocations.append(uri) }
            }
        case "2.5.29.31": distributionPoints = try DistributionPoint.read(Array(read.value))
        case "2.5.29.46": freshestPoints = try DistributionPoint.read(Array(read.value))
        case "1.3.6.1.5.5.7.48.1.5": needsNoOCSPCheck = true
        case "2.5.29.32": policies = try CertificateExtensions.policies(read)
        case "2.5.29.33": try policyRules.map(Array(read.value))
        case "2.5.29.36": try policyRules.constrain(Array(read.value))
        case "2.5.29.54": try policyRules.inhibitAny(Array(read.value))
        // issuerAltName and subjectDirectoryAttributes say nothing about trust.
        case "2.5.29.18", "2.5.29.9": break
        default: if read.critical { unknownCritical.append(identifier) }
        }
    }

    private static let maximumPurposes = 64

    /// extKeyUsage: a SEQUENCE OF KeyPurposeId, one at least.
    private static func purposes(_ value: [UInt8]) throws(CertificateDefect) -> [Purpose] {
        let what = "extKeyUsage"
        var list = try Elements(try Reading.root(value, maximum: Certificate.maximumOctets, what))
        var purposes: [Purpose] = []
        for node in try list.rest(maximum: maximumPurposes, what) {
            purposes.append(Purpose(try Reading.dottedIdentifier(node, what)))
        }
        guard !purposes.isEmpty, Set(purposes).count == purposes.count else {
            throw .malformed("\(what) cannot be read")
        }
        return purposes
    }

    private static func usage(_ value: X509.KeyUsage) -> KeyUsage {
        var usage: KeyUsage = []
        if value.digitalSignature { usage.insert(.digitalSignature) }
        if value.nonRepudiation { usage.insert(.nonRepudiation) }
        if value.keyEncipherment { usage.insert(.keyEncipherment) }
        if value.dataEncipherment { usage.insert(.dataEncipherment) }
        if value.keyAgreement { usage.insert(.keyAgreement) }
        if value.keyCertSign { usage.insert(.certificateSigning) }
        if value.cRLSign { usage.insert(.revocationListSigning) }
        if value.encipherOnly { usage.insert(.encipherOnly) }
        if value.decipherOnly { usage.insert(.decipherOnly) }
        return usage
    }

    /// anyPolicy (RFC 5280 §4.2.1.4).
    package static let anyPolicy = "2.5.29.32.0"
    private static let maximumPolicies = 128

    /// certificatePolicies: a SEQUENCE OF { policyIdentifier, policyQualifiers OPTIONAL }, none of them twice.
    private static func policies(_ read: X509.Certificate.Extension) throws(CertificateDefect) -> Set<String> {
        let what = "a list of policies"
        var list = try Elements(try Reading.root(Array(read.value), maximum: Certificate.maximumOctets, what))
        var policies: Set<String> = []
        for node in try list.rest(maximum: maximumPolicies, what) {
            var information = try Elements(node)
            let identifier = try Reading.dottedIdentifier(try information.next("a policy"), "a policy's identifier")
            guard policies.insert(identifier).inserted else {
                throw .malformed("the policy \(identifier) stands twice")
            }
        }
        if policies.isEmpty { throw .malformed("\(what) is empty") }
        return policies
    }
}
