import Certificates
import IPsec
import TLS
import Testing

@testable import EAP

/// Certificates in TLS inside EAP that say where somebody knows whether they are revoked: it is asked before anything follows from
/// them.
@Suite struct TunnelRevocationTests {
    private static let inquiry = RevocationInquiry(TunnelLab.listURI, .list)

    private func run(
        _ method: UserMethod, _ version: TLSConnection.Version, _ word: TunnelLab.Word,
        _ change: (inout TunnelLab.Setting) -> Void
    ) throws -> TunnelLab.Outcome {
        var setting = TunnelLab.Setting(method: method, versions: version...version)
        setting.isLocated = true
        setting.word = word
        change(&setting)
        return try TunnelLab.run(setting)
    }

    @Test(arguments: TunnelTests.versions, [RevocationPolicy.relaxed, .ifURI, .strict])
    func theWordCounts(_ version: TLSConnection.Version, _ policy: RevocationPolicy) throws {
        // The user's certificate at the server, and with TTLS the server's at the user.
        for word in TunnelLab.Word.allCases {
            let user = try run(.tls, version, word) {
                $0.userConstraints.revocation = policy
                $0.serverConstraints.revocation = .relaxed
            }
            let isGood = word == .good || word == .nobody && policy == .relaxed
            // The user asks about the server, whose certificate has the same number, and the server about the user.
            if word != .revoked { #expect(user.inquiries == [Self.inquiry, Self.inquiry]) }
            #expect((user.user != nil) == isGood && (user.serverKey != nil) == isGood)
            if word == .nobody { #expect((user.serverReport == nil) == isGood) }
            let server = try run(.ttls, version, word) { $0.serverConstraints.revocation = policy }
            #expect(server.inquiries == [Self.inquiry])
            #expect((server.peerKey != nil) == isGood && (server.user != nil) == isGood)
            #expect((server.peerReport == nil) == isGood)
            // No password goes to whom the list revokes.
            if !isGood { #expect(server.refusal?.contains("certificate") == true, "\(server.refusal ?? "")") }
        }
    }

    /// What does not say where to ask is judged at once.
    @Test(arguments: TunnelTests.versions) func nobodyIsAskedWithoutAPlace(_ version: TLSConnection.Version) throws {
        let outcome = try run(.tls, version, .revoked) { $0.isLocated = false }
        #expect(outcome.inquiries.isEmpty && outcome.user != nil)
    }

    /// A certificate that is wrong in another way costs no inquiry.
    @Test(arguments: TunnelTests.versions) func noInquiryIsMadeForAStranger(_ version: TLSConnection.Version) throws {
        let outcome = try run(.ttls, version, .good) { $0.serverHasOtherAuthority = true }
        #expect(outcome.inquiries.isEmpty && outcome.peerKey == nil && outcome.peerReport != nil)
    }
}
