/// A client's way to a gateway, for the programs that clients bring along: certificate, key and settings in one file.
package struct ClientProfile: Sendable {
    /// What the client shows for it.
    package var title: String
    /// The gateway's address or name.
    package var gateway: String
    /// The identity that the gateway's certificate must have.
    package var gatewayIdentity: String
    /// The identity that the client claims.
    package var clientIdentity: String
    /// DER, protected with ``passphrase``.
    package var pkcs12: [UInt8]
    package var passphrase: String
    /// The authority that vouches for the gateway.
    package var authority: Certificate
    /// 16 octets each, drawn at random: for the profile and its parts.
    package var identifiers: [[UInt8]]

    package init(
        title: String, gateway: String, gatewayIdentity: String, clientIdentity: String, pkcs12: [UInt8],
        passphrase: String, authority: Certificate, identifiers: [[UInt8]]
    ) {
        self.title = title
        self.gateway = gateway
        self.gatewayIdentity = gatewayIdentity
        self.clientIdentity = clientIdentity
        self.pkcs12 = pkcs12
        self.passphrase = passphrase
        self.authority = authority
        self.identifiers = identifiers
    }

    /// A UUID of version 4 (RFC 9562 §5.4) of the random octets at `index`.
    func uuid(_ index: Int) -> String {
        var octets = identifiers.indices.contains(index) ? Array(identifiers[index].prefix(16)) : []
        octets += [UInt8](repeating: 0, count: 16 - octets.count)
        octets[6] = octets[6] & 0x0F | 0x40
        octets[8] = octets[8] & 0x3F | 0x80
        let digits = octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
        return [0..<4, 4..<6, 6..<8, 8..<10, 10..<16].map { digits[$0].joined() }.joined(separator: "-").uppercased()
    }

    /// The common name of the authority, or its whole name.
    var authorityTitle: String {
        authority.subject.values([0x55, 4, 3]).last ?? authority.subject.description
    }
}

extension PEMBlock {
    /// Base64 (RFC 4648 §4) in one line.
    static func base64(_ octets: [UInt8]) -> String {
        PEMBlock(label: "DATA", octets: octets).text.split(separator: "\n").filter { !$0.hasPrefix("-----") }.joined()
    }
}
