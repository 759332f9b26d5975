import Cryptography
import Primitives
import Testing

@testable import TLS

/// Two connections against each other, and against what is no TLS.
@Suite struct TLSConnectionTests {
    typealias Version = TLSConnection.Version

    /// Both ends, with what each heard and how it ended.
    private struct Ends {
        var client: TLSConnection
        var server: TLSConnection
        var clientFault: TLSFault?
        var serverFault: TLSFault?

        /// Hands records to and fro until nobody has any more.
        mutating func run() {
            do throws(TLSFault) { _ = try client.receive([]) } catch { clientFault = error }
            for _ in 0..<20 {
                let toServer = client.takeRecords()
                if !toServer.isEmpty, serverFault == nil {
                    do throws(TLSFault) { _ = try server.receive(toServer) } catch { serverFault = error }
                }
                let toClient = server.takeRecords()
                if !toClient.isEmpty, clientFault == nil {
                    do throws(TLSFault) { _ = try client.receive(toClient) } catch { clientFault = error }
                }
                if toServer.isEmpty, toClient.isEmpty { return }
            }
        }
    }

    private func credential(_ kind: KeyGenerationKind = .ecdsa(.p256), _ name: String) throws
        -> TLSConnection.Credential
    {
        try TestCredentials.make(kind, name)
    }

    private func ends(
        _ versions: ClosedRange<Version> = .v12 ... .v13, kind: KeyGenerationKind = .ecdsa(.p256),
        asksClient: Bool = true,
        clientHas: Bool = true, judgeServer: @escaping TLSConnection.Judge = { _ in .trusted },
        judgeClient: @escaping TLSConnection.Judge = { _ in .trusted }
    ) throws -> Ends {
        Ends(
            client: try TLSConnection(
                .client, versions: versions, credential: clientHas ? credential(kind, "joe") : nil, judge: judgeServer),
            server: try TLSConnection(
                .server, credential: credential(kind, "gate"), judge: asksClient ? judgeClient : nil))
    }

    @Test(arguments: [Version.v12, .v13], [KeyGenerationKind.ecdsa(.p256), .ecdsa(.p384), .rsa(2048), .ed25519])
    func bothEndsHaveTheSameKeys(_ version: Version, _ kind: KeyGenerationKind) throws {
        var seen: [[[UInt8]]] = []
        var ends = try ends(
            version...version, kind: kind,
            judgeServer: {
                seen.append($0)
                return .trusted
            },
            judgeClient: {
                seen.append($0)
                return .trusted
            })
        ends.run()
        #expect(ends.clientFault == nil && ends.serverFault == nil)
        #expect(ends.client.version == version && ends.server.version == version)
        // Each has judged the other's own certificate.
        #expect(seen.count == 2 && seen.allSatisfy { $0.count == 1 } && seen[0] != seen[1])
        for (label, context): (String, [UInt8]?) in [("client EAP encryption", nil), ("EXPORTER_EAP", [13])] {
            let one = ends.client.export(label: label, context: context, count: 128)
            #expect(one != nil && one == ends.server.export(label: label, context: context, count: 128))
        }
        #expect(
            ends.client.export(label: "a", context: nil, count: 32)
                != ends.client.export(label: "b", context: nil, count: 32))
        let said = Secret([UInt8](repeating: 7, count: 40_000))
        try ends.client.send(said)
        #expect(try ends.server.receive(ends.client.takeRecords()) == said)
        try ends.server.send(Secret([0]))
        #expect(try ends.client.receive(ends.server.takeRecords()).exposed == [0])
    }

    @Test(arguments: [Version.v12, .v13]) func clientsNeedNoCertificateWhereNoneIsAsked(_ version: Version) throws {
        var ends = try ends(version...version, asksClient: false, clientHas: false)
        ends.run()
        #expect(ends.client.isEstablished && ends.server.isEstablished)
    }

    @Test(arguments: [Version.v12, .v13]) func aMissingCertificateIsRefused(_ version: Version) throws {
        var ends = try ends(version...version, clientHas: false)
        ends.run()
        guard case .alert(let alert, _)? = ends.serverFault else {
            Issue.record("\(String(describing: ends.serverFault))")
            return
        }
        #expect(alert == (version == .v13 ? .certificateRequired : .handshakeFailure))
        #expect(ends.clientFault == .peerAlert(alert) && !ends.server.isEstablished)
        #expect(ends.server.export(label: "a", context: nil, count: 16) == nil)
    }

    @Test(
        arguments: [Version.v12, .v13],
        [
            (TLSConnection.Verdict.unknownAuthority, TLSAlert.unknownAuthority), (.expired, .certificateExpired),
            (.revoked, .certificateRevoked), (.badCertificate, .badCertificate),
            (.wrongPurpose, .unsupportedCertificate),
        ])
    func verdictsBecomeAlerts(_ version: Version, _ verdict: (TLSConnection.Verdict, TLSAlert)) throws {
        let (judged, expected) = verdict
        var ofServer = try ends(version...version, judgeServer: { _ in judged })
        ofServer.run()
        #expect(ofServer.serverFault == .peerAlert(expected) && !ofServer.server.isEstablished)
        guard case .alert(expected, _)? = ofServer.clientFault else {
            Issue.record("\(String(describing: ofServer.clientFault))")
            return
        }
        var ofClient = try ends(version...version, judgeClient: { _ in judged })
        ofClient.run()
        #expect(ofClient.clientFault == .peerAlert(expected) && !ofClient.server.isEstablished)
    }

    @Test func versionsWithoutOneInCommon() throws {
        let client = try TLSConnection(.client, versions: .v13 ... .v13, judge: { _ in .trusted })
        let server = try TLSConnection(
            .server, versions: .v12 ... .v12, credential: credential(.ecdsa(.p256), "gate"), judge: nil)
        var ends = Ends(client: client, server: server)
        ends.run()
        #expect(ends.clientFault == .peerAlert(.protocolVersion))
    }

    @Test func keysBelongToTheirCertificates() throws {
        let one = try credential(.ecdsa(.p256), "one")
        let other = try credential(.ecdsa(.p256), "other")
        let mixed = TLSConnection.Credential(key: one.key, certificates: other.certificates)
        #expect(throws: TLSFault.self) { try TLSConnection(.server, credential: mixed, judge: nil) }
        let broken = TLSConnection.Credential(key: one.key, certificates: [[0x30, 3, 1, 1, 1]])
        #expect(throws: TLSFault.self) { try TLSConnection(.server, credential: broken, judge: nil) }
        #expect(throws: TLSFault.self) { try TLSConnection(.server, judge: nil) }
    }

    /// Whatever comes, it is a fault or a wait, and never the end of a handshake.
    @Test func hostileRecords() throws {
        let recorder = try ends()
        _ = try recorder.client.receive([])
        let hello = recorder.client.takeRecords()
        var generator = Randomness.seeded(9)
        let own = try credential(.ecdsa(.p256), "gate")
        var faults = 0
        for round in 0..<200 {
            let server = try TLSConnection(.server, credential: own, judge: { _ in .trusted })
            var octets = hello
            switch round % 3 {
            case 0: octets = Array(octets.prefix(Int(generator.uint32()) % octets.count))
            case 1: octets[Int(generator.uint32()) % octets.count] ^= UInt8(1 << (round % 8))
            default: octets = generator.octets(1 + round)
            }
            do throws(TLSFault) {
                _ = try server.receive(octets)
                _ = try server.receive(generator.octets(64))
            } catch {
                faults += 1
            }
            #expect(!server.isEstablished)
        }
        #expect(faults > 100)
    }
}
