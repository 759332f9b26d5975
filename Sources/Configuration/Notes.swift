import Cryptography
import IPsec

extension Configuration {
    /// What is legal, and may still break: one line each. Nothing of it keeps the configuration from being loaded.
    package var notes: [String] {
        connections.flatMap { connection in
            connection.children.compactMap { connection.forwardSecrecyNote($0) }
        }
            + authorities.filter { $0.certificateURIBase != nil && !settings.usesCertificateLocations }.map {
                "authorities.\($0.name).cert_uri_base changes nothing without charon.hash_and_url = yes: certificates are sent "
                    + "whole"
            }
    }
}

extension Connection {
    /// IKEv2 negotiates a child's group only when the child is rekeyed, or made on an IKE SA that stands (RFC 7296 §1.2,
    /// §1.3.1): where the two ends differ in it, the tunnel comes up and breaks an hour later.
    fileprivate func forwardSecrecyNote(_ child: ChildPolicy) -> String? {
        guard version != .v1, child.rekeyTime > .zero else { return nil }
        let groups = child.proposals.flatMap(\.keyExchange).filter { $0 != .none }
        guard let first = groups.first else { return nil }
        let isOfferedAlone = child.proposals.allSatisfy { !$0.keyExchange.isEmpty && !$0.keyExchange.contains(.none) }
        guard isOfferedAlone else { return nil }
        return "connections.\(name).children.\(child.name).esp_proposals: perfect forward secrecy with "
            + "\(first.name.keyword) is negotiated at the first rekeying only, after \(child.rekeyTime.wholeSeconds)s; "
            + "where the peer has no such group, the tunnel breaks then: parley rehearse \(child.name) tries it at once"
    }
}
