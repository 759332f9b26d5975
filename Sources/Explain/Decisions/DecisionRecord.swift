package import IPsec
package import Primitives

/// A change of the configuration that would help: which key, on which side, to what.
package struct Remedy: Hashable, Sendable {
    package enum Side: String, Hashable, Sendable {
        case here
        case peer
        /// One of the two, whichever is wrong.
        case either
    }

    package var side: Side
    /// Dotted, as `swanctl.conf` has it; relative to the connection where the peer's names are not known.
    package var key: String
    package var current: String?
    package var wanted: String?

    package init(_ side: Side, _ key: String, current: String? = nil, wanted: String? = nil) {
        self.side = side
        self.key = key
        self.current = current
        self.wanted = wanted
    }

    /// One line.
    package var line: String {
        let place =
            switch side {
            case .here: "here"
            case .peer: "on the peer"
            case .either: "on one of the two sides"
            }
        var text = "\(place): \(key)"
        if let wanted { text += " = \(wanted)" }
        if let current { text += " (now \(current))" }
        return text
    }
}

/// Why something was not agreed: what was considered, what lost by which key, and what would help. A value; it holds no
/// secret.
package struct DecisionRecord: Hashable, Sendable {
    /// Where it happened.
    package struct Scene: Hashable, Sendable {
        package var session: SessionID?
        package var connection: String
        package var child: String?
        package var local: Endpoint
        package var remote: Endpoint
        /// 1 or 2.
        package var version: UInt8
        package var isInitiator: Bool
        /// Whether the IKE SA stood, so that a child alone was refused.
        package var isEstablished: Bool
        /// The secret that was used for the peer, by its section's name.
        package var secret: String?

        package init(
            session: SessionID?, connection: String, child: String? = nil, local: Endpoint, remote: Endpoint,
            version: UInt8, isInitiator: Bool, isEstablished: Bool = false, secret: String? = nil
        ) {
            self.session = session
            self.connection = connection
            self.child = child
            self.local = local
            self.remote = remote
            self.version = version
            self.isInitiator = isInitiator
            self.isEstablished = isEstablished
            self.secret = secret
        }
    }

    package var time: Instant
    package var scene: Scene
    package var refusal: Refusal
    /// One sentence.
    package var summary: String
    /// Tables and lists that show it.
    package var facts: [String]
    package var candidates: [Candidate]
    /// The likeliest first.
    package var remedies: [Remedy]

    package init(
        _ refusal: Refusal, at time: Instant, scene: Scene, policies: PolicyDatabase, secrets: [SecretOwners] = []
    ) {
        self.time = time
        self.scene = scene
        self.refusal = refusal
        summary = RefusalText.explain(refusal)
        let reasoning = Reasoning(refusal: refusal, scene: scene, policies: policies, secrets: secrets)
        facts = reasoning.facts
        candidates = reasoning.candidates
        remedies = reasoning.remedies
    }

    /// The record as a person reads it.
    package var lines: [String] {
        let name = scene.connection.isEmpty ? "(no connection)" : scene.connection
        let role = scene.isInitiator ? "we began" : "the peer began"
        var lines = [
            "\(name)\(scene.session.map { "[\($0)]" } ?? "")\(scene.child.map { " \($0)" } ?? ""): IKEv\(scene.version) between "
                + "\(scene.local) and \(scene.remote), \(role)",
            "refused: \(summary)",
        ]
        lines += facts.map { "  \($0)" }
        if !candidates.isEmpty { lines += ["connections considered:"] + candidates.map { "  \($0.line)" } }
        if !remedies.isEmpty { lines += ["what would help:"] + remedies.map { "  \($0.line)" } }
        return lines
    }
}

/// A secret by its section's name and the identities that own it.
package struct SecretOwners: Hashable, Sendable {
    package var name: String
    package var identities: [IdentityPattern]

    package init(name: String, identities: [IdentityPattern]) {
        self.name = name
        self.identities = identities
    }
}
