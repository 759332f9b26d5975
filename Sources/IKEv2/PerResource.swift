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
        replacing old: Child?
    ) throws(Fault) -> (number: Int, requestID: UInt32?)? {
        guard policy.usesResources, content.notification(.resourceInformation) != nil else { return nil }
        if let old { return old.resource.map { ($0, old.requestID) } }
        let group = group(policy.name, local, remote)
        guard group.count < IKESession.maximumQueues else { throw .tooManyQueues }
        return (freeNumber(group), group.first?.requestID)
    }

    // MARK: Initiator

    /// Asks for the next child beside those of its kind, until each processor has one.
    mutating func planSibling(of child: ChildID?, _ context: inout Context) {
        guard let child = child.flatMap({ self.child($0) }), child.resource != nil else { return }
        let wanted = min(context.settings.packetWorkers, IKESession.maximumQueues)
        guard group(child.policy, child.localSelectors, child.remoteSelectors).count < wanted else { return }
        plan(.createSibling(child.id))
    }

    /// Begins the exchange for a child beside another.
    mutating func startSibling(of id: ChildID, _ context: inout Context) throws(Fault) {
        guard let sibling = child(id), sibling.resource != nil, sibling.state != .lingering else { return }
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
