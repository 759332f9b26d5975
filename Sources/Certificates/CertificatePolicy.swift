/// How strictly paths are judged.
package struct CertificatePolicy: Hashable, Sendable {
    /// What follows when nothing is known about a certificate's revocation: the values of `revocation`.
    package enum Revocation: String, CaseIterable, Hashable, Sendable {
        /// Nothing: only a certificate that is known to be revoked fails.
        case relaxed
        /// It fails if it says where to ask.
        case ifURI = "ifuri"
        /// It fails.
        case strict
    }

    package var revocation = Revocation.relaxed
    /// RFC 4945 §5.1.3.12 to the letter: an extended key usage must hold ipsecIKE or any. Else serverAuth, clientAuth and
    /// iKEIntermediate will do as well, as the certificates of most clients have one of these.
    package var wantsIKEPurpose = false
    /// RSA moduli; 112 bits of strength (NIST SP 800-57).
    package var minimumModulusBits = 2048
    /// SHA-1 and MD5 have collisions that were turned into false certificates.
    package var allowsWeakHashes = false

    package init() {}

    var purposes: Set<CertificateExtensions.Purpose> {
        wantsIKEPurpose
            ? [.any, .ipsecIKE]
            : [.any, .ipsecIKE, .ikeIntermediate, .serverAuthentication, .clientAuthentication]
    }
}
