import Daemon
import KeyDeterminationModes
import Testing

/// `parley loopback --exchange`: over two real sockets.
@Suite struct ExchangeLoopbackTests {
    @Test(arguments: ModeCatalogue.all.map(\.keyword)) func runsAndShowsEveryMessage(_ keyword: String) throws {
        let entry = try #require(ModeCatalogue.find(keyword))
        let report = try ExchangeLoopback.run(entry)
        let arrows = report.ladder.filter { $0.contains("-->|") || $0.hasPrefix("|<--") }
        #expect(arrows.contains { $0.contains("\(entry.description.name) (1)") })
        #expect(arrows.count >= entry.description.messages.count)
        #expect(report.ladder.allSatisfy { $0.count <= 100 })
        #expect(!report.outcome.isEmpty)
    }
}
