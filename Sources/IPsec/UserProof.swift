package import Cryptography

/// How a user proves who it is over EAP: what `auth = eap-…` says.
package enum UserMethod: String, Hashable, Sendable, CaseIterable {
    /// Of our own user: whichever the gateway asks for.
    case any = "eap"
    /// RFC 3748 §5.4.
    case md5 = "eap-md5"
    /// RFC 3748 §5.6: the password itself, under the IKE SA's protection.
    case gtc = "eap-gtc"
    /// draft-kamath-pppext-eap-mschapv2, on RFC 2759.
    case mschapv2 = "eap-mschapv2"
    /// A certificate of the user's, inside TLS (RFC 5216, RFC 9190).
    case tls = "eap-tls"
    /// A password, inside TLS whose server alone has a certificate (RFC 5281).
    case ttls = "eap-ttls"
    /// The same by Microsoft (draft-kamath-pppext-peapv0).
    case peap = "eap-peap"
    /// Of the peer's user: an authentication server asks what it wants (RFC 3579).
    case radius = "eap-radius"
}

/// What our own user is asked.
package enum UserChallenge: Hashable, Sendable {
    /// MD5(identifier | password | challenge) (RFC 1994 §4.1).
    case md5(identifier: UInt8, challenge: [UInt8])
    case mschapv2(MSCHAPv2.Exchange)
}

/// What a user answered.
package struct UserProof: Hashable, Sendable {
    package var challenge: UserChallenge
    package var response: [UInt8]

    package init(_ challenge: UserChallenge, response: [UInt8]) {
        self.challenge = challenge
        self.response = response
    }
}

/// What follows from a user's password and a challenge.
package struct UserAnswer: Sendable {
    package var response: [UInt8]
    /// By which the gateway shows that it has the password too; empty where the method has no such thing.
    package var confirmation: [UInt8] = []
    /// MSK (RFC 3748 §7.10); `nil` where the method makes none.
    package var masterSessionKey: Secret?

    package init(response: [UInt8], confirmation: [UInt8] = [], masterSessionKey: Secret? = nil) {
        self.response = response
        self.confirmation = confirmation
        self.masterSessionKey = masterSessionKey
    }

    /// The answer of one password. `nil` where the password cannot be used with the method.
    package init?(_ challenge: UserChallenge, password: Secret) {
        do throws(CryptographyError) {
            switch challenge {
            case .md5(let identifier, let octets):
                self.init(
                    response: try Digest.compute(.md5, [.open([identifier]), .secret(password), .open(octets)]))
            case .mschapv2(let exchange):
                guard let method = MSCHAPv2(password: password) else { return nil }
                let response = try method.response(exchange)
                self.init(
                    response: response, confirmation: try method.confirmation(exchange, response: response),
                    masterSessionKey: try method.masterSessionKey(response: response))
            }
        } catch {
            return nil
        }
    }
}

extension Identity {
    /// A user by the name that it gives: read as a configuration's identities are, so that the two compare.
    package init(user name: [UInt8]) {
        let text = String(decoding: name, as: UTF8.self)
        let isPlain = Array(text.utf8) == name && name.allSatisfy { (0x20..<0x7F).contains($0) }
        self = isPlain ? Identity(text) ?? Identity(.keyID, octets: name) : Identity(.keyID, octets: name)
    }

    /// The octets that name a user.
    package var userName: [UInt8] { address == nil ? octets : Array(description.utf8) }
}

extension Connection {
    /// How our user authenticates over EAP, and how the peer's does.
    package var localUserMethod: UserMethod? { local.first?.method.userMethod }
    package var remoteUserMethod: UserMethod? { remote.first?.method.userMethod }
}
