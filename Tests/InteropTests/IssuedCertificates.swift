import Foundation

extension Parley {
    /// Runs `parley pki`.
    static func pki(_ arguments: [String]) throws {
        guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
        try Subprocess.require([binary, "pki"] + arguments, seconds: 60)
    }
}

extension Lab {
    /// Keys and certificates of `parley pki` for both sides; the directory of the authority that issued them.
    ///
    /// - Parameter isDeep: each side's certificate comes from an authority of its own below the root, which the other side does not
    ///   have.
    @discardableResult
    func issueCertificates(
        _ type: String, bits: Int = 2048, isDeep: Bool = false, further: [String] = [],
        ofAuthorities: [String] = []
    ) throws -> String {
        let root = directory.appendingPathComponent("root").path
        var issuing = root
        let size = type == "rsa" ? ["--bits", "\(bits)"] : []
        try Parley.pki(["ca", "O=Lab, CN=Root", "-o", root, "--type", type] + size + ofAuthorities)
        for side in Side.allCases {
            if isDeep {
                issuing = directory.appendingPathComponent("issuing-\(side.rawValue)").path
                try Parley.pki(
                    ["ca", "O=Lab, CN=Issuing \(side.rawValue)", "-o", issuing, "--parent", root] + ofAuthorities)
            }
            let path = peer(side).directory.path
            try Parley.pki(["issue", side.identity, "--ca", issuing, "-o", path, "--type", type] + size + further)
        }
        return issuing
    }
}

extension Link {
    /// The same link where both prove themselves with the certificates of ``Lab/issueCertificates(_:bits:isDeep:)``.
    func withCertificates(strict: Side? = nil) -> Link {
        var link = self
        for side in Side.allCases {
            link.rounds[side] = (
                "auth = pubkey\n certs = \(side.identity).pem\n id = \(side.identity)",
                "auth = pubkey\n id = \(side.other.identity)" + (side == strict ? "\n revocation = strict" : "")
            )
        }
        return link
    }
}
