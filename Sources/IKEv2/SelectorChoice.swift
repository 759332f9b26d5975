import IPsec
import ISAKMP
import Primitives

/// What narrowing leaves open (RFC 7296 §2.9): selectors that another child could carry, and peers that take one pair of
/// addresses at a time.
extension IKESession {
    /// As responder: whether another child's policy takes what this choice leaves of the offer
    /// (ADDITIONAL_TS_POSSIBLE).
    func hasOtherChild(
        than chosen: ChildPolicy, for offeredLocal: [TrafficSelector], _ offeredRemote: [TrafficSelector],
        _ localSelectors: [TrafficSelector], _ remoteSelectors: [TrafficSelector]
    ) -> Bool {
        guard localSelectors != offeredLocal || remoteSelectors != offeredRemote else { return false }
        return (connection?.children ?? []).contains { policy in
            guard policy.name != chosen.name, policy.action == nil else { return false }
            let local = TrafficSelector.narrow(offeredLocal, to: self.localSelectors(of: policy))
            let remote = TrafficSelector.narrow(offeredRemote, to: self.remoteSelectors(of: policy))
            guard !local.isEmpty, !remote.isEmpty else { return false }
            return !localSelectors.covers(local) || !remoteSelectors.covers(remote)
        }
    }

    /// As responder: a host that does not know yet which address it is given should offer all of them (RFC 7296 §2.19). OpenIKED
    /// offers the unspecified one alone, which stands for nobody: beside an address that we give in this exchange it is read as any.
    func widened(
        _ offered: [TrafficSelector], _ content: MessageContent, _ material: ChildMaterial
    ) -> [TrafficSelector] {
        guard material.isFirst, content.configuration?.kind == .request else { return offered }
        return offered.map { selector in
            guard selector.first == selector.last, selector.first.isUnspecified,
                virtual.assigned.contains(where: { $0.family == selector.family })
            else { return selector }
            var selector = selector
            selector.last = .last(selector.family)
            return selector
        }
    }

    /// As initiator: the peer took a part, and says that it would take more as another child. What it left out whole is
    /// offered again; each offer is shorter than the one before, so that this ends.
    mutating func offerRest(of agreed: AgreedChild, _ attempt: ChildAttempt, _ content: MessageContent) {
        guard attempt.replaces == nil, content.notification(.additionalSelectorsPossible) != nil else { return }
        func rest(_ offered: [TrafficSelector], _ taken: [TrafficSelector]) -> [TrafficSelector] {
            offered.filter { selector in !taken.contains { selector.contains($0) || $0.contains(selector) } }
        }
        let local = rest(attempt.offeredLocal, agreed.localSelectors)
        let remote = rest(attempt.offeredRemote, agreed.remoteSelectors)
        guard !local.isEmpty || !remote.isEmpty else { return }
        plan(
            .createSelected(
                attempt.policy, local: local.isEmpty ? attempt.offeredLocal : local,
                remote: remote.isEmpty ? attempt.offeredRemote : remote))
    }

    /// As initiator: the peer takes one pair of addresses only (SINGLE_PAIR_REQUIRED): ours and its own where the offer
    /// holds them, else the first ones. `false` where the offer was such a pair already.
    mutating func offerSinglePair(_ attempt: ChildAttempt) -> Bool {
        guard attempt.replaces == nil else { return false }
        func single(_ offered: [TrafficSelector], _ preferred: IPAddress) -> [TrafficSelector] {
            guard var selector = offered.first else { return [] }
            let holds =
                selector.first.family == preferred.family
                && selector.first <= preferred && preferred <= selector.last
            let address = holds ? preferred : selector.first
            if let narrowed = TrafficSelector(
                first: address, last: address, ipProtocol: selector.ipProtocol, firstPort: selector.firstPort,
                lastPort: selector.lastPort)
            {
                selector = narrowed
            }
            return [selector]
        }
        let local = single(attempt.offeredLocal, self.local.address)
        let remote = single(attempt.offeredRemote, self.remote.address)
        guard local != attempt.offeredLocal || remote != attempt.offeredRemote else { return false }
        plan(.createSelected(attempt.policy, local: local, remote: remote), first: true)
        return true
    }
}
