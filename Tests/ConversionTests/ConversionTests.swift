import Configuration
import Conversion
import IPsec
import Testing

/// Configurations of other daemons, and what they become.
@Suite struct ConversionTests {
    private func checked(_ conversion: Conversion) throws -> Configuration {
        do {
            return try Configuration.read(SourceFile(name: "converted", text: conversion.text))
        } catch {
            Issue.record("\(error)\n\(conversion.text)")
            throw error
        }
    }

    // MARK: strongSwan

    private let strongswan = """
        config setup
            charondebug="ike 2"

        conn %default
            keyexchange=ikev2
            ike=aes256-sha256-ecp256!
            esp=aes256gcm16-ecp256!
            dpddelay=30
            dpdaction=restart

        conn base
            left=192.0.2.1
            leftid=@left.example
            leftauth=psk

        conn office   # the tunnel
            also=base
            leftsubnet=10.1.0.0/24,10.3.0.0/24
            right=192.0.2.2
            rightid=@right.example
            rightauth=psk
            rightsubnet=10.2.0.0/24[tcp/443]
            lifetime=1h
            ikelifetime=3h
            auto=start
            xauth=client
        """

    @Test func strongswansConnectionIsTheSame() throws {
        let conversion = Conversion.convert(
            strongswan, secrets: "@left.example @right.example : PSK \"abc def\"\n: RSA key.pem\n", from: .strongswan)
        let configuration = try checked(conversion)
        let office = try #require(configuration.connections.first { $0.name == "office" })
        #expect(office.version == .v2)
        #expect(office.localIdentity == Identity("@left.example"))
        #expect(office.remoteAddresses.map(\.description) == ["192.0.2.2"])
        #expect(office.proposals.map(\.description) == ["aes256-sha256-prfsha256-ecp256"])
        #expect(office.deadPeerDelay == .seconds(30))
        #expect(office.rekeyTime == .seconds(10_800))
        let child = try #require(office.children.first)
        #expect(child.localSelectors.map(\.description) == ["10.1.0.0/24", "10.3.0.0/24"])
        #expect(child.remoteSelectors.map(\.description) == ["10.2.0.0/24[tcp/443]"])
        #expect(child.startAction == .start)
        #expect(child.deadPeerAction == .start)
        #expect(child.lifeTime == .seconds(3600))
        #expect(configuration.secrets.map { $0.identities.map(\.description) } == [["left.example", "right.example"]])
        // What is lost is told, with its line.
        #expect(conversion.losses.map(\.line).contains(26))
        #expect(conversion.losses.contains { $0.what.contains("xauth=client") })
        #expect(conversion.losses.contains { $0.what == "RSA key" })
        #expect(!conversion.losses.contains { "\($0)".contains("abc") })
    }

    @Test func alsoThatGoesRoundEnds() {
        let text = "conn a\n  also=b\nconn b\n  also=a\n"
        #expect(!Conversion.convert(text, from: .strongswan).losses.isEmpty)
    }

    // MARK: Libreswan

    private let libreswan = """
        conn mytunnel
            left=192.0.2.1
            leftid=@left
            leftsubnets={10.1.0.0/24 10.5.0.0/24}
            right=192.0.2.2
            rightid=@right
            rightsubnet=10.2.0.0/24
            authby=secret
            ikev2=no
            ike=aes256-sha2;dh19
            phase2alg=aes256-sha2_256;dh14
            salifetime=8h
            auto=ondemand
        """

    @Test func libreswansWordsAreSwanctls() throws {
        let conversion = Conversion.convert(libreswan, from: .libreswan)
        let connection = try #require(try checked(conversion).connections.first)
        #expect(connection.version == .v1)
        #expect(connection.proposals.map(\.description) == ["aes256-sha256-prfsha256-ecp256"])
        let child = try #require(connection.children.first)
        #expect(child.proposals.map(\.description) == ["aes256-sha256-modp2048"])
        #expect(child.startAction == .trap)
        #expect(child.localSelectors.map(\.description) == ["10.1.0.0/24", "10.5.0.0/24"])
        #expect(conversion.losses.isEmpty)
    }

    // MARK: iked

