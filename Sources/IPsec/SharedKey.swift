package import Cryptography

/// A pre-shared key with the identities that may use it (RFC 7296 §2.15, RFC 2409 §5.4): one `secrets.ike*` section.
package struct SharedKey: Sendable {
    /// The name of the section that it comes from, for messages.
    package var name: String
    /// Either end's; empty: the key fits any pair of identities.
    package var identities: [IdentityPattern]
    package var secret: Secret
    /// A post-quantum key (RFC 8784): one `secrets.ppk*` section. It proves nothing by itself.
    package var isPostquantum: Bool

    /// This key, where distinguished names among its identities fit by `matching`. A post-quantum key's name is octets that
    /// both ends say, and no pattern (RFC 8784 §5.1).
    package func matchingNames(_ matching: DistinguishedName.Matching) -> SharedKey {
        guard !isPostquantum else { return self }
        var key = self
        key.identities = identities.map { $0.matching(matching) }
        return key
    }

    package init(
        name: String = "", identities: [IdentityPattern], secret: Secret, isPostquantum: Bool = false
    ) {
        self.isPostquantum = isPostquantum
        self.name = name
        self.identities = identities
        self.secret = secret
    }
}
