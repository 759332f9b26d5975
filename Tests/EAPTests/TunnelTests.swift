import Credentials
import Cryptography
import IPsec
import Primitives
import TLS
import Testing

@testable import EAP

/// EAP-TLS (RFC 5216, RFC 9190), EAP-TTLS (RFC 5281) and PEAP between the two ends, with TLS as it is.
@Suite struct TunnelTests {
    typealias Setting = TunnelLab.Setting
    static let versions = [TLSConnection.Version.v12, .v13]
    private let joe = Identity("joe@example.org")!

    private func setting(
        _ method: UserMethod, _ version: TLSConnection.Version,
        _ change: (inout Setting) -> Void = { _ in }
    ) -> Setting {
        var setting = Setting(method: method, versions: version...version)
        change(&setting)
        return setting
    }

    @Test(arguments: [UserMethod.tls, .ttls, .peap], versions) func usersAreKnown(
        _ method: UserMethod, _ version: TLSConnection.Version
    ) throws {
        for isAsked in [true, false] {
            let outcome = try TunnelLab.run(setting(method, version) { $0.isAsked = isAsked })
            #expect(outcome.user == joe, "\(outcome.failure ?? "") \(outcome.refusal ?? "")")
            #expect(
                outcome.serverKey != nil && outcome.serverKey == outcome.peerKey
                    && outcome.peerKey?.count == 64)
            #expect(outcome.packets.last?.first == EAPPacket.Code.success.rawValue)
            // No password is in what passed, and inside a tunnel no name either, where it was not asked outside.
            let all = String(decoding: outcome.packets.joined(), as: UTF8.self)
            #expect(!all.contains("clientPass"))
            if method != .tls, !isAsked { #expect(!all.contains("joe")) }
        }
    }

    /// RFC 9190 §2.1.1: with TLS 1.3 the server says last that it is done, with 1.2 it does not.
    @Test func version13EndsWithAnIndication() throws {
        let older = try TunnelLab.run(setting(.tls, .v12))
        let newer = try TunnelLab.run(setting(.tls, .v13))
        // Start, hello, server's flight, client's; then Finished or the indication; each in one packet or two.
        #expect(older.packets.count == newer.packets.count)
        #expect(older.user == joe && newer.user == joe && older.serverKey != newer.serverKey)
    }

    @Test(arguments: [UserMethod.ttls, .peap], versions) func aWrongPasswordFails(
        _ method: UserMethod, _ version: TLSConnection.Version
    ) throws {
        let outcome = try TunnelLab.run(setting(method, version) { $0.password = "another" })
        #expect(outcome.user == nil && outcome.peerKey == nil)
        #expect(outcome.failure == "the password is not right, or nobody has that name")
        #expect(outcome.refusal == "the peer refuses the user")
        #expect(outcome.packets.last?.first == EAPPacket.Code.failure.rawValue)
        #expect(outcome.serverReport == nil && outcome.peerReport == nil)
    }

