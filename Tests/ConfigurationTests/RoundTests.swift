import IPsec
import Testing

@testable import Configuration

/// The order of authentication rounds, which counts once there may be several.
@Suite struct RoundTests {
    /// What the checker reads, whatever it reports.
    private func connection(_ rounds: String) throws -> Connection {
        let (settings, _) = SettingsParser.parse(
            SourceFile(name: "x", text: "connections { home {\n\(rounds)\n} }"),
            loader: { _, _ in .failure(IncludeFailure("none")) })
        return try #require(ConfigurationChecker().check(settings).connections.first)
    }

    @Test func roundsAreSortedByNumberAndThenByFile() throws {
        let home = try connection(
            """
            remote { auth = psk }
            local-b { auth = psk
            id = b.example
            round = 2 }
            local-a { auth = psk
            id = a.example
            round = 2 }
            local-c { auth = psk
            id = c.example }
            """)
        #expect(home.local.map(\.exactIdentity) == ["c.example", "b.example", "a.example"].map { Identity($0) })
        #expect(home.localIdentity == Identity("c.example") && home.remoteIdentity == .any)
        #expect(home.remote == [AuthenticationRound(.preSharedKey)])
    }

    @Test func anEndWithoutRoundsStillHasOne() throws {
        let home = try connection("")
        #expect(home.local == [AuthenticationRound()] && home.remote == [AuthenticationRound()])
    }
}
