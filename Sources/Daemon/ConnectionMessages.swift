import Certificates
import Control
import IPsec

/// A connection as vici's `list-conn` event shows it.
enum ConnectionMessages {
    static func message(_ connection: Connection) -> ViciMessage {
        var body = ViciMessage()
        body.add("local_addrs", list: connection.localAddresses)
        body.add("remote_addrs", list: connection.remoteAddresses)
        body.add("local_port", connection.localPort)
        body.add("remote_port", connection.remotePort)
        body.add("version", connection.version == .any ? "IKEv1/2" : connection.version == .v1 ? "IKEv1" : "IKEv2")
        body.add("reauth_time", connection.reauthenticationTime.wholeSeconds)
        body.add("rekey_time", connection.rekeyTime.wholeSeconds)
        body.add("unique", "UNIQUE_\(connection.unique.rawValue.uppercased())")
        if connection.deadPeerDelay > .zero { body.add("dpd_delay", connection.deadPeerDelay.wholeSeconds) }
        if connection.deadPeerTimeout > .zero { body.add("dpd_timeout", connection.deadPeerTimeout.wholeSeconds) }
        for (index, round) in connection.local.enumerated() {
            body.add("local-\(index + 1)", section: end(round, identity: round.exactIdentity?.description))
        }
        for (index, round) in connection.remote.enumerated() {
            let identity = round.identity == .any ? nil : "\(round.identity)"
            body.add("remote-\(index + 1)", section: end(round, identity: identity))
        }
        var children = ViciMessage()
        for child in connection.children { children.add(child.name, section: message(child)) }
        body.add("children", section: children)
        var message = ViciMessage()
        message.add(connection.name, section: body)
        return message
    }

    /// One authentication round; charon has the four lists in every one, whether or not there is anything in them.
    private static func end(_ round: AuthenticationRound, identity: String?) -> ViciMessage {
        var section = ViciMessage()
        section.add("id", optional: identity)
        switch round.method {
        case .null: section.add("class", "anonymous")
        case .preSharedKey: section.add("class", "pre-shared key")
        case .extendedAuthentication:
            section.add("class", "XAuth")
            section.add("xauth_id", optional: identity)
            return section
        case .extensible(let method):
            section.add("class", "EAP")
            if method != .any {
                section.add("eap-type", method.rawValue.uppercased().replacing("-", with: "_"))
            }
            section.add("eap_id", optional: round.userIdentity.map { $0 == .any ? "%any" : $0.description })
            section.add("aaa_id", optional: round.serverIdentity.map(\.description))
        case .publicKey: section.add("class", "public key")
        case .publicKeyEncryption, .revisedPublicKeyEncryption: section.add("class", "public key encryption")
        }
        section.add("ca_id", optional: round.certificates.authorityIdentity?.description)
        section.add("groups", list: round.groups)
        section.add("cert_policy", list: round.certificates.policies)
        section.add("certs", list: subjects(round.certificates.certificates))
        section.add("cacerts", list: subjects(round.certificates.authorities))
        return section
    }

    private static func subjects(_ certificates: [[UInt8]]) -> [IPsec.DistinguishedName] {
        certificates.compactMap { try? Certificate(parsing: $0).subject }
    }

    private static func message(_ child: ChildPolicy) -> ViciMessage {
        var section = ViciMessage()
        section.add("mode", child.mode.listed(sharesPayloads: child.aggregation != nil))
        section.add("rekey_time", child.rekeyTime.wholeSeconds)
        section.add("rekey_bytes", 0)
        section.add("rekey_packets", 0)
        section.add("dpd_action", child.deadPeerAction.rawValue)
        section.add("close_action", child.closeAction.rawValue)
        section.add("local-ts", list: child.localSelectors)
        section.add("remote-ts", list: child.remoteSelectors)
        return section
    }
}
