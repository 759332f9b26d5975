package import IPsec
package import KeyManagement

/// The latest decision records, within bounds: made of what key management reports.
package struct DecisionBook: Sendable {
    /// Oldest first.
    package private(set) var records: [DecisionRecord] = []
    private static let maximum = 200

    package init() {}

    /// Writes a refusal down; `nil` where the event is none, or says the same again.
    ///
    /// - Parameters:
    ///   - secrets: the owners of all secrets, to find the one that was nearly meant.
    ///   - secretName: the section of the secret for two identities, ours first.
    package mutating func record(
        _ event: Event, policies: PolicyDatabase, secrets: @autoclosure () -> [SecretOwners],
        secretName: (Identity, Identity) -> String?
    ) -> DecisionRecord? {
        guard let snapshot = event.snapshot, let refusal = DecisionBook.refusal(of: event) else { return nil }
        var scene = DecisionRecord.Scene(
            session: event.session, connection: event.connection, child: event.child, local: snapshot.local,
            remote: snapshot.remote, version: snapshot.version, isInitiator: snapshot.isInitiator,
            isEstablished: snapshot.established != nil)
        let own = snapshot.localIdentity ?? Identity(snapshot.local.address)
        scene.secret =
            secretName(own, DecisionBook.peer(refusal, snapshot, policies.connection(event.connection)))
            ?? secretName(Identity(snapshot.local.address), Identity(snapshot.remote.address))
        // The same refusal comes once for the request and once for the session that ends with it.
        if let last = records.last, last.scene.session == event.session, last.refusal == refusal { return nil }
        let record = DecisionRecord(refusal, at: event.time, scene: scene, policies: policies, secrets: secrets())
        if records.count >= DecisionBook.maximum { records.removeFirst() }
        records.append(record)
        return record
    }

    private static func refusal(of event: Event) -> Refusal? {
        switch event.kind {
        case .session(.refused(_, let refusal)), .closed(.refused(let refusal)): refusal
        case .closed(.peerUnresponsive): .timeout
        case .session, .closed, .dropped, .noticed: nil
        }
    }

    /// Whom the peer says, or is expected, to be.
    private static func peer(_ refusal: Refusal, _ snapshot: SessionSnapshot, _ connection: Connection?) -> Identity {
        switch refusal {
        case .authentication(let peer), .method(let peer, _, _), .identity(_, let peer), .noCredential(_, let peer):
            return peer
        default: break
        }
        if let identity = snapshot.remoteIdentity { return identity }
        if let identity = connection?.remoteIdentity.identity { return identity }
        return Identity(snapshot.remote.address)
    }
}
