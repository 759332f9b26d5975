import Testing

extension Interop {
    /// What a round's `auth` demands of the other end's keys and signatures, between Parley and charon: each demands, each proves.
    @Suite(.serialized) struct DemandTests {
        /// RSA keys of 2048 bits, certificates over SHA-256.
        struct Case: CustomTestStringConvertible, Sendable {
            let proves: String
            let demands: String
            let isGood: Bool
            var testDescription: String { "\(proves) for \(demands)" }

            static let all = [
                Case(proves: "pubkey-sha384", demands: "rsa-2048-sha256-ike:pubkey-sha384", isGood: true),
                Case(proves: "pubkey-sha256", demands: "rsa-2048-sha256-ike:pubkey-sha384", isGood: false),
                Case(proves: "ike:rsa/pss-sha512", demands: "pubkey-sha256-ike:rsa/pss-sha512", isGood: true),
                Case(proves: "rsa-sha512", demands: "pubkey-sha256-ike:rsa/pss-sha512", isGood: false),
                Case(proves: "pubkey-sha256", demands: "rsa-2048-sha256-ecdsa-256-sha256", isGood: true),
                Case(proves: "pubkey", demands: "rsa-3072", isGood: false),
                Case(proves: "pubkey-sha384", demands: "pubkey-sha384", isGood: false),
            ]
        }

        /// The names of authorities and the policies of certificates.
        @Test(
            arguments: Pairing.all.filter { $0.initiator != $0.responder },
            [
                ("ca_id = \"O=Lab, CN=Root\"", true), ("ca_id = \"O=Lab, CN=Other\"", false),
                ("cert_policy = 1.3.6.1.4.1.99999.1", true), ("cert_policy = 1.3.6.1.4.1.99999.2", false),
            ])
        func authoritiesAndPolicies(_ pairing: Pairing, _ one: (demand: String, isGood: Bool)) throws {
            for demanding in Side.allCases {
                try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                    let policy = ["--policy", "1.3.6.1.4.1.99999.1"]
                    try lab.issueCertificates("ecdsa", isDeep: true, further: policy, ofAuthorities: policy)
                    var link = Link(.v2).withCertificates()
                    link.rounds[demanding]?.1 += "\n \(one.demand)"
                    // charon 5.9.8 says of any certificate that it lacks the policy.
                    let isRefused = one.demand.hasPrefix("cert_policy") && lab.peer(demanding).implementation == .charon
                    try lab.load(link)
                    if one.isGood, !isRefused {
                        try lab.up()
                    } else {
                        #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                        guard lab.peer(demanding).implementation == .parley else { return }
                        try eventually("the reason is told") { lab.peer(demanding).log.contains("' wants") }
                    }
                }
            }
        }

        @Test(arguments: Pairing.all.filter { $0.initiator != $0.responder }, Case.all)
        func areHeldTo(_ pairing: Pairing, _ one: Case) throws {
            for demanding in Side.allCases {
                try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                    try lab.issueCertificates("rsa")
                    var link = Link(.v2).withCertificates()
                    let proving = demanding.other
                    link.rounds[proving] = (
                        "auth = \(one.proves)\n certs = \(proving.identity).pem\n id = \(proving.identity)",
                        "auth = pubkey\n id = \(demanding.identity)"
                    )
                    link.rounds[demanding] = (
                        "auth = pubkey\n certs = \(demanding.identity).pem\n id = \(demanding.identity)",
                        "auth = \(one.demands)\n id = \(proving.identity)"
                    )
                    try lab.load(link)
                    if one.isGood {
                        try lab.up()
                        #expect(try lab.ping().loss == 0)
                    } else {
                        #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                        guard lab.peer(demanding).implementation == .parley else { return }
                        try eventually("the reason is told") {
                            lab.peer(demanding).log.contains("'auth = \(one.demands)' wants another")
                        }
                    }
                }
            }
        }
    }
}
