extension ClientProfile {
    /// A `.sswan` for the strongSwan app on Android: JSON with the client's PKCS #12 and the gateway's authority.
    package var androidProfile: String {
        """
        {
            "uuid": \(ClientProfile.quoted(uuid(0).lowercased())),
            "name": \(ClientProfile.quoted(title)),
            "type": "ikev2-cert",
            "remote": {
                "addr": \(ClientProfile.quoted(gateway)),
                "id": \(ClientProfile.quoted(gatewayIdentity)),
                "cert": \(ClientProfile.quoted(PEMBlock.base64(authority.octets)))
            },
            "local": {
                "id": \(ClientProfile.quoted(clientIdentity)),
                "p12": \(ClientProfile.quoted(PEMBlock.base64(pkcs12)))
            }
        }

        """
    }

    /// A string of JSON (RFC 8259 §7).
    private static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": result += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result + "\""
    }
}
