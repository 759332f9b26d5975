package import Cryptography
package import IPsec

/// Users' passwords: those that peers' users must give, and those of our own (`secrets.xauth*` and `secrets.eap*`). A value.
package struct UserStore: Sendable {
    private let entries: [SharedKey]

    package init(_ entries: [SharedKey] = []) { self.entries = entries }

    /// Whether the password is one of the user's. Every entry is compared, each in constant time, so that the time tells
    /// neither which one fits nor whether there is such a user; an entry without identities is every user's.
    package func check(_ password: Secret, of user: Identity) -> Answer {
        var isKnown = false
        var isRight = false
        for entry in entries {
            let isHis = entry.identities.isEmpty || entry.identities.contains { $0.matches(user) }
            let isEqual = entry.secret == password
            isKnown = isKnown || isHis
            isRight = (isHis && isEqual) || isRight
        }
        if isRight { return .verified(PeerAuthenticated(verified: user)) }
        return isKnown ? .refuted : .noCredential
    }

    /// Whether a user's answer is what one of its passwords makes of the challenge; compared in constant time, and computed for
    /// a user that nobody knows as well, so that the time does not tell the two apart.
    package func judge(_ proof: UserProof, of user: Identity) -> Answer {
        let his = entries.filter { entry in
            entry.identities.isEmpty || entry.identities.contains { $0.matches(user) }
        }
        var found: UserAnswer?
        for password in his.isEmpty ? [UserStore.nobodys] : his.prefix(UserStore.maximumPasswords).map(\.secret) {
            guard let answer = UserAnswer(proof.challenge, password: password) else { continue }
            if ConstantTime.equal(answer.response, proof.response) { found = answer }
        }
        if let found, !his.isEmpty { return .user(found) }
        return his.isEmpty ? .noCredential : .refuted
    }

    /// Passwords of one user that are tried on one answer.
    private static let maximumPasswords = 8
    private static let nobodys = Secret(Array("nobody's password".utf8))

    /// What our user's password makes of a peer's challenge.
    package func prove(_ challenge: UserChallenge, of user: Identity, for peer: Identity) -> Answer {
        guard case .password(let password) = self.password(of: user, for: peer),
            let answer = UserAnswer(challenge, password: password)
        else { return .noCredential }
        return .user(answer)
    }

    /// Our user's password: the entry that names the user most closely, the peer deciding among equals.
    package func password(of user: Identity, for peer: Identity) -> Answer {
        func score(_ entry: SharedKey) -> Int {
            if entry.identities.isEmpty { return 1 }
            let own = entry.identities.map { $0.specificity(for: user) }.max() ?? 0
            let peers = entry.identities.map { $0.specificity(for: peer) }.max() ?? 0
            // Specificities are at most 3. An entry that names only the peer is another user's.
            return own == 0 ? 0 : 1 + own * 4 + peers
        }
        var best: (entry: SharedKey, score: Int)?
        for entry in entries where score(entry) > best?.score ?? 0 { best = (entry, score(entry)) }
        return best.map { .password($0.entry.secret) } ?? .noCredential
    }
}
