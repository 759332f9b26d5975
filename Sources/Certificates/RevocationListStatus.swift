import IPsec
import Primitives

// What lists say of a certificate (RFC 5280 §6.3).
extension RevocationStore {
    /// What the lists say that are about the certificate: its issuer's, and those of the issuers that its points name. Each key's
    /// and each scope's are looked at for themselves: an authority that was given another key may keep a list for each, and a newer
    /// one by one key does not take back what stands in one by the other. A certificate is good where lists that hold speak of
    /// every reason (§6.3.3, reasons_mask), and revoked where any has it.
    func listStatus(
        of certificate: Certificate, _ issuer: Certificate, _ signers: [Certificate], _ now: WallTime
    ) -> Status {
        var known: RevocationReasons = []
        var gap = RevocationGap.noInformation
        for signer in [issuer] + signers {
            let usable = usable(for: certificate, signedBy: signer)
            if case .noInformation = gap { gap = usable.gap }
            for group in usable.groups {
                switch status(of: certificate, group, now) {
                case .revoked(let date, let reason): return .revoked(date, reason)
                case .good: known.formUnion(group.reasons)
                case .unknown(.noInformation): break
                case .unknown(let problem): gap = problem
                }
            }
        }
        if known.isSuperset(of: .all) { return .good }
        if case .noInformation = gap, !known.isEmpty { gap = .someReasons }
        return .unknown(gap)
    }

    /// Lists by one key and of one scope, bases and deltas, and the reasons for which they speak of a certificate.
    private struct Group {
        var scope: RevocationListScope
        var reasons: RevocationReasons
        var lists: [RevocationList] = []

        func base(_ now: WallTime) -> RevocationList? {
            lists.filter { !$0.isDelta && $0.thisUpdate <= now + skew }.max(by: isOlder)
        }

        func delta(_ base: RevocationList, _ now: WallTime) -> RevocationList? {
            lists.filter { fits($0, base) && $0.thisUpdate <= now + skew }.max(by: isOlder)
        }
    }

    /// What lists of one scope say. Those over a weak hash may revoke, and no more: who could forge one would only lock somebody
    /// out.
    private func status(of certificate: Certificate, _ group: Group, _ now: WallTime) -> Status {
        let all = RevocationStore.status(of: certificate, group, now)
        let weak = group.lists.compactMap(\.signatureAlgorithm).first(where: refuses)
        guard let weak, !all.isRevoked else { return all }
        var sound = group
        sound.lists.removeAll { $0.signatureAlgorithm.map(refuses) ?? false }
        let status = RevocationStore.status(of: certificate, sound, now)
        if case .unknown(.noInformation) = status { return .unknown(.weakAlgorithm(weak)) }
        return status
    }

    private static func status(of certificate: Certificate, _ group: Group, _ now: WallTime) -> Status {
        guard let base = group.base(now) else { return .unknown(.noInformation) }
        let delta = group.delta(base, now)
        if let entry = delta?.entry(for: certificate) {
            if entry.reason != .removeFromList { return .revoked(entry.date, entry.reason) }
        } else if let entry = base.entry(for: certificate) {
            return .revoked(entry.date, entry.reason)
        }
        let newest = delta ?? base
        // A fresh delta completes a base only to its own time; a base that is still fresh needs no delta.
        if let next = newest.nextUpdate, next >= now { return .good }
        if let next = base.nextUpdate, next >= now { return .good }
        return .unknown(.stale(nextUpdate: newest.nextUpdate))
    }

    /// The lists by one key that may speak of a certificate, in the order of their scopes, and what is wrong with another.
    private func usable(
        for certificate: Certificate, signedBy signer: Certificate
    ) -> (groups: [Group], gap: RevocationGap) {
        var gap = RevocationGap.noInformation
        var groups: [Group] = []
        let points = certificate.extensions.distributionPoints + [.unnamed(certificate.issuer)]
        for list in lists where list.issuer.isSame(as: signer.subject) {
            if let index = groups.firstIndex(where: { $0.scope == list.scope }) {
                if let problem = RevocationStore.gap(list, signer) {
                    gap = problem
                } else {
                    groups[index].lists.append(list)
                }
                continue
            }
            let reasons = points.compactMap { list.scope.reasons(for: certificate, at: $0, issuer: list.issuer) }
            if reasons.isEmpty { continue }
            if let problem = RevocationStore.gap(list, signer) {
                gap = problem
            } else {
                let all = reasons.reduce(into: RevocationReasons()) { $0.formUnion($1) }
                groups.append(Group(scope: list.scope, reasons: all, lists: [list]))
            }
        }
        return (groups, gap)
    }

    /// The list that a certificate's status rests on, where its changes are not here or out of date; `nil`: there is nothing to
    /// complete.
    func listWithoutChanges(for certificate: Certificate, _ issuer: Certificate, _ now: WallTime) -> RevocationList? {
        if case .unknown = responseStatus(of: certificate, issuer, now) {} else { return nil }
        for group in usable(for: certificate, signedBy: issuer).groups {
            guard let base = group.base(now) else { continue }
            let next = group.delta(base, now)?.nextUpdate
            if next.map({ $0 < now }) ?? true { return base }
        }
        return nil
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
    private static func gap(_ list: RevocationList, _ signer: Certificate) -> RevocationGap? {
        if !list.unknownCritical.isEmpty { return .unknownCriticalExtensions(list.unknownCritical) }
        if let usage = signer.extensions.keyUsage, !usage.contains(.revocationListSigning) { return .issuerMayNotSign }
        return list.isSigned(by: signer) ? nil : .badSignature
    }
}