    @Test(arguments: [UserMethod.ttls, .peap]) func whoIsNotWantedFails(_ method: UserMethod) throws {
        let outcome = try TunnelLab.run(
            setting(method, .v12) { $0.pattern = .exactly(Identity("ann@example.org")!) })
        #expect(
            outcome.user == nil && outcome.failure == "the password is not right, or nobody has that name"
        )
    }

    // MARK: Certificates

    private func problems(_ report: ChainReport?) -> [CertificateCheck] {
        report?.problems.map(\.check) ?? []
    }

    @Test(arguments: [UserMethod.tls, .ttls, .peap], versions) func theServersCertificateIsJudged(
        _ method: UserMethod, _ version: TLSConnection.Version
    ) throws {
        let faults: [((inout Setting) -> Void, CertificateCheck)] = [
            ({ $0.serverHasOtherAuthority = true }, .trust), ({ $0.serverDays = 0 }, .validity),
            ({ $0.wantedServer = Identity("other.example")! }, .identity),
            ({ $0.serverPurposes = [.clientAuthentication] }, .purpose),
        ]
        for (change, check) in faults {
            let outcome = try TunnelLab.run(setting(method, version, change))
            #expect(
                outcome.user == nil && outcome.peerKey == nil
                    && problems(outcome.peerReport).contains(check))
            #expect(outcome.refusal == "the peer's certificate in TLS is none to rely on")
            #expect(
                outcome.failure?.hasPrefix("the peer breaks TLS off: ") == true, "\(outcome.failure ?? "")")
            #expect(!String(decoding: outcome.packets.joined(), as: UTF8.self).contains("clientPass"))
            #expect(outcome.kept == 0)
        }
    }

    @Test(arguments: versions) func theUsersCertificateIsJudged(_ version: TLSConnection.Version)
        throws
    {
        let faults: [((inout Setting) -> Void, CertificateCheck, String)] = [
            ({ $0.userHasOtherAuthority = true }, .trust, "unknown CA"),
            ({ $0.userDays = 0 }, .validity, "certificate expired"),
            ({ $0.userPurposes = [.serverAuthentication] }, .purpose, "unsupported certificate"),
        ]
        for (change, check, alert) in faults {
            let outcome = try TunnelLab.run(setting(.tls, version, change))
            #expect(
                outcome.user == nil && outcome.peerKey == nil
                    && problems(outcome.serverReport).contains(check))
            #expect(outcome.failure == "the peer's certificate in TLS is none to rely on")
            #expect(outcome.refusal == "the peer breaks TLS off: \(alert)", "\(outcome.refusal ?? "")")
        }
    }

    @Test(arguments: versions) func theCertificateSaysWhoTheUserIs(_ version: TLSConnection.Version)
        throws
    {
        // An anonymous name outside (RFC 9190 §2.1.7): the certificate's counts.
        let hidden = try TunnelLab.run(setting(.tls, version) { $0.user = "@example.org" })
        #expect(hidden.user == joe && hidden.serverKey == hidden.peerKey && hidden.peerKey != nil)
        // One user's name with another's certificate.
        for isAsked in [true, false] {
            let stolen = try TunnelLab.run(
                setting(.tls, version) {
                    $0.user = "ann@example.org"
                    $0.isAsked = isAsked
                    $0.pattern = .exactly(Identity("ann@example.org")!)
                })
            #expect(stolen.user == nil && stolen.peerKey == nil)
            #expect(stolen.failure == "the user's certificate does not name whom the connection is for")
            #expect(problems(stolen.serverReport) == [.identity])
            #expect(stolen.serverReport?.wanted == Identity("ann@example.org"))
        }
        // The common name alone, as users often have it.
        let common = try TunnelLab.run(
            setting(.tls, version) { $0.pattern = .exactly(Identity("joe")!) })
        #expect(common.user == Identity("joe"))
    }

    /// `cacerts` and `certs` of the round: a file that nobody has lets nobody in.
    @Test(arguments: versions) func constraintsBindBothEnds(_ version: TLSConnection.Version) throws {
        var named = CertificateConstraints()
        named.authorityFiles = ["one.pem"]
        var missing = CertificateConstraints()
        missing.authorityFiles = ["another.pem"]
        // "one.pem" in x509 is each end's own certificate.
        var pinned = CertificateConstraints()
        pinned.certificateFiles = ["one.pem"]
        let good = try TunnelLab.run(
            setting(.tls, version) { ($0.userConstraints, $0.serverConstraints) = (named, named) })
        #expect(good.user == joe && good.peerKey != nil)
        for constraints in [missing, pinned] {
            let atServer = try TunnelLab.run(setting(.tls, version) { $0.userConstraints = constraints })
            #expect(atServer.user == nil && atServer.peerKey == nil && problems(atServer.serverReport) == [.trust])
            let atHost = try TunnelLab.run(setting(.ttls, version) { $0.serverConstraints = constraints })
            #expect(atHost.user == nil && atHost.peerKey == nil && problems(atHost.peerReport) == [.trust])
        }
    }

    /// `charon.tls`.
    @Test func versionsAreThoseOfTheSettings() {
        let keeper = TunnelKeeper()
        #expect(keeper.versions == .v12 ... .v13)
        keeper.use(.v13 ... .v13)
        #expect(keeper.versions == .v13 ... .v13)
        keeper.use(.v12 ... .v12)
        #expect(keeper.versions == .v12 ... .v12)
    }

    @Test func whoHasNoCertificateSaysSo() throws {
        let outcome = try TunnelLab.run(setting(.tls, .v12) { $0.userHasCertificate = false })
        #expect(
            outcome.refusal == "there is no key with a certificate of our own for TLS"
                && outcome.user == nil)
    }

    // MARK: Fragments and hostile octets

    @Test(arguments: versions) func manyFragments(_ version: TLSConnection.Version) throws {
        let outcome = try TunnelLab.run(setting(.tls, version) { $0.extraNames = 200 })
        #expect(outcome.user == joe && outcome.serverKey == outcome.peerKey && outcome.peerKey != nil)
        #expect(outcome.packets.count > 20)
        #expect(outcome.packets.allSatisfy { $0.count <= 10 + TunnelFraming.fragmentOctets })
    }

    @Test(arguments: [UserMethod.tls, .ttls, .peap], versions) func spoiltPacketsNeverSucceed(
        _ method: UserMethod, _ version: TLSConnection.Version
    ) throws {
        let whole = try TunnelLab.run(setting(method, version)).packets.count
        for number in 2..<whole - 1 {
            for change: @Sendable ([UInt8]) -> [UInt8] in [
                { Array($0.dropLast($0.count > 6 ? 1 : 0)) },
                { packet in
                    var packet = packet
                    packet[packet.count - 1] ^= 0x55
                    return packet
                },
                { packet in
                    var packet = packet
                    if packet.count > 5 { packet[5] ^= 0x60 }
                    return packet
                },
            ] {
                var setting = setting(method, version)
                setting.tampering = (number, change)
                // A packet that is no longer as long as it says is an error, and everything else a failure at one end at least.
                guard let outcome = try? TunnelLab.run(setting) else { continue }
                let bothSucceed = outcome.user != nil && outcome.peerKey != nil
                // An empty packet's flags, and nothing else, may be other than they were without harm.
                if outcome.packets[number].count > 6 { #expect(!bothSucceed, "\(number)") }
                if bothSucceed { #expect(outcome.serverKey == outcome.peerKey) }
            }
        }
    }
}
