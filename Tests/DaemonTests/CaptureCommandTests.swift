import Control
import Cryptography
import Explain
import IPsec
import Primitives
import Testing

@testable import Daemon

/// What `parley capture` asks of the daemon.
@Suite struct CaptureCommandTests {
    private func line() throws -> (table: AnalyserTables.Table, text: String) {
        let association = SecurityAssociation(
            direction: .inbound, child: ChildID(1), name: "net", requestID: 1, spi: SPI(0x1234),
            securityProtocol: .esp, local: Endpoint(IPAddress("192.0.2.1")!, port: 4500),
            remote: Endpoint(IPAddress("198.51.100.2")!, port: 4500), udpEncapsulation: true,
            suite: Suite(encryption: Encryption(.aesGCM16, keyBits: 128), integrity: nil),
            keys: KeyMaterial(encryption: Secret([1, 2, 3]), integrity: nil), localSelectors: [], remoteSelectors: [],
            replayWindowPackets: 32)
        return try #require(AnalyserTables.line(association))
    }

    @Test func theScopeNamesPortsAndPeers() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let client = try harness.client()
        let all = try client.ask("capture-scope")
        #expect(all?.flag("success") == true)
        #expect(all?.list("udp-ports").count == 2)
        #expect(all?.list("udp-ports").contains("0") == false)
        #expect(all?.list("tcp-ports") == ["4500"])
        #expect(all?.element("peers") == nil)
        #expect(try client.ask("capture-scope", ["ike": "home"])?.list("peers") == ["127.0.0.9"])
        let unknown = try client.ask("capture-scope", ["ike": "nothing"])
        #expect(unknown?.text("errmsg") == "no connection is named 'nothing'")
    }

    @Test func keysGoToThoseAloneWhoAskForThem() throws {
        let harness = try ControlHarness()
        let (client, other) = (try harness.client(), try harness.client())
        #expect(!harness.server.sharesKeys)
        other.send(ViciClientConnection().register("log"))
        #expect(try other.arrivals() == [.eventConfirmed])
        client.send(ViciClientConnection().register(CaptureCommands.keyEvent))
        #expect(try client.arrivals() == [.eventConfirmed])
        #expect(harness.server.sharesKeys)
        #expect(harness.loop.journal.recent.last?.text.contains("who has them reads the traffic") == true)
        let line = try line()
        harness.loop.share(line)
        #expect(
            try client.arrivals() == [.event(CaptureCommands.keyEvent, ["table": "esp_sa", "line": "\(line.text)"])])
        for case .event(let name, let message) in try other.arrivals(9) {
            #expect(name == "log")
            #expect(!message.json().contains("0x010203"))
        }
        client.send(ViciClientConnection().unregister(CaptureCommands.keyEvent))
        #expect(try client.arrivals() == [.eventConfirmed])
        #expect(!harness.server.sharesKeys)
        harness.loop.share(line)
        #expect(try client.arrivals() == [])
    }
}
