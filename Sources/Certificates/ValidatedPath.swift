package import IPsec
package import Primitives

/// A path that passed every check; only ``PathBuilder`` makes one.
package struct ValidatedPath: Hashable, Sendable {
    /// The end entity first, the trusted authority last.
    package let certificates: [Certificate]
    package let report: ChainReport

    /// Who may sign lists about each of them besides its issuer.
    private let listSigners: [[ListSigner]]

    init(_ certificates: [Certificate], _ report: ChainReport, listSigners: [[ListSigner]]) {
        self.certificates = certificates
        self.report = report
        self.listSigners = listSigners
    }

    /// When the first of its certificates expires.
    package var expiry: WallTime { certificates.map(\.notAfter).min() ?? WallTime(seconds: 0) }

    /// What else may be asked about the revocation of its certificates, and of those of others who sign lists about them.
    package func inquiries(
        _ store: RevocationStore, asked: Set<RevocationInquiry>, now: WallTime
    ) -> [RevocationInquiry] {
        zip(zip(certificates, certificates.dropFirst()), listSigners).flatMap { pair, signers in
            let (certificate, issuer) = pair
            let own = store.inquiries(
                about: certificate, issuer: issuer, signers: signers.map(\.certificate), asked: asked, now: now)
            return signers.reduce(into: own) { all, signer in
                guard let issuer = signer.issuer else { return }
                all += store.inquiries(
                    about: signer.certificate, issuer: issuer, signers: signer.signers, asked: asked, now: now)
            }
        }
    }
}
