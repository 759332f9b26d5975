import Control
import IPsec
import KeyManagement
import Primitives
import Testing

@testable import Daemon

/// Refusals by the names of charon's alerts, and what limits a client asks for.
@Suite struct AlertTests {
    private func report(_ problems: [CertificateProblem]) -> Refusal {
        let findings = problems.map { ChainReport.Finding(check: .trust, outcome: .failed($0)) }
        let name = DistinguishedName("CN=peer")!
        return .certificate(
            ChainReport(
                wanted: nil, present: [],
                links: [ChainReport.Link(subject: name, issuer: name, serialNumber: [1], findings: findings)]))
    }

    @Test func aCertificateSaysWhatIsWrongWithIt() {
        let now = WallTime(seconds: 0)
        let expected: [(CertificateProblem, String)] = [
            (.expired(until: now, now: now), "cert-expired"), (.notYetValid(from: now, now: now), "cert-expired"),
            (.pathTooLong(allowed: 0, found: 1), "cert-exceeded-path-len"),
            (.issuerMissing(DistinguishedName("CN=ca")!), "cert-no-issuer"), (.untrusted, "cert-untrusted-root"),
            (.keyUsageLacks("x"), "cert-policy-violation"), (.badSignature, "cert-validation-failed"),
            (.policiesAbsent(["1.2"]), "cert-policy-violation"),
            (.authorityIdentityAbsent(.any), "cert-untrusted-root"),
        ]
        for (problem, alert) in expected {
            #expect(Alerts.types(of: report([problem])) == [alert, "peer-auth-failed"], "\(problem)")
            #expect(Alerts.types(of: report([.identityAbsent, problem])).first == alert, "\(problem)")
        }
        #expect(Alerts.types(of: report([.identityAbsent])) == ["peer-auth-failed"])
    }

    @Test func whoRefusesWhomIsTold() {
        #expect(Alerts.types(of: .userAuthentication(user: nil)) == ["peer-auth-failed"])
        #expect(Alerts.types(of: .userRefused(user: nil)) == ["local-auth-failed"])
        #expect(Alerts.types(of: .peer(notification: 24, name: "AUTHENTICATION_FAILED")) == ["local-auth-failed"])
        #expect(Alerts.types(of: .peer(notification: 36, name: "INTERNAL_ADDRESS_FAILURE")) == ["vip-failure"])
        #expect(Alerts.types(of: .timeout) == ["half-open-timeout"])
        #expect(Alerts.types(of: .policy("x")).isEmpty)
    }

    @Test func whatHindersNobodyHasItsAlert() {
        func types(_ kind: Event.Kind) -> [String] {
            Alerts.types(of: Event(time: Instant(nanoseconds: 0), session: nil, connection: "", kind: kind))
        }
        let notices: [(SessionNotice, String)] = [
            (.repeatedRequest(messageID: 1), "retransmit-receive"),
            (.answeredLate(messageID: 1, retransmissions: 2), "retransmit-send-cleared"),
            (.selectorsNarrowed(ChildID(1)), "ts-narrowed"), (.keptWithoutChild, "keep-on-child-sa-failure"),
            (.olderKept, "unique-keep"), (.olderReplaced(SessionID(1)), "unique-replace"),
        ]
        for (notice, alert) in notices { #expect(types(.session(.noticed(notice))) == [alert]) }
        let remote = Endpoint(IPAddress(v4: 1), port: 500)
        #expect(types(.noticed(.malformedHeader(remote: remote, count: 1))) == ["parse-error-header"])
        #expect(types(.noticed(.unknownSPI(remote: remote, count: 1))) == ["invalid-ike-spi"])
        #expect(types(.noticed(.noRemoteAddress)) == ["peer-addr-failed"])
    }

    @Test func aClientHearsOfPeersWithoutAnAddress() throws {
        var connection = ControlHarness.connection("one")
        connection.remoteAddresses = [.any(nil)]
        let harness = try ControlHarness([connection])
        let client = try harness.client()
        client.send(ViciClientConnection().register("alert"))
        #expect(try client.arrivals() == [.eventConfirmed])
        client.send(TestClient.request("initiate", ["child": "one-net", "timeout": "1000"]))
        let arrivals = try client.arrivals(2)
        #expect(arrivals.contains(.event("alert", ["type": "peer-addr-failed"])), "\(arrivals)")
    }

    @Test func aClientMayMindTheLimits() throws {
        let harness = try ControlHarness(["one", "two"].map { ControlHarness.connection($0) })
        harness.loop.change { $0.settings.engine.halfOpenLimit = 1 }
        let client = try harness.client()
        func ask(_ child: String) throws -> ViciMessage? {
            try client.ask("initiate", ["child": "\(child)", "init-limits": "yes", "timeout": "-1"])
        }
        #expect(try ask("one-net")?.flag("success") == true)
        let refusal = try ask("two-net")
        #expect(refusal?.flag("success") == false)
        #expect(
            refusal?.text("errmsg") == "establishing CHILD_SA 'two-net' not possible at the moment due to limits")
        #expect(try client.ask("initiate", ["child": "two-net", "timeout": "-1"])?.flag("success") == true)
    }
}
