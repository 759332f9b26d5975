/// An authority that a configuration names: one section `authorities.NAME`.
package struct CertificateAuthority: Hashable, Sendable {
    /// The section's name.
    package var name: String
    /// `cacert` or `file`: a file in `x509ca` or an absolute path; or the certificate itself, behind `0x` in hexadecimal.
    package var certificateFile: String
    /// `crl_uris`: where the authority's revocation lists are, best first.
    package var revocationListURIs: [String]
    /// `ocsp_uris`: where its OCSP responders are (RFC 6960), best first.
    package var responderURIs: [String]
    /// `cert_uri_base`: what comes before a certificate's hash in a URL of one (RFC 7296 §3.6).
    package var certificateURIBase: String?

    package init(
        name: String, certificateFile: String, revocationListURIs: [String] = [], responderURIs: [String] = [],
        certificateURIBase: String? = nil
    ) {
        self.name = name
        self.certificateFile = certificateFile
        self.revocationListURIs = revocationListURIs
        self.responderURIs = responderURIs
        self.certificateURIBase = certificateURIBase
    }
}
