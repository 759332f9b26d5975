import IPsec
import ISAKMP

/// Several children with the same selectors, one for each processor (RFC 9611). The first of them is the fallback, number 0,
/// which serves whoever has none; the others have a number each, which counts at one end alone. All share a request ID, so
/// that the data plane knows them as one policy's.
///
/// Nothing but this is negotiated: N(SA_RESOURCE_INFO) in the exchange of each, and N(TS_MAX_QUEUE) from an end that wants no
/// more.
extension IKESession {
    /// More children than this with the same selectors are refused, whatever the peer asks for.
    static let maximumQueues = 32

    private func mostQueues(_ context: Context) -> Int { min(context.settings.mostQueues, IKESession.maximumQueues) }

    /// The children of a policy that carry these selectors together, without those that another has replaced.
    private func group(
        _ policy: String, _ local: [TrafficSelector], _ remote: [TrafficSelector]
    ) -> [Child] {
        children.filter {
            $0.policy == policy && $0.resource != nil && !$0.isReplaced && $0.state != .lingering
                && $0.localSelectors == local && $0.remoteSelectors == remote
        }
    }

    private func freeNumber(_ group: [Child]) -> Int {
        let taken = Set(group.compactMap(\.resource))
        return (0...taken.count).first { !taken.contains($0) } ?? taken.count
    }

    // MARK: Responder

    /// The number and the request ID of a child that the peer wants beside others, or as the first of its kind; `nil` where
    /// one of the ends has no use for several.
    func placeAmongResources(
        _ content: MessageContent, _ policy: ChildPolicy, _ local: [TrafficSelector], _ remote: [TrafficSelector],
        replacing old: Child?, _ context: Context
    ) throws(Fault) -> (number: Int, requestID: UInt32?)? {
        guard policy.usesResources, content.notification(.resourceInformation) != nil else { return nil }
        if let old { return old.resource.map { ($0, old.requestID) } }
        let group = group(policy.name, local, remote)
        let most = mostQueues(context)
        guard group.count + asked(policy.name) < most else { throw .tooManyQueues(most) }
        return (freeNumber(group), group.first?.requestID)
    }

    /// What we have asked for ourselves counts, since the peer has perhaps answered already.
    private func asked(_ policy: String) -> Int {
        current?.pending.count { $0.exchange.isNewChild(of: policy) } ?? 0
    }

    /// The end of an exchange with several rounds: others may have come up meanwhile, or be on their way.
    func checkResources(of proposed: ProposedChild, _ context: Context) throws(Fault) {
        guard proposed.resource != nil else { return }
        let most = mostQueues(context)
        let group = group(proposed.policy.name, proposed.localSelectors, proposed.remoteSelectors)
        guard group.count + asked(proposed.policy.name) < most else { throw .tooManyQueues(most) }
    }

    // MARK: Both

    /// Gives a child that comes up now the place that it has: another may have taken the one that was meant for it while its
    /// exchange was under way, or may have come up as the first of their kind.
    func place(_ agreed: inout AgreedChild) {
        guard let planned = agreed.resource, agreed.replaces.flatMap({ child($0) }) == nil else { return }
        let group = group(agreed.policy.name, agreed.localSelectors, agreed.remoteSelectors)
        if group.contains(where: { $0.resource == planned }) { agreed.resource = freeNumber(group) }
        agreed.requestID = group.first?.requestID ?? agreed.requestID
    }

    // MARK: Initiator

    /// Our own limit, before we ask for another: the peer may have set some up while our request waited for its turn, and
    /// others of ours may be on their way.
    func checkResources(
        of policy: ChildPolicy, _ selectors: (local: [TrafficSelector], remote: [TrafficSelector])?, _ context: Context
    ) throws(Fault) {
        guard policy.usesResources else { return }
        let (local, remote) = selectors ?? (localSelectors(of: policy), remoteSelectors(of: policy))
        let most = mostQueues(context)
        guard group(policy.name, local, remote).count + asked(policy.name) < most else { throw .tooManyQueues(most) }
    }

    /// Asks for the next child beside those of its kind, until each processor has one.
    mutating func planSibling(of child: ChildID?, _ context: inout Context) {
        guard let child = child.flatMap({ self.child($0) }), wantsSibling(child, context) else { return }
        plan(.createSibling(child.id))
    }

    private func wantsSibling(_ child: Child, _ context: Context) -> Bool {
        child.resource != nil
            && group(child.policy, child.localSelectors, child.remoteSelectors).count + asked(child.policy)
                < min(context.settings.packetWorkers, mostQueues(context))
    }

    /// Begins the exchange for a child beside another.
    mutating func startSibling(of id: ChildID, _ context: inout Context) throws(Fault) {
        guard let sibling = child(id), sibling.state != .lingering, wantsSibling(sibling, context) else { return }
        try startChild(
            sibling.policy, replacing: nil, selecting: (sibling.localSelectors, sibling.remoteSelectors),
            beside: sibling, &context)
    }

    /// The number of a child that nobody asked for beside another.
    func nextNumber(_ agreed: AgreedChild) -> Int {
        freeNumber(group(agreed.policy.name, agreed.localSelectors, agreed.remoteSelectors))
    }

    func numberBeside(_ sibling: Child) -> Int {
        freeNumber(group(sibling.policy, sibling.localSelectors, sibling.remoteSelectors))
    }

    /// The peer refuses another child: those that there are do.
    mutating func concludeSiblingRefusal(
        _ error: NotifyPayload, beside sibling: ChildID, _ context: inout Context
    ) {
        switch error.type {
        case .temporaryFailure, .stateNotFound: postpone(.createSibling(sibling), &context)
        default: context.note("the peer takes no further child with the same selectors: \(error.type.name)")
        }
    }
}

extension ChildPolicy {
    /// What an offer, or the answer to one, says of a child with this number; `nil` before one is known.
    func resourcePayloads(_ number: Int?) -> [Payload] {
        guard usesResources else { return [] }
        // RFC 9611 §5.1: the identifier is optional, and means something to its sender alone.
        let identifier = UInt32(number ?? 0)
        let data = identifier == 0 ? [] : [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: identifier >> $0) }
        return [NotifyPayload(.resourceInformation, data: data).payload]
    }
}
