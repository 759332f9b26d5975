package import IPsec
package import Primitives

/// Finds a path from an end entity's certificate to a trusted authority, and holds it to the rules of RFC 5280 §6 and
/// RFC 4945. A value: the time is handed in, and what is not there is not fetched.
package struct PathBuilder: Sendable {
    /// Authorities that are trusted, each issued by itself.
    package var anchors: [Certificate]
    /// Certificates of other authorities that may stand in between.
    package var intermediates: [Certificate]
    /// End entities' certificates that are trusted as they are.
    package var trustedEntities: [Certificate]
    package var revocation: RevocationStore
    package var policy: CertificatePolicy

    /// Certificates in a path.
    package static let maximumLength = 8
    /// Certificates that a peer may bring along.
    package static let maximumPresented = 16
    /// A peer's certificates can be made to fit one another in many ways: what is spent on one end entity's is bounded.
    private static let maximumPaths = 24

    package init(
        anchors: [Certificate] = [], intermediates: [Certificate] = [], trustedEntities: [Certificate] = [],
        revocation: RevocationStore = RevocationStore(), policy: CertificatePolicy = CertificatePolicy()
    ) {
        self.anchors = anchors
        self.intermediates = intermediates
        self.trustedEntities = trustedEntities
        self.revocation = revocation
        self.policy = policy
    }

    /// The path for `entity`, or the report on the path that came closest.
    ///
    /// - Parameters:
    ///   - presented: certificates that came along, which nobody vouches for.
    ///   - identity: whom the certificate must name; `nil`: anybody.
    ///   - authorities: where not empty, one of these must be in the path.
    package func path(
        for entity: Certificate, presented: [Certificate] = [], identity: Identity?, authorities: [Certificate] = [],
        now: WallTime
    ) -> Result<ValidatedPath, ChainReport> {
        var search = Search(
            pool: anchors + intermediates + presented.prefix(PathBuilder.maximumPresented), anchors: Set(anchors))
        if trustedEntities.contains(entity), !anchors.contains(entity) {
            search.paths.append((path: [entity], isTrusted: true))
        }
        search.extend([entity], limit: PathBuilder.maximumPaths)
        var best: (report: ChainReport, problems: Int)?
        var revocation = revocation
        revocation.allowsWeakHashes = policy.allowsWeakHashes
        for (found, isTrusted) in search.paths {
            let path = InheritedParameters.completed(found)
            let judge = PathJudge(
                path: path, isTrusted: isTrusted, policy: policy, revocation: revocation, authorities: authorities,
                pool: search.pool, identity: identity, now: now)
            let report = judge.report()
            if report.isGood {
                return .success(ValidatedPath(path, report, listSigners: path.indices.map(judge.listSigners)))
            }
            let problems = report.problems.count
            if problems < best?.problems ?? .max { best = (report, problems) }
        }
        return .failure(best?.report ?? ChainReport(wanted: identity, present: entity.names, links: []))
    }

    /// The depth-first search for paths by name.
    private struct Search {
        let pool: [Certificate]
        let anchors: Set<Certificate>
        var paths: [(path: [Certificate], isTrusted: Bool)] = []
        /// Steps of the search, found or not.
        private var steps = 0
        private static let maximumSteps = 512

        init(pool: [Certificate], anchors: Set<Certificate>) {
            self.pool = pool
            self.anchors = anchors
        }

        /// Adds the paths that begin with `path`: complete ones, or where it leads no further what there is of it.
        mutating func extend(_ path: [Certificate], limit: Int) {
            guard paths.count < limit, steps < Search.maximumSteps, let last = path.last else { return }
            steps += 1
            if anchors.contains(last) {
                paths.append((path, true))
                return
            }
            let candidates = pool.filter { $0.subject.isSame(as: last.issuer) && !path.contains($0) }
            guard !candidates.isEmpty, path.count < PathBuilder.maximumLength else {
                paths.append((path, false))
                return
            }
            // The key that is named first, then what is trusted, then as they came.
            let rated = candidates.enumerated().map { index, candidate in
                (candidate, (last.names(issuer: candidate) ? 0 : 2) + (anchors.contains(candidate) ? 0 : 1), index)
            }
            var seen: Set<Certificate> = []
            for (candidate, _, _) in rated.sorted(by: { ($0.1, $0.2) < ($1.1, $1.2) })
            where seen.insert(candidate).inserted {
                extend(path + [candidate], limit: limit)
            }
        }
    }
}

extension Certificate {
    /// Whether it says, or does not rule out, that `issuer` has the key that signed it (RFC 5280 §4.2.1.1).
    fileprivate func names(issuer: Certificate) -> Bool {
        guard let wanted = extensions.authorityKeyIdentifier, let found = issuer.extensions.subjectKeyIdentifier else {
            return true
        }
        return wanted == found
    }
}
