import IPsec

// What EAP needs besides: the other end's own proof (RFC 7296 §2.16), or a method that proves both (RFC 5998).
extension ConfigurationChecker {
    func checkUsers(of connection: Connection, _ reader: SectionReader) {
        let local = connection.ownRounds.compactMap(\.method.userMethod)
        let remote = connection.peerRounds.compactMap(\.method.userMethod)
        guard let method = local.first ?? remote.first else { return }
        let complaint: (method: UserMethod, text: String)? =
            if connection.version != .v2 {
                (method, "needs version = 2")
            } else if local.contains(.radius) {
                (.radius, "is for a remote round: the gateway asks an authentication server")
            } else if let own = local.first, let peers = remote.first {
                both(own, peers, connection).map { (own, $0) }
            } else if remote.contains(.any) {
                (.any, "is for a local round: a gateway says which method it wants")
            } else if connection.postquantumKey != nil || connection.requiresPostquantumKey,
                let first = connection.localUserMethod ?? connection.remoteUserMethod
            {
                // A user's proof is not tied to a post-quantum key here, so that a required one would be left out in silence.
                (first, "does not go together with 'ppk_id' and 'ppk_required'")
            } else {
                nil
            }
        guard let complaint else { return }
        log.report(
            "'auth = \(complaint.method.rawValue)' in \(reader.path) \(complaint.text)",
            at: reader.section.name.position)
    }

    /// What is wrong with EAP at both ends, where it proves the gateway too and nothing else does.
    private func both(_ own: UserMethod, _ peers: UserMethod, _ connection: Connection) -> String? {
        let methods = [own, peers].filter { $0 != .any && $0 != .radius }
        guard connection.localUserMethod != nil, connection.remoteUserMethod != nil,
            connection.peerRounds.count(where: { $0.method.userMethod != nil }) == 1
        else {
            return "is at both ends: there it proves the gateway too, in the first round of both and in none behind it"
        }
        guard methods.allSatisfy(\.isMutual) else {
            return
                "is at both ends: nothing but EAP proves the gateway then, and that only eap-tls, eap-ttls and eap-peap do "
                + "(RFC 5998)"
        }
        guard Set(methods).count < 2 else { return "is at both ends, with another method at the other" }
        if connection.postquantumKey != nil || connection.requiresPostquantumKey {
            return "does not go together with 'ppk_id' and 'ppk_required'"
        }
        return nil
    }
}
