import Configuration
import Credentials
import Explain
import IPsec
import Primitives
import Testing

/// What would become of a peer, told without traffic.
@Suite struct ForecastTests {
    private func forecast(
        _ remote: String, id: String?, version: UInt8 = 2, change: (String, String) = ("", "")
    ) throws -> Forecast {
        var text = Misconfiguration.text(.right, version: 2)
        if !change.0.isEmpty { text = text.replacing(change.0, with: change.1) }
        let configuration = try Configuration.read(SourceFile(name: "f", text: text))
        let keys = SharedKeyStore(configuration.secrets, policies: configuration.policies)
        let approach = Approach(
            local: try #require(IPAddress("192.0.2.2")), remote: try #require(IPAddress(remote)), version: version,
            identity: id.flatMap { Identity($0) })
        return Forecast(approach, policies: configuration.policies) { keys.key(local: $0, remote: $1)?.name }
    }

    @Test func whoFitsIsServed() throws {
        let forecast = try forecast("192.0.2.1", id: "left.example")
        #expect(forecast.isAccepted)
        #expect(forecast.chosen == "net")
        #expect(forecast.secret == "ike-net")
        #expect(forecast.remedies.isEmpty)
        #expect(forecast.lines.contains { $0.contains("10.2.0.0/24 === 10.1.0.0/24") })
    }

    @Test func whoDoesNotIsToldByWhichKey() throws {
        let stranger = try forecast("192.0.2.1", id: "stranger.example")
        #expect(!stranger.isAccepted)
        #expect(stranger.remedies.map(\.key) == ["connections.net.remote.id"])
        #expect(stranger.remedies.first?.wanted == "stranger.example")
        let elsewhere = try forecast("198.51.100.9", id: nil)
        #expect(elsewhere.remedies.map(\.key) == ["connections.net.remote_addrs"])
        let older = try forecast("192.0.2.1", id: "left.example", version: 1)
        #expect(older.remedies.map(\.key) == ["connections.net.version"])
    }

    @Test func aMissingSecretIsForeseen() throws {
        let forecast = try forecast(
            "192.0.2.1", id: "left.example",
            change: ("id-1 = left.example\n        id-2 = right.example", "id-1 = a.test"))
        #expect(forecast.chosen == "net")
        #expect(!forecast.isAccepted)
        #expect(forecast.remedies.map(\.key) == ["secrets.ike-NAME.id"])
    }
}
