import Cryptography
import IPsec

/// How a user proves itself by attributes inside EAP-TTLS (RFC 5281 §11.2): PAP, CHAP and MS-CHAP-V2.
enum AttributeClaim: Sendable {
    case password(Identity, Secret)
    case proof(Identity, UserProof)

    /// `nil` where the attributes are none of these, or their challenge is not the tunnel's own.
    ///
    /// - Parameter challenge: 16 octets and an identifier of TLS's making (RFC 5281 §11.1).
    init?(_ attributes: [TunnelAttribute], challenge: [UInt8]) {
        func value(_ code: TunnelAttribute.Code) -> [UInt8]? {
            attributes.first { $0.code == code }?.data
        }
        guard let name = value(.userName), (1...EAPServer.maximumOctets).contains(name.count),
            !attributes.contains(where: { $0.isMandatory && !Self.known.contains($0.code) })
        else { return nil }
        let user = Identity(user: name)
        if let padded = value(.userPassword) {
            // §11.2.5: with zeros up to a multiple of 16.
            let password = Array(padded.prefix(padded.lastIndex { $0 != 0 }.map { $0 + 1 } ?? 0))
            guard (1...EAPServer.maximumOctets).contains(password.count) else { return nil }
            self = .password(user, Secret(password))
            return
        }
        guard challenge.count == 17, let identifier = challenge.last else { return nil }
        let own = Array(challenge.dropLast())
        if let response = value(.chapPassword) {
            guard value(.chapChallenge) == own, response.count == 17, response[0] == identifier else {
                return nil
            }
            self = .proof(
                user,
                UserProof(
                    .md5(identifier: identifier, challenge: own), response: Array(response.dropFirst())))
        } else if let response = value(.msCHAP2Response) {
            // RFC 2548 §2.3.2: identifier, flags, the user's challenge, eight reserved octets, the response.
            guard value(.msCHAPChallenge) == own, response.count == 50, response[0] == identifier else {
                return nil
            }
            let exchange = MSCHAPv2.Exchange(
                userName: name, authenticatorChallenge: own, peerChallenge: Array(response[2..<18]))
            self = .proof(user, UserProof(.mschapv2(exchange), response: Array(response[26..<50])))
        } else {
            return nil
        }
    }

    private static let known: Set<TunnelAttribute.Code> = [
        .userName, .userPassword, .chapPassword, .chapChallenge, .msCHAPChallenge, .msCHAP2Response,
    ]
}
