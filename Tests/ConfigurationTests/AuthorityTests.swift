import IPsec
import Testing

@testable import Configuration

/// The section `authorities`, and certificates of a round by files elsewhere.
@Suite struct AuthorityTests {
    @Test func everyKeyIsRead() throws {
        let configuration = try Configuration.read(
            SourceFile(
                name: "x",
                text: """
                    authorities {
                        lab {
                            cacert = ca.pem
                            crl_uris = http://ca.example/1.crl, HTTP://ca.example/2.crl
                            ocsp_uris = http://ocsp.example:2560/
                            cert_uri_base = http://ca.example/certs/
                        }
                        bare { file = /etc/ca.der }
                    }
                    """))
        #expect(
            configuration.authorities == [
                CertificateAuthority(
                    name: "lab", certificateFile: "ca.pem",
                    revocationListURIs: ["http://ca.example/1.crl", "HTTP://ca.example/2.crl"],
                    responderURIs: ["http://ocsp.example:2560/"], certificateURIBase: "http://ca.example/certs/"),
                CertificateAuthority(name: "bare", certificateFile: "/etc/ca.der"),
            ])
        #expect(
            configuration.notes == [
                "authorities.lab.cert_uri_base changes nothing without charon.hash_and_url = yes: certificates are sent whole"
            ])
    }

    @Test func partsReplaceAuthoritiesOfTheirName() throws {
        var configuration = try Configuration.read(
            SourceFile(name: "x", text: "authorities { a { cacert = 1.pem }\nb { cacert = 2.pem } }"))
        configuration.absorb(
            try Configuration.read(
                SourceFile(name: "y", text: "authorities { b { cacert = 3.pem }\nc { cacert = 4.pem } }")))
        #expect(configuration.authorities.map(\.certificateFile) == ["1.pem", "3.pem", "4.pem"])
    }

    @Test func certificatesMayLieElsewhere() throws {
        let configuration = try Configuration.read(
            SourceFile(
                name: "x",
                text: """
                    connections { home {
                        version = 2
                        local { auth = pubkey
                            certs = a.pem
                            cert-1 { file = /b.pem } }
                        remote { auth = pubkey
                            cacerts = ca.pem
                            cacert1 { file = /ca.der } }
                    } }
                    """))
        let home = try #require(configuration.connections.first)
        #expect(home.local[0].certificates.certificateFiles == ["a.pem", "/b.pem"])
        #expect(home.remote[0].certificates.authorityFiles == ["ca.pem", "/ca.der"])
    }
}
