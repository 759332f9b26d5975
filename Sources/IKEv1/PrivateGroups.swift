import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley

extension PrivateGroup {
    /// As an SA payload describes it.
    var description: GroupDescription {
        switch form {
        case .modp(let parameters, _): .modp(parameters)
        case .curve(let parameters, _): .curve(parameters)
        }
    }

    /// As key determination computes in it.
    var checked: CheckedGroup {
        switch form {
        case .modp(let parameters, let group): CheckedGroup(parameters, vetted: group)
        case .curve(let parameters, let curve): CheckedGroup(parameters, vetted: curve)
        }
    }

    /// A group that a peer described and that has been checked; `nil` for Curve25519 and Curve448.
    init?(_ number: KeyExchangeID, _ checked: CheckedGroup) {
        switch checked.description {
        case .modp(let parameters):
            guard let group = checked.primeGroup else { return nil }
            self.init(number, vetted: .modp(parameters, group))
        case .curve(let parameters):
            guard let curve = checked.curve else { return nil }
            self.init(number, vetted: .curve(parameters, curve))
        }
    }
}

/// Phase 1 in private groups: by number where the two ends have agreed on it before, else in full (RFC 2409 §5.6).
extension IKEv1Session {
    /// The private groups that a connection may use with a peer: its own, and those of an earlier New Group Mode. What is
    /// configured decides where both name a number.
    static func registry(_ connection: Connection?, _ agreed: [PrivateGroup]) -> GroupRegistry {
        var registry = GroupRegistry()
        for group in (connection?.privateGroups ?? []) + agreed { try? registry.add(group.number, group.checked) }
        return registry
    }

    /// The offer of phase 1. A group that the peer need not know is described in full, in place of its number.
    static func offer(
        _ proposals: [Proposal], _ connection: Connection, agreed: [PrivateGroup], methods: [PhaseOneMethod]
    ) -> SecurityAssociationPayload {
        var offer = PhaseOneProposal.payload(proposals, lifeSeconds: lifeSeconds(connection), methods: methods)
        offer.situation = IPsecDOI.octets(connection.situation)
        for (index, proposal) in offer.proposals.enumerated() {
            offer.proposals[index].transforms = proposal.transforms.compactMap { transform in
                guard let number = PhaseOneProposal.group(transform), number.isPrivate else { return transform }
                guard let group = connection.privateGroups.first(where: { $0.number == number }) else { return nil }
                if agreed.contains(group) { return transform }
                return PhaseOneProposal.replacingGroup(of: transform, by: group.description.dataAttributes)
            }
        }
        return offer
    }

    /// What a transform of phase 1 offers; `nil` where it is unknown. A group in full is one of the numbered ones, or one
    /// that the registry holds: nobody has proved anything yet, so no other is looked into.
    static func phaseOneProposal(_ transform: TransformPayload, _ registry: GroupRegistry) -> Proposal? {
        if let number = PhaseOneProposal.group(transform) {
            guard !number.isPrivate || registry[number] != nil else { return nil }
            return PhaseOneProposal.proposal(transform)
        }
        guard let description = try? GroupDescription.read(transform) else { return nil }
        let number =
            description.number ?? registry.numbers.first { registry[$0]?.description == description }
        return number.flatMap {
            PhaseOneProposal.proposal(
                PhaseOneProposal.replacingGroup(of: transform, by: [PhaseOneProposal.groupAttribute($0)]))
        }
    }
}