    private let iked = """
        gateway = "192.0.2.2"
        # a policy
        ikev2 "office" active esp \\
            from 10.1.0.0/24 to 10.2.0.0/24 \\
            local 192.0.2.1 peer $gateway \\
            ikesa enc aes-256 prf hmac-sha2-256 auth hmac-sha2-256 group curve25519 \\
            childsa enc aes-256-gcm \\
            srcid left.example dstid right.example \\
            ikelifetime 4h lifetime 1h bytes 512M \\
            psk "known to two" tag IKED
        set passive
        """

    @Test func ikedsRuleIsAConnection() throws {
        let conversion = Conversion.convert(iked, from: .iked)
        let configuration = try checked(conversion)
        let office = try #require(configuration.connections.first)
        #expect(office.name == "office")
        #expect(office.remoteAddresses.map(\.description) == ["192.0.2.2"])
        #expect(office.proposals.map(\.description) == ["aes256-sha256-prfsha256-x25519"])
        #expect(office.rekeyTime == .seconds(14_400))
        #expect(office.localIdentity == Identity("left.example"))
        let child = try #require(office.children.first)
        #expect(child.proposals.map(\.description) == ["aes256gcm16"])
        #expect(child.localSelectors.map(\.description) == ["10.1.0.0/24"])
        #expect(child.startAction == .start)
        #expect(configuration.secrets.count == 1)
        #expect(conversion.losses.map(\.what) == ["tag IKED", "set"])
    }

    // MARK: racoon

    private let racoon = """
        path pre_shared_key "/etc/psk.txt";
        remote 192.0.2.2 {
            exchange_mode main;
            my_identifier fqdn "left.example";
            peers_identifier fqdn "right.example";
            dpd_delay 20;
            proposal {
                encryption_algorithm aes 256;
                hash_algorithm sha256;
                authentication_method pre_shared_key;
                dh_group 14;
                lifetime time 8 hours;
            }
        }
        sainfo address 10.1.0.0/24 any address 10.2.0.0/24 any {
            pfs_group 14;
            encryption_algorithm aes 256;
            authentication_algorithm hmac_sha256;
            compression_algorithm deflate;
            lifetime time 1 hour;
        }
        """

    @Test func racoonsSectionsAreAConnection() throws {
        let conversion = Conversion.convert(racoon, secrets: "# keys\nright.example  a secret\n", from: .racoon)
        let configuration = try checked(conversion)
        let connection = try #require(configuration.connections.first)
        #expect(connection.version == .v1)
        #expect(connection.proposals.map(\.description) == ["aes256-sha256-prfsha256-modp2048"])
        #expect(connection.rekeyTime == .seconds(28_800))
        #expect(connection.deadPeerDelay == .seconds(20))
        let child = try #require(connection.children.first)
        #expect(child.proposals.map(\.description) == ["aes256-sha256-modp2048"])
        #expect(child.remoteSelectors.map(\.description) == ["10.2.0.0/24"])
        #expect(configuration.secrets.map { $0.identities.map(\.description) } == [["right.example"]])
        #expect(conversion.losses.count == 1)
    }

    // MARK: All

    @Test func theDialectIsGuessed() {
        #expect(Conversion.guess(strongswan) == .strongswan)
        #expect(Conversion.guess(libreswan) == .libreswan)
        #expect(Conversion.guess(iked) == .iked)
        #expect(Conversion.guess(racoon) == .racoon)
        #expect(Conversion.guess("nothing that is known") == nil)
    }

    @Test(arguments: Conversion.Dialect.allCases) func whateverComesInSomethingComesOut(_ dialect: Conversion.Dialect) {
        let texts = [strongswan, libreswan, iked, racoon]
        for text in texts {
            // Every prefix, and every text with a piece cut out: nothing traps, and what is written can be parsed.
            let characters = Array(text)
            for cut in stride(from: 0, through: characters.count, by: 7) {
                for part in [String(characters[..<cut]), String(characters[cut...])] {
                    let conversion = Conversion.convert(part, secrets: part, from: dialect)
                    let parsed = SettingsParser.parse(SourceFile(name: "converted", text: conversion.text))
                    #expect(parsed.diagnostics.isEmpty, "\(conversion.text)")
                }
            }
        }
    }
}
