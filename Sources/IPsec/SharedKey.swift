package import Cryptography

/// A pre-shared key with the identities that may use it (RFC 7296 §2.15, RFC 2409 §5.4): one `secrets.ike*` section.
package struct SharedKey: Sendable {
    /// The name of the section that it comes from, for messages.
    package var name: String
    /// Either end's; empty: the key fits any pair of identities.
    package var identities: [IdentityPattern]
    package var secret: Secret

    package init(name: String = "", identities: [IdentityPattern], secret: Secret) {
        self.name = name
        self.identities = identities
        self.secret = secret
    }
}
