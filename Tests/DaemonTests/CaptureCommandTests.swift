import Control
import Cryptography
import Explain
import IPsec
import Primitives
import Testing

@testable import Daemon

/// What `parley capture` asks of the daemon.
@Suite struct CaptureCommandTests {
    private func keys(
        _ direction: SecurityAssociation.Direction = .inbound, _ spi: UInt32 = 0x1234,
        _ securityProtocol: SecurityProtocol = .esp
    ) -> PacketKeys? {
        let association = SecurityAssociation(
            direction: direction, child: ChildID(1), name: "net", requestID: 1, spi: SPI(spi),
            securityProtocol: securityProtocol, local: Endpoint(IPAddress("192.0.2.1")!, port: 4500),
            remote: Endpoint(IPAddress("198.51.100.2")!, port: 4500), udpEncapsulation: true,
            suite: Suite(encryption: Encryption(.aesGCM16, keyBits: 128), integrity: nil),
            keys: KeyMaterial(encryption: Secret([1, 2, 3]), integrity: nil), localSelectors: [], remoteSelectors: [],
            replayWindowPackets: 32)
        return PacketKeys(association)
    }

    private func line() throws -> (table: AnalyserTables.Table, text: String) {
        let packets = try #require(keys())
        return try #require(AnalyserTables.line(packets))
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
        harness.loop.share(KeyLine(try #require(keys())))
        #expect(
            try client.arrivals() == [.event(CaptureCommands.keyEvent, ["table": "esp_sa", "line": "\(line.text)"])])
        for case .event(let name, let message) in try other.arrivals(9) {
            #expect(name == "log")
            #expect(!message.json().contains("0x010203"))
        }
        client.send(ViciClientConnection().unregister(CaptureCommands.keyEvent))
        #expect(try client.arrivals() == [.eventConfirmed])
        #expect(!harness.server.sharesKeys)
        harness.loop.share(KeyLine(try #require(keys())))
        #expect(try client.arrivals() == [])
    }

    @Test func livingKeysGoToThoseAloneWhoListen() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let refusal = try client.ask("list-keys")
        #expect(refusal?.flag("success") == false)
        #expect(refusal?.text("errmsg")?.contains("registered for the event 'capture-keys'") == true)
        #expect(!harness.server.sharesKeys)
        // In one go, so that the command finds the subscription in the same turn.
        client.send(ViciClientConnection().register(CaptureCommands.keyEvent) + TestClient.request("list-keys"))
        #expect(try client.arrivals(2) == [.eventConfirmed, .response(["success": "yes", "count": "0"])])
        #expect(harness.server.sharesKeys)
    }

    @Test func livingKeysComeGoAndMove() throws {
        var living = LivingKeys()
        let child = ChildID(1)
        #expect(keys(.inbound, 1, .ah) == nil)
        living.install(try #require(keys(.inbound, 1)), .inbound, of: child)
        living.install(try #require(keys(.outbound, 2)), .outbound, of: child)
        let (one, two) = (IPAddress("192.0.2.1")!, IPAddress("198.51.100.2")!)
        #expect(living[child].map(\.source) == [two, one] && living[child].map(\.destination) == [one, two])
        #expect(living.move(child, local: one, remote: two).isEmpty)
        let three = IPAddress("203.0.113.3")!
        #expect(living.move(child, local: one, remote: three).map(\.source) == [three, one])
        #expect(living[child].map(\.destination) == [one, three])
        #expect(living.move(ChildID(9), local: one, remote: three).isEmpty)
        // An inbound SA may have the SPI of another's outbound one.
        living.remove(SPI(2), .inbound, of: child)
        #expect(living[child].count == 2)
        living.remove(SPI(2), .outbound, of: child)
        living.remove(SPI(1), .inbound, of: child)
        #expect(living.children.isEmpty)
    }
}
