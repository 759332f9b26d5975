import IPsec
import IPsecDOI
import ISAKMP
import Primitives

/// The addresses before translation, which the two ends tell each other for transport mode behind a NAT (RFC 3947 §5.2).
struct OriginalAddresses: Hashable, Sendable {
    /// NAT-OAi and NAT-OAr.
    var initiator: IPAddress
    var responder: IPAddress
}

extension IKEv1Session {
    /// NAT-OAi, NAT-OAr: the initiator's and the responder's address as this end has them.
    func originalAddresses(_ policy: ChildPolicy) -> [Payload] {
        guard policy.mode == .transport, nat.isEncapsulating, let type = nat.dialect?.originalAddress else { return [] }
        let ends = isInitiator ? [local.address, remote.address] : [remote.address, local.address]
        return ends.map { address in
            let kind = Identity(address).kind.rawValue
            return Payload(type, body: [kind, 0, 0, 0] + address.octets)
        }
    }

    /// The peer's two addresses; `nil` where it names none.
    func originalAddresses(in payloads: [Payload]) throws(Fault) -> OriginalAddresses? {
        let bodies = payloads.filter { $0.type == nat.dialect?.originalAddress }.map(\.body)
        guard bodies.count >= 2 else { return nil }
        let addresses = bodies.prefix(2).map { body in body.count > 4 ? IPAddress(octets: body[4...]) : nil }
        guard let initiator = addresses[0], let responder = addresses[1] else {
            throw .dropped("NAT-OA is an IPv4 or IPv6 address (RFC 3947 §5.2)")
        }
        return OriginalAddresses(initiator: initiator, responder: responder)
    }

    /// The payloads with the initiator's address instead of its name: Windows XP, behind a NAT, says in transport mode who it
    /// is and not where, and NAT-OA alone knows the address.
    func addressing(_ payloads: [Payload], by originals: OriginalAddresses?, isTunnel: Bool) -> [Payload] {
        guard let originals, nat.isEncapsulating, !isTunnel,
            let index = payloads.firstIndex(where: { $0.type == .identification }), payloads[index].body.count > 4,
            payloads[index].body[0] == Identity.Kind.fqdn.rawValue
        else { return payloads }
        var addressed = payloads
        let kind = Identity(originals.initiator).kind.rawValue
        addressed[index].body = [kind] + payloads[index].body[1..<4] + originals.initiator.octets
        return addressed
    }

    /// A side that the peer names by the address that it has, or believes us to have, is the one that a NAT made of it:
    /// transport mode carries the outer header's. Everything else is what it says.
    func translated(
        _ selector: TrafficSelector?, isLocal: Bool, _ originals: OriginalAddresses?
    ) -> TrafficSelector? {
        guard let selector, let originals, nat.isEncapsulating, selector.first == selector.last else { return selector }
        let isInitiatorsSide = isLocal == isInitiator
        let original = isInitiatorsSide ? originals.initiator : originals.responder
        let address = isLocal ? local.address : remote.address
        guard selector.first == original, original != address, original.family == address.family else {
            return selector
        }
        return TrafficSelector(
            first: address, last: address, ipProtocol: selector.ipProtocol, firstPort: selector.firstPort,
            lastPort: selector.lastPort)
    }
}

extension SecurityAssociationPayload {
    /// Whether something that is offered is a tunnel.
    var namesTunnel: Bool {
        proposals.contains { $0.transforms.contains { PhaseTwoProposal.encapsulation($0)?.mode == .tunnel } }
    }
}
