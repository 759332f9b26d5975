import Cryptography
package import IPsec
package import Primitives

/// What is known about revocation: lists and responses, from wherever they came. Each is checked before it is believed.
package struct RevocationStore: Hashable, Sendable {
    package var lists: [RevocationList]
    package var responses: [OCSPResponse]
    /// Where to ask about an authority's certificates besides where these say, by the ``Certificate/keyHash`` of its own.
    package var locations: [[UInt8]: RevocationLocations]
    /// Whether lists and responses over MD5 or SHA-1 may say that a certificate is good (``CertificatePolicy/allowsWeakHashes``).
    var allowsWeakHashes = false
    /// Certificates that were fetched because a peer said where they are, by the hash that it said.
    package var located: [[UInt8]: [Certificate]] = [:]

    package init(
        lists: [RevocationList] = [], responses: [OCSPResponse] = [], locations: [[UInt8]: RevocationLocations] = [:]
    ) {
        self.lists = lists
        self.responses = responses
        self.locations = locations
    }

    /// This store with what another one has.
    package func adding(_ other: RevocationStore) -> RevocationStore {
        var all = self
        all.lists += other.lists
        all.responses += other.responses
        all.locations.merge(other.locations) { ours, _ in ours }
        all.located.merge(other.located) { ours, _ in ours }
        return all
    }

    package enum Status: Hashable, Sendable {
        case good
        case revoked(WallTime, RevocationList.Reason)
        case unknown(RevocationGap)

        var isRevoked: Bool { if case .revoked = self { true } else { false } }
    }

    /// How far another machine's clock may be ahead of ours, in seconds.
    static let skew = Duration.seconds(300)
    /// How long a response holds that does not say so itself.
    private static let undatedResponse = Duration.seconds(86_400)

    /// What is known of a certificate. A revocation counts even where it stands in a list that is out of date.
    ///
    /// - Parameters:
    ///   - issuer: the certificate that the path has for the issuer, already found good as such.
    ///   - signers: certificates of others who may sign lists as well: of other keys of the issuer's, and of those whom the
    ///     certificate names (RFC 5280 §4.2.1.13, cRLIssuer), found good as such.
    package func status(
        of certificate: Certificate, issuer: Certificate, signers: [Certificate] = [], now: WallTime
    ) -> Status {
        let byResponse = responseStatus(of: certificate, issuer, now)
        if case .unknown(let gap) = byResponse {
            let byList = listStatus(of: certificate, issuer, signers, now)
            if case .unknown(.noInformation) = byList { return .unknown(gap) }
            return byList
        }
        // The newest word counts, but a list that has it revoked is not overruled by a response that has not.
        if byResponse == .good, case .revoked(let date, let reason) = listStatus(of: certificate, issuer, signers, now)
        {
            return .revoked(date, reason)
        }
        return byResponse
    }

    // MARK: Responses (RFC 6960 §3.2)

    func responseStatus(of certificate: Certificate, _ issuer: Certificate, _ now: WallTime) -> Status {
        let (found, gap) = best(for: certificate, issuer, now)
        guard let best = found?.single else { return .unknown(gap) }
        if case .revoked(let date, let reason) = best.status { return .revoked(date, reason) }
        guard RevocationStore.isCurrent(best, now) else { return .unknown(.stale(nextUpdate: best.nextUpdate)) }
        return best.status == .good ? .good : .unknown(.responderDoesNotKnow)
    }

    /// The newest response that says something of a certificate and holds now.
    package func currentResponse(for certificate: Certificate, issuer: Certificate, now: WallTime) -> OCSPResponse? {
        let found = best(for: certificate, issuer, now).found
        return found.flatMap { RevocationStore.isCurrent($0.single, now) ? $0.response : nil }
    }

    private static func isCurrent(_ single: OCSPResponse.Single, _ now: WallTime) -> Bool {
        single.thisUpdate <= now + skew && single.nextUpdate ?? single.thisUpdate + undatedResponse >= now
    }

    /// The newest word of somebody who may say it, and what is wrong with another.
    private func best(
        for certificate: Certificate, _ issuer: Certificate, _ now: WallTime
    ) -> (found: (response: OCSPResponse, single: OCSPResponse.Single)?, gap: RevocationGap) {
        var gap = RevocationGap.noInformation
        var best: (response: OCSPResponse, single: OCSPResponse.Single)?
        for response in responses {
            for single in response.singles where single.certificate.serialNumber == certificate.serialNumber {
                guard let id = OCSPCertificateID(certificate, issuer: issuer, hash: single.certificate.hash),
                    id == single.certificate
                else { continue }
                if let problem = self.gap(response, single, issuer, now) {
                    gap = problem
                } else if single.thisUpdate > best?.single.thisUpdate ?? WallTime(seconds: .min) {
                    best = (response, single)
                }
            }
        }
        return (best, gap)
    }

    /// Why a response's word cannot be believed; `nil`: it can.
    private func gap(
        _ response: OCSPResponse, _ single: OCSPResponse.Single, _ issuer: Certificate, _ now: WallTime
    ) -> RevocationGap? {
        if !response.unknownCritical.isEmpty { return .unknownCriticalExtensions(response.unknownCritical) }
        let signers = [issuer] + response.certificates.filter { isResponder($0, of: response, issuer, now) }
        let named = signers.filter { $0.isResponder(response.responder) }
        if named.isEmpty { return .issuerMayNotSign }
        guard let signer = named.first(where: response.isSigned) else { return .badSignature }
        // A revocation counts: who could forge it would only lock somebody out.
        if case .revoked = single.status { return nil }
        let delegated = signer == issuer ? nil : signer.signatureAlgorithm
        return [response.signatureAlgorithm, delegated].compactMap { $0 }.first(where: refuses).map {
            .weakAlgorithm($0)
        }
    }

    /// Whether a signature over a weak hash says nothing.
    func refuses(_ algorithm: SignatureAlgorithm) -> Bool { !allowsWeakHashes && algorithm.isWeak }

    /// Whether the issuer itself lets this certificate answer for it (RFC 6960 §4.2.2.2).
    private func isResponder(
        _ certificate: Certificate, of response: OCSPResponse, _ issuer: Certificate, _ now: WallTime
    ) -> Bool {
        guard certificate.issuer.isSame(as: issuer.subject),
            certificate.extensions.purposes?.contains(.ocspSigning) == true,
            certificate.extensions.keyUsage?.contains(.digitalSignature) != false,
            certificate.extensions.unknownCritical.isEmpty, certificate.notBefore <= now, now <= certificate.notAfter,
            response.holds(certificate, signedBy: issuer)
        else { return false }
        if case .revoked = listStatus(of: certificate, issuer, [], now) { return false }
        return true
    }
}

extension Certificate {
    fileprivate func isResponder(_ responder: OCSPResponse.Responder) -> Bool {
        switch responder {
        case .name(let name): subject.isSame(as: name)
        case .keyHash(let hash): OCSPCertificateID(self, issuer: self)?.issuerKeyHash == hash
        }
    }
}
