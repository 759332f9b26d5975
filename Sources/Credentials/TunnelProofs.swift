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

    /// What was found of a certificate in TLS, and what could change it.
    struct TunnelJudgement {
        var result: Result<ValidatedPath, ChainReport>
        /// The path, also where nothing is wrong but that nobody's word about revocation is known.
        var path: ValidatedPath?
        /// Empty: the result stands.
        var inquiries: [RevocationInquiry] = []

        init(_ result: Result<ValidatedPath, ChainReport>) {
            self.result = result
            path = try? result.get()
        }
    }

    /// - Parameters:
    ///   - identity: whom the certificate must name; `nil`: anybody.
    ///   - isServers: whether the other end is TLS's server.
    func judge(
        tunnel octets: [[UInt8]], _ constraints: CertificateConstraints, _ identity: Identity?,
        isServers: Bool, _ circumstances: Circumstances
    ) -> TunnelJudgement {
        let unreadable = ChainReport(wanted: identity, present: [], links: [])
        guard let first = octets.first, let entity = try? Certificate(parsing: first) else {
            return TunnelJudgement(.failure(unreadable))
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
            return TunnelJudgement(
                .failure(ChainReport(wanted: identity, present: entity.names, links: [link])))
        }
        var policy = CertificatePolicy()
        policy.revocation = constraints.revocation
        policy.keys = constraints.tunnel
        policy.authorityIdentity = constraints.authorityIdentity
        policy.certificatePolicies = constraints.policies
        policy.wantedPurposes = Self.purposes(isServers: isServers)
        let revocation = RevocationStore(lists: lists, locations: locations).adding(circumstances.fetched)
        var builder = PathBuilder(
            anchors: anchors, intermediates: authorities.map(\.certificate).filter { !$0.isSelfIssued },
            trustedEntities: entities.map(\.certificate), revocation: revocation,
            policy: policy)
        let presented = octets.dropFirst().compactMap { try? Certificate(parsing: $0) }
        func find() -> Result<ValidatedPath, ChainReport> {
            builder.path(
                for: entity, presented: presented, identity: identity, authorities: required,
                now: circumstances.now)
        }
        var judgement = TunnelJudgement(find())
        if judgement.path == nil, policy.revocation != .relaxed {
            // It may be that nothing is missing but somebody's word about revocation.
            builder.policy.revocation = .relaxed
            judgement.path = try? find().get()
        }
        judgement.inquiries =
            judgement.path?.inquiries(revocation, asked: circumstances.asked, now: circumstances.now) ?? []
        if judgement.inquiries.isEmpty { judgement.path = try? judgement.result.get() }
        return judgement
    }
}
