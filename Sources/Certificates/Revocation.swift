package import IPsec
package import Primitives

/// What is known about revocation: lists and responses, from wherever they came. Each is checked before it is believed.
package struct RevocationStore: Hashable, Sendable {
    package var lists: [RevocationList]
    package var responses: [OCSPResponse]
    /// Where to ask about an authority's certificates besides where these say, by the ``Certificate/keyHash`` of its own.
    package var locations: [[UInt8]: RevocationLocations]
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
    private static let skew = Duration.seconds(300)
    /// How long a response holds that does not say so itself.
    private static let undatedResponse = Duration.seconds(86_400)

    /// What is known of a certificate. A revocation counts even where it stands in a list that is out of date.
    ///
    /// - Parameters:
    ///   - issuer: the certificate that the path has for the issuer, already found good as such.
    ///   - others: certificates of other keys of the issuer's, which may sign lists as well.
    package func status(
        of certificate: Certificate, issuer: Certificate, others: [Certificate] = [], now: WallTime
    ) -> Status {
        let byResponse = responseStatus(of: certificate, issuer, now)
        if case .unknown(let gap) = byResponse {
            let byList = listStatus(of: certificate, issuer, others, now)
            if case .unknown(.noInformation) = byList { return .unknown(gap) }
            return byList
        }
        // The newest word counts, but a list that has it revoked is not overruled by a response that has not.
        if byResponse == .good, case .revoked(let date, let reason) = listStatus(of: certificate, issuer, others, now) {
            return .revoked(date, reason)
        }
        return byResponse
    }

    // MARK: Lists (RFC 5280 §6.3)

    /// What the issuer's lists say, each key's for themselves: an authority that was given another key may keep a list for each,
    /// and a newer one by one key does not take back what stands in one by the other.
    private func listStatus(
        of certificate: Certificate, _ issuer: Certificate, _ others: [Certificate], _ now: WallTime
    ) -> Status {
        var found = listStatus(of: certificate, issuer, signedBy: issuer, now)
        for signer in others {
            switch (found, listStatus(of: certificate, issuer, signedBy: signer, now)) {
            case (.revoked, _): return found
            case (_, let status) where status.isRevoked: return status
            case (.unknown, .good): found = .good
            case (.unknown, .unknown(.stale(let next))): found = .unknown(.stale(nextUpdate: next))
            default: break
            }
        }
        return found
    }

    private func listStatus(
        of certificate: Certificate, _ issuer: Certificate, signedBy signer: Certificate, _ now: WallTime
    ) -> Status {
        let (usable, gap) = usable(for: certificate, issuer, signedBy: signer)
        guard let base = RevocationStore.base(usable, now) else { return .unknown(gap) }
        let delta = RevocationStore.delta(usable, base, now)
        if let entry = delta?.entries[certificate.serialNumber] {
            if entry.reason != .removeFromList { return .revoked(entry.date, entry.reason) }
        } else if let entry = base.entries[certificate.serialNumber] {
            return .revoked(entry.date, entry.reason)
        }
        let newest = delta ?? base
        // A fresh delta completes a base only to its own time; a base that is still fresh needs no delta.
        if let next = newest.nextUpdate, next >= now { return .good }
        if let next = base.nextUpdate, next >= now { return .good }
        return .unknown(.stale(nextUpdate: newest.nextUpdate))
    }

    /// The lists by one key that may speak of a certificate, and what is wrong with another.
    private func usable(
        for certificate: Certificate, _ issuer: Certificate, signedBy signer: Certificate
    ) -> (lists: [RevocationList], gap: RevocationGap) {
        var gap = RevocationGap.noInformation
        var usable: [RevocationList] = []
        for list in lists where list.issuer.isSame(as: issuer.subject) && list.isAbout(certificate) {
            if let problem = RevocationStore.gap(list, signer) { gap = problem } else { usable.append(list) }
        }
        return (usable, gap)
    }

    private static func base(_ usable: [RevocationList], _ now: WallTime) -> RevocationList? {
        usable.filter { !$0.isDelta && $0.thisUpdate <= now + skew }.max(by: isOlder)
    }

    private static func delta(_ usable: [RevocationList], _ base: RevocationList, _ now: WallTime) -> RevocationList? {
        usable.filter { fits($0, base) && $0.thisUpdate <= now + skew }.max(by: isOlder)
    }

    /// The list that a certificate's status rests on, where its changes are not here or out of date; `nil`: there is nothing to
    /// complete.
    func listWithoutChanges(for certificate: Certificate, _ issuer: Certificate, _ now: WallTime) -> RevocationList? {
        if case .unknown = responseStatus(of: certificate, issuer, now) {} else { return nil }
        let lists = usable(for: certificate, issuer, signedBy: issuer).lists
        guard let base = RevocationStore.base(lists, now) else { return nil }
        let delta = RevocationStore.delta(lists, base, now)
        return delta?.nextUpdate.map { $0 >= now } ?? false ? nil : base
    }

    private static func isOlder(_ left: RevocationList, _ right: RevocationList) -> Bool {
        if let one = left.number, let other = right.number, one != other { return RevocationList.isBefore(one, other) }
        return left.thisUpdate < right.thisUpdate
    }

    /// Whether a delta may be laid over a base (RFC 5280 §6.3.3 (c)).
    private static func fits(_ delta: RevocationList, _ base: RevocationList) -> Bool {
        guard let changed = delta.baseNumber, let number = base.number, let deltaNumber = delta.number else {
            return false
        }
        return !RevocationList.isBefore(number, changed) && RevocationList.isBefore(number, deltaNumber)
            && delta.authorityKeyIdentifier == base.authorityKeyIdentifier
    }

    /// Why a list cannot be believed; `nil`: it can.
    private static func gap(_ list: RevocationList, _ issuer: Certificate) -> RevocationGap? {
        if !list.unknownCritical.isEmpty { return .unknownCriticalExtensions(list.unknownCritical) }
        if let usage = issuer.extensions.keyUsage, !usage.contains(.revocationListSigning) { return .issuerMayNotSign }
        return list.isSigned(by: issuer) ? nil : .badSignature
    }

    // MARK: Responses (RFC 6960 §3.2)

    private func responseStatus(of certificate: Certificate, _ issuer: Certificate, _ now: WallTime) -> Status {
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
                if let problem = self.gap(response, issuer, now) {
                    gap = problem
                } else if single.thisUpdate > best?.single.thisUpdate ?? WallTime(seconds: .min) {
                    best = (response, single)
                }
            }
        }
        return (best, gap)
    }

    private func gap(_ response: OCSPResponse, _ issuer: Certificate, _ now: WallTime) -> RevocationGap? {
        if !response.unknownCritical.isEmpty { return .unknownCriticalExtensions(response.unknownCritical) }
        let signers = [issuer] + response.certificates.filter { isResponder($0, of: response, issuer, now) }
        let named = signers.filter { $0.isResponder(response.responder) }
        if named.isEmpty { return .issuerMayNotSign }
        return named.contains(where: response.isSigned) ? nil : .badSignature
    }

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
