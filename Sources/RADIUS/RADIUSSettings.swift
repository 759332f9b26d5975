package import Cryptography
package import Primitives

/// What the section `radius` says.
package struct RADIUSSettings: Equatable, Sendable {
    /// One server (RFC 2865, RFC 2866).
    package struct Server: Equatable, Sendable {
        package var name: String
        package var address: IPAddress
        package var accessPort: UInt16 = 1812
        package var accountingPort: UInt16 = 1813
        package var secret: Secret
        /// What we are called (NAS-Identifier).
        package var identifier = "parley"
        /// Answers to a password need a Message-Authenticator, too; those to EAP always do (RFC 3579 §3.2).
        package var needsMessageAuthenticator = true
        /// The higher, the sooner it is asked.
        package var preference = 0

        package init(name: String, address: IPAddress, secret: Secret) {
            self.name = name
            self.address = address
            self.secret = secret
        }
    }

    /// Where servers may change our sessions (RFC 5176).
    package struct DynamicAuthorization: Equatable, Sendable {
        package var address = IPAddress.any(.v4)
        package var port: UInt16 = 3799
        package var secret: Secret

        package init(secret: Secret) { self.secret = secret }
    }

    /// In the order in which they are asked.
    package var servers: [Server] = []
    package var accounts = false
    /// `class_group` and `filter_id`: attributes of an Access-Accept that name groups of the user's.
    package var takesClassGroups = false
    package var takesFilterGroups = false
    /// Between Interim-Updates, where the server does not say; zero: none.
    package var interimInterval = Duration.zero
    package var retransmitTimeout = Duration.seconds(2)
    package var retransmitBase = 1.4
    package var retransmitTries = 4
    package var dynamicAuthorization: DynamicAuthorization?

    package init() {}
}
