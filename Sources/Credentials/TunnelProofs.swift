import Certificates
import Cryptography
import IPsec
import Primitives
import TLS

// Certificates in TLS inside EAP: our own, and the judgement over the other end's (RFC 5216 §5.3).
extension CertificateStore {
    /// Our key with its certificate and those above it: of the files that the round names, else one that has our name.
    func tunnelCredential(
        _ round: AuthenticationRound, _ identity: Identity, keys: [PrivateKey]
    ) -> TLSConnection.Credential? {
        let named = round.certificates.certificateFiles
        let completed = round.certificates.certificates.compactMap { try? Certificate(parsing: $0) }
        let candidates =
            !completed.isEmpty
            ? completed
            : entities.filter { filed in
                named.isEmpty ? filed.certificate.names(identity) : named.contains { filed.isNamed($0) }
            }.map(\.certificate)
        for certificate in candidates {
            guard let key = keys.first(where: { $0.isKey(of: certificate) }) else { continue }
            // The root is the other end's own business.
            let sent = chain(of: certificate).enumerated().filter {
                $0.offset == 0 || !$0.element.isSelfIssued
            }
            return TLSConnection.Credential(key: key, certificates: sent.map(\.element.octets))
        }
        return nil
    }

    /// What a server's certificate may be for, and a client's.
    private static func purposes(isServers: Bool) -> Set<CertificatePurpose> {
        [.any, .eapOverPPP, .eapOverLAN, isServers ? .serverAuthentication : .clientAuthentication]
    }

    /// - Parameters:
    ///   - identity: whom the certificate must name; `nil`: anybody.
    ///   - isServers: whether the other end is TLS's server.
    func judge(
        tunnel octets: [[UInt8]], _ constraints: CertificateConstraints, _ identity: Identity?,
        isServers: Bool,
        now: WallTime
    ) -> Result<ValidatedPath, ChainReport> {
        let unreadable = ChainReport(wanted: identity, present: [], links: [])
        guard let first = octets.first, let entity = try? Certificate(parsing: first) else {
            return .failure(unreadable)
        }
        let named = entities.filter { filed in
            constraints.certificateFiles.contains { filed.isNamed($0) }
        }
        .map(\.certificate)
        let required = authorities.filter { filed in
            constraints.authorityFiles.contains { filed.isNamed($0) }
        }
        .map(\.certificate)
        // What a connection names and nobody has is no permission for all the others.
        guard constraints.certificateFiles.isEmpty || named.contains(entity),
            constraints.authorityFiles.isEmpty || !required.isEmpty
        else {
            let link = ChainReport.Link(
                subject: entity.subject, issuer: entity.issuer, serialNumber: entity.serialNumber,
                findings: [ChainReport.Finding(check: .trust, outcome: .failed(.authorityNotNamed))])
            return .failure(ChainReport(wanted: identity, present: entity.names, links: [link]))
        }
        var policy = CertificatePolicy()
        policy.revocation = constraints.revocation
        policy.wantedPurposes = Self.purposes(isServers: isServers)
        let builder = PathBuilder(
            anchors: anchors, intermediates: authorities.map(\.certificate).filter { !$0.isSelfIssued },
            trustedEntities: entities.map(\.certificate), revocation: RevocationStore(lists: lists),
            policy: policy)
        return builder.path(
            for: entity, presented: octets.dropFirst().compactMap { try? Certificate(parsing: $0) },
            identity: identity, authorities: required, now: now)
    }
}
