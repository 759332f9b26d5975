import Credentials
import Cryptography
import IPsec
import Testing

/// Users' passwords.
@Suite struct UserStoreTests {
    private func entry(_ names: [String], _ password: String) -> SharedKey {
        SharedKey(identities: names.map { .exactly(Identity($0)!) }, secret: Secret(Array(password.utf8)))
    }

    private func word(_ text: String) -> Secret { Secret(Array(text.utf8)) }

    private func outcome(_ store: UserStore, _ user: String, _ password: String) -> String {
        switch store.check(word(password), of: Identity(user)!) {
        case .verified(let peer): peer.identity == Identity(user) ? "verified" : "another"
        case .refuted: "refuted"
        default: "unknown"
        }
    }

    @Test func eachUserHasHisOwn() {
        let store = UserStore([entry(["joe"], "foo"), entry(["jane", "mary@example.org"], "bar")])
        #expect(outcome(store, "joe", "foo") == "verified" && outcome(store, "jane", "bar") == "verified")
        #expect(outcome(store, "mary@example.org", "bar") == "verified")
        #expect(outcome(store, "joe", "bar") == "refuted" && outcome(store, "joe", "") == "refuted")
        #expect(outcome(store, "joe", "fooo") == "refuted" && outcome(store, "joe", "fo") == "refuted")
        #expect(outcome(store, "jim", "foo") == "unknown")
        #expect(outcome(UserStore(), "joe", "foo") == "unknown")
    }

    @Test func severalPasswordsAndThoseOfEverybody() {
        let store = UserStore([entry(["joe"], "old"), entry(["joe"], "new"), entry([], "common")])
        for password in ["old", "new", "common"] { #expect(outcome(store, "joe", password) == "verified") }
        #expect(outcome(store, "jim", "common") == "verified" && outcome(store, "jim", "old") == "refuted")
    }

    @Test func ourOwnUsersPassword() {
        let store = UserStore([
            entry([], "any"), entry(["joe"], "plain"), entry(["joe", "gateway.example"], "here"),
            entry(["gateway.example"], "no"),
        ])
        func password(_ user: String, _ peer: String) -> Secret? {
            if case .password(let password) = store.password(of: Identity(user)!, for: Identity(peer)!) {
                password
            } else {
                nil
            }
        }
        #expect(password("joe", "gateway.example") == word("here"))
        #expect(password("joe", "other.example") == word("plain"))
        #expect(password("jim", "gateway.example") == word("any"))
        let strict = UserStore([entry(["joe"], "plain")])
        if case .noCredential = strict.password(of: Identity("jim")!, for: Identity("x")!) {
        } else {
            Issue.record("given")
        }
    }

    /// A user's password is no pre-shared key, and the other way round.
    @Test func keysAndPasswordsAreKeptApart() {
        let keys = SharedKeyStore([entry(["joe"], "foo")])
        if case .noCredential = keys.answer(.checkPassword(word("foo"), of: Identity("joe")!)) {
        } else {
            Issue.record("a pre-shared key let a user in")
        }
        if case .noCredential = keys.answer(.password(of: Identity("joe")!, for: Identity("x")!)) {
        } else {
            Issue.record("a pre-shared key was given away")
        }
    }
}
