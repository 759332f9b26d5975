package import IPsec
package import Primitives

/// A path that passed every check; only ``PathBuilder`` makes one.
package struct ValidatedPath: Hashable, Sendable {
    /// The end entity first, the trusted authority last.
    package let certificates: [Certificate]
    package let report: ChainReport

    init(_ certificates: [Certificate], _ report: ChainReport) {
        self.certificates = certificates
        self.report = report
    }

    /// When the first of its certificates expires.
    package var expiry: WallTime { certificates.map(\.notAfter).min() ?? WallTime(seconds: 0) }

    /// What else may be asked about the revocation of its certificates.
    package func inquiries(
        _ store: RevocationStore, asked: Set<RevocationInquiry>, now: WallTime
    ) -> [RevocationInquiry] {
        zip(certificates, certificates.dropFirst()).flatMap { certificate, issuer in
            store.inquiries(about: certificate, issuer: issuer, asked: asked, now: now)
        }
    }
}
