extension ClientProfile {
    /// A `.mobileconfig` for iOS and macOS: the client's PKCS #12, the authority, and an IKEv2 connection that uses both.
    /// The suites are such as iOS has had since version 8, with a group that survives rekeying.
    package var mobileConfiguration: String {
        func text(_ value: String) -> String { "<string>\(ClientProfile.escaped(value))</string>" }
        func association(_ name: String) -> String {
            """
            <key>\(name)</key>
                        <dict>
                            <key>EncryptionAlgorithm</key><string>AES-256-GCM</string>
                            <key>IntegrityAlgorithm</key><string>SHA2-256</string>
                            <key>DiffieHellmanGroup</key><integer>19</integer>
                        </dict>
            """
        }
        let identifier = "org.parley.\(uuid(0).lowercased())"
        return """
            <?xml version="1.0" encoding="UTF-8"?>
            <!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
            <plist version="1.0">
            <dict>
                <key>PayloadType</key><string>Configuration</string>
                <key>PayloadVersion</key><integer>1</integer>
                <key>PayloadIdentifier</key>\(text(identifier))
                <key>PayloadUUID</key>\(text(uuid(0)))
                <key>PayloadDisplayName</key>\(text(title))
                <key>PayloadContent</key>
                <array>
                    <dict>
                        <key>PayloadType</key><string>com.apple.security.pkcs12</string>
                        <key>PayloadVersion</key><integer>1</integer>
                        <key>PayloadIdentifier</key>\(text(identifier + ".identity"))
                        <key>PayloadUUID</key>\(text(uuid(1)))
                        <key>PayloadDisplayName</key>\(text(clientIdentity))
                        <key>Password</key>\(text(passphrase))
                        <key>PayloadContent</key><data>\(PEMBlock.base64(pkcs12))</data>
                    </dict>
                    <dict>
                        <key>PayloadType</key><string>com.apple.security.root</string>
                        <key>PayloadVersion</key><integer>1</integer>
                        <key>PayloadIdentifier</key>\(text(identifier + ".authority"))
                        <key>PayloadUUID</key>\(text(uuid(2)))
                        <key>PayloadDisplayName</key>\(text(authorityTitle))
                        <key>PayloadContent</key><data>\(PEMBlock.base64(authority.octets))</data>
                    </dict>
                    <dict>
                        <key>PayloadType</key><string>com.apple.vpn.managed</string>
                        <key>PayloadVersion</key><integer>1</integer>
                        <key>PayloadIdentifier</key>\(text(identifier + ".vpn"))
                        <key>PayloadUUID</key>\(text(uuid(3)))
                        <key>PayloadDisplayName</key>\(text(title))
                        <key>UserDefinedName</key>\(text(title))
                        <key>VPNType</key><string>IKEv2</string>
                        <key>IKEv2</key>
                        <dict>
                            <key>RemoteAddress</key>\(text(gateway))
                            <key>RemoteIdentifier</key>\(text(gatewayIdentity))
                            <key>LocalIdentifier</key>\(text(clientIdentity))
                            <key>AuthenticationMethod</key><string>Certificate</string>
                            <key>PayloadCertificateUUID</key>\(text(uuid(1)))
                            <key>CertificateType</key>\(text(certificateType))
                            <key>ServerCertificateIssuerCommonName</key>\(text(authorityTitle))
                            <key>ExtendedAuthEnabled</key><integer>0</integer>
                            <key>EnablePFS</key><integer>1</integer>
                            <key>UseConfigurationAttributeInternalIPSubnet</key><integer>0</integer>
                            \(association("IKESecurityAssociationParameters"))
                            \(association("ChildSecurityAssociationParameters"))
                        </dict>
                    </dict>
                </array>
            </dict>
            </plist>

            """
    }

    /// Apple's word for the authority's kind of key, which signs the client's certificate.
    private var certificateType: String {
        switch authority.key?.kind {
        case .ecdsa: (authority.key?.bits).map { "ECDSA\($0)" } ?? "ECDSA256"
        case .ed25519, .ed448: "Ed25519"
        case .rsa, .rsaPSS, .dsa, nil: "RSA"
        }
    }

    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            default: result.append(character)
            }
        }
    }
}
