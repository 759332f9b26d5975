import IPsec
import KeyManagement
import Primitives
import Testing

/// What the IP headers of IKE's own packets carry.
@Suite struct MarkingTests {
    private func marks(_ effects: [Effect]) -> [UInt8] { KeyManagerTests.sent(effects).map(\.trafficClass) }

    @Test func requestsAndRepetitionsCarryTheConnectionsMark() throws {
        var manager = KeyManagerTests.manager { $0.differentiatedServices = 0b10_1110 }
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        #expect(marks(first) == [0b1011_1000])
        let deadline = try #require(manager.nextDeadline)
        #expect(marks(manager.handle(.deadline, now: deadline)) == [0b1011_1000])
    }

    @Test func answersCarryItAndKeepItWhenTheConnectionGoes() {
        var manager = KeyManagerTests.manager { $0.differentiatedServices = 1 }
        let answer = manager.handle(
            .datagram(KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: 5)),
            now: KeyManagerTests.at(0))
        #expect(marks(answer) == [4])
        _ = manager.handle(.command(.drop(connection: "peer"), RequestID(1)), now: KeyManagerTests.at(1))
        let farewell = manager.handle(
            .command(.terminate(Target(connection: "peer")), RequestID(2)), now: KeyManagerTests.at(2))
        #expect(marks(farewell) == [4])
    }

    @Test func withoutAMarkNothingIsSet() {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        #expect(marks(first) == [0])
    }
}
