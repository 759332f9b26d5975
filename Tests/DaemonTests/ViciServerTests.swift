import Control
import IPsec
import Primitives
import Testing

@testable import Daemon

/// The control socket under clients that are slow, hostile, many, or gone.
@Suite struct ViciServerTests {
    // MARK: Frames

    @Test func aRequestMayComeOctetByOctet() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        for octet in TestClient.request("version") {
            #expect(try client.arrivals(turns: 1).isEmpty)
            client.send([octet])
        }
        guard case .response(let answer)? = try client.arrivals().first else {
            Issue.record("no answer")
            return
        }
        #expect(answer.text("daemon") == "parley")
    }

    @Test func halfAFrameHoldsNobodyUp() throws {
        let harness = try ControlHarness()
        let half = try harness.client()
        half.send(Array(TestClient.request("version").dropLast()))
        let other = try harness.client()
        #expect(try other.ask("version")?.text("daemon") == "parley")
        #expect(try half.arrivals(turns: 3).isEmpty)
        half.send([TestClient.request("version").last ?? 0])
        #expect(try half.arrivals().count == 1)
    }

    @Test(
        arguments: [
            [0x00, 0x08, 0x00, 0x01], [0xFF, 0xFF, 0xFF, 0xFF],  // larger than a segment may be
            [0, 0, 0, 1, 9],  // a type that does not exist
            [0, 0, 0, 1, 1],  // an answer, which clients do not send
            [0, 0, 0, 3, 0, 200, 65],  // a name longer than its frame
            [0, 0, 0, 0],  // no type
        ] as [[UInt8]])
    func brokenFramesCloseTheirConnectionOnly(_ octets: [UInt8]) throws {
        let harness = try ControlHarness()
        let other = try harness.client()
        let client = try harness.client()
        client.send(octets)
        #expect(try client.isTurnedAway())
        #expect(harness.server.clients.count == 1)
        #expect(try other.ask("version") != nil)
    }

    @Test func theLargestFrameIsStillRead() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        var message = ViciMessage()
        // 7 elements of 65,535 octets, and what fills the segment.
        for index in 0..<7 { message.add("key\(index)", String(repeating: "a", count: 65_535)) }
        let rest = 512 * 1024 - ((ViciPacket.request(command: "version", message).octets.count) + 8)
        message.add("last", String(repeating: "b", count: rest))
        let octets = TestClient.request("version", message)
        #expect(octets.count == 4 + 512 * 1024)
        client.send(octets)
        #expect(try client.arrivals().count == 1)
    }

    @Test func unknownCommandsAndEventsAreSaidToBeUnknown() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        client.send(TestClient.request("make-coffee"))
        #expect(try client.arrivals() == [.unknownCommand])
        client.send(ViciClientConnection().register("moon-phase"))
        #expect(try client.arrivals() == [.unknownEvent])
        client.send(ViciClientConnection().unregister("log"))
        #expect(try client.arrivals() == [.unknownEvent])
        client.send(ViciClientConnection().register("log"))
        #expect(try client.arrivals() == [.eventConfirmed])
        #expect(try client.ask("version") != nil)
    }

    // MARK: Streams

    /// Connections whose descriptions are more than any one client may have unread.
    private static let manyConnections = (0..<300).map { ControlHarness.connection("c\($0)", selectors: 1000) }

    @Test func aSlowReaderGetsAllOfAStreamInBoundedMemory() throws {
        let harness = try ControlHarness(ViciServerTests.manyConnections)
        let client = try harness.client()
        client.send(ViciClientConnection().register("list-conn"))
        #expect(try client.arrivals() == [.eventConfirmed])
        client.send(TestClient.request("list-conns"))
        // It does not read for a while.
        for _ in 0..<20 { harness.turn() }
        #expect(harness.server.clients.count == 1)
        var largest = 0
        var events = 0
        var isAnswered = false
        for _ in 0..<1000 where !isAnswered {
            largest = max(largest, harness.server.clients.values.map(\.pendingOctets).max() ?? 0)
            for arrival in try client.arrivals(turns: 1) {
                switch arrival {
                case .event("list-conn", let message):
                    #expect(message.sections.first?.name == "c\(events)")
                    events += 1
                case .response: isAnswered = true
                default: Issue.record("\(arrival)")
                }
            }
        }
        #expect(isAnswered && events == 300)
        #expect(largest > 0 && largest <= ViciClient.streamOctets + ViciSegments.maximumOctets)
    }

    @Test func aClientThatGoesInTheMiddleOfAStreamTakesNothingAlong() throws {
        let harness = try ControlHarness(ViciServerTests.manyConnections)
        let client = try harness.client()
        let other = try harness.client()
        client.send(ViciClientConnection().register("list-conn") + TestClient.request("list-conns"))
        // Others are served while its answer is under way.
        #expect(try other.ask("version")?.text("daemon") == "parley")
        #expect(harness.server.clients.count == 2)
        #expect(try client.arrivals(3, turns: 1).count >= 1)
        client.close()
        for _ in 0..<3 { harness.turn() }
        #expect(harness.server.clients.count == 1)
        #expect(try other.ask("get-conns")?.list("conns").count == 300)
    }

    @Test func requestsBehindAStreamWaitTheirTurn() throws {
        let harness = try ControlHarness((0..<3).map { ControlHarness.connection("c\($0)") })
        let client = try harness.client()
        client.send(
            ViciClientConnection().register("list-conn") + TestClient.request("list-conns")
                + TestClient.request("version"))
        let arrivals = try client.arrivals(6)
        #expect(arrivals.count == 6)
        #expect(arrivals.last == .response(try #require(try harness.client().ask("version"))))
        #expect(arrivals.dropLast().last == .response(ViciMessage()))
    }

    // MARK: Many

    @Test func clientsBeyondTheLimitAreTurnedAwayUntilOneLeaves() throws {
        let harness = try ControlHarness()
        let clients = try (0..<ViciServer.clientMaximum).map { _ in try harness.client() }
        #expect(harness.server.clients.count == ViciServer.clientMaximum)
        #expect(try harness.client().isTurnedAway())
        for client in clients { client.send(TestClient.request("version")) }
        for client in clients { #expect(try client.arrivals().count == 1) }
        clients[0].close()
        harness.turn()
        #expect(try harness.client().ask("version") != nil)
    }

    /// A thousand clients at once, some of which read nothing, or stop in the middle of a request: the others have their
    /// answers all the same, each within the turns that it takes to read it.
    @Test func aThousandClientsAreServedBesideStuckOnes() throws {
        #expect(ViciServer.clientMaximum >= 1000)
        let connections = (0..<50).map { ControlHarness.connection("c\($0)") }
        let harness = try ControlHarness(connections)
        let clients = try (0..<1000).map { _ in try harness.client() }
        #expect(harness.server.clients.count == 1000)
        for (index, client) in clients.enumerated() {
            switch index % 10 {
            case 0: client.send(Array(TestClient.request("version").dropLast()))
            case 1: client.send(ViciClientConnection().register("list-conn") + TestClient.request("list-conns"))
            default: client.send(TestClient.request("stats"))
            }
        }
        for (index, client) in clients.enumerated() where index % 10 > 1 {
            guard case .response(let answer)? = try client.arrivals(turns: 3).last else {
                Issue.record("client \(index) waits")
                continue
            }
            #expect(answer.section("ikesas") != nil)
        }
        #expect(harness.server.clients.count == 1000, "nobody was turned away for being slow")
    }

    /// What status asks for comes of values: a negotiation that waits for its peer holds nobody up.
    @Test func statusIsAnsweredWhileNegotiationsWait() throws {
        let harness = try ControlHarness((0..<20).map { ControlHarness.connection("c\($0)") })
        let starters = try (0..<20).map { _ in try harness.client() }
        for (index, starter) in starters.enumerated() {
            starter.send(TestClient.request("initiate", ["child": "c\(index)-net", "timeout": "0"]))
            #expect(try starter.arrivals(turns: 2).isEmpty, "the peer does not answer")
        }
        let client = try harness.client()
        client.send(ViciClientConnection().register("list-sa") + TestClient.request("list-sas"))
        let arrivals = try client.arrivals(22, turns: 5)
        #expect(arrivals.count == 22)
        #expect(arrivals.last == .response(ViciMessage()))
    }

    @Test func requestsInARowAreAnsweredInOrder() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        client.send((0..<200).flatMap { TestClient.request($0.isMultiple(of: 2) ? "version" : "no-such-thing") })
        let arrivals = try client.arrivals(200)
        #expect(arrivals.count == 200)
        for (index, arrival) in arrivals.enumerated() {
            #expect((arrival == .unknownCommand) == !index.isMultiple(of: 2))
        }
        #expect(!harness.server.wantsTurn)
    }

    // MARK: Floods

    /// Sends on without reading until the daemon has had enough; what it held at most.
    private func flood(_ harness: ControlHarness, _ client: TestClient, with octets: [UInt8]) -> Int {
        var largest = 0
        let block = Array(repeatElement(octets, count: max(1, 65_536 / octets.count)).joined())
        var at = 0
        for _ in 0..<5000 where !client.isClosed {
            at = (at + client.write(block[at...])) % block.count
            harness.turn()
            largest = max(largest, harness.server.clients.values.map(\.pendingOctets).max() ?? 0)
        }
        return largest
    }

    @Test func whoAsksAndNeverReadsIsGivenUp() throws {
        for octets in [TestClient.request("stats"), ViciClientConnection().register("log")] {
            let harness = try ControlHarness()
            let other = try harness.client()
            let client = try harness.client()
            let largest = flood(harness, client, with: octets)
            #expect(client.isClosed)
            #expect(largest <= ViciServerConnection.maximumOutputOctets + ViciSegments.maximumOctets)
            #expect(try other.ask("version") != nil)
        }
    }

    @Test func whoAsksOnWhileACommandRunsIsGivenUp() throws {
        let harness = try ControlHarness([ControlHarness.connection("c")])
        let client = try harness.client()
        client.send(TestClient.request("initiate", ["child": "c-net"]))
        #expect(try client.arrivals(turns: 3).isEmpty)
        // One request may wait.
        client.send(TestClient.request("version"))
        #expect(try client.arrivals(turns: 3).isEmpty)
        #expect(harness.server.clients.count == 1)
        _ = flood(
            harness, client, with: TestClient.request("version", ["padding": String(repeating: "x", count: 5000)]))
        #expect(client.isClosed)
        #expect(harness.server.clients.isEmpty)
    }

    @Test func whoFollowsTheLogAndNeverReadsIsGivenUp() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        client.send(ViciClientConnection().register("log"))
        #expect(try client.arrivals() == [.eventConfirmed])
        let line = LogLine(
            group: .ike, level: 1, connection: "c", session: nil, text: String(repeating: "x", count: 60_000))
        for _ in 0..<100 {
            harness.server.publish(line)
            harness.turn()
        }
        #expect(harness.server.clients.isEmpty)
    }

    // MARK: Waiting commands

    @Test func aClientMayGoWhileItsCommandRuns() throws {
        let harness = try ControlHarness([ControlHarness.connection("c")])
        let client = try harness.client()
        client.send(TestClient.request("initiate", ["child": "c-net", "timeout": "60000"]))
        #expect(harness.loop.manager.sessionCounts.all == 1)
        client.close()
        for _ in 0..<3 { harness.turn() }
        #expect(harness.server.clients.isEmpty)
        let other = try harness.client()
        #expect(try other.ask("terminate", ["ike": "c", "force": "yes"])?.text("success") == "yes")
        #expect(harness.loop.manager.sessionCounts.all == 0)
    }

    @Test func minusOneDoesNotWait() throws {
        let harness = try ControlHarness([ControlHarness.connection("c")])
        let client = try harness.client()
        #expect(try client.ask("initiate", ["child": "c-net", "timeout": "-1"])?.text("success") == "yes")
        #expect(harness.loop.manager.sessionCounts.all == 1)
    }

    /// A timeout of more than the clock can count was over at once.
    @Test(arguments: ["9223372036854775807", "9223372036854", "60000"])
    func aLongTimeoutIsLong(_ timeout: String) throws {
        let harness = try ControlHarness([ControlHarness.connection("c")])
        let client = try harness.client()
        client.send(TestClient.request("initiate", ["child": "c-net", "timeout": timeout]))
        for _ in 0..<5 {
            harness.loop.ring()
            #expect(try client.arrivals(turns: 1).isEmpty)
        }
    }

    @Test func anAnsweredCommandLeavesNoAlarm() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let before = harness.loop.scheduledCount
        for _ in 0..<10 {
            let answer = try client.ask("initiate", ["child": "nothing", "timeout": "60000"])
            #expect(answer?.text("success") == "no")
            #expect(answer?.text("errmsg") == "CHILD_SA config 'nothing' not found")
        }
        #expect(harness.loop.scheduledCount == before)
    }

    // MARK: Statistics

    @Test func statisticsHaveEveryKeyThatIsPrinted() throws {
        let harness = try ControlHarness([ControlHarness.connection("c")])
        let client = try harness.client()
        _ = try client.ask("initiate", ["child": "c-net", "timeout": "-1"])
        let stats = try #require(try client.ask("stats"))
        func number(_ path: String...) -> Int? {
            var section: ViciMessage? = stats
            for name in path.dropLast() { section = section?.section(name) }
            return path.last.flatMap { section?.text($0) }.flatMap { Int($0) }
        }
        #expect(stats.section("uptime")?.text("running") == "0 seconds")
        #expect(stats.section("uptime")?.text("since")?.isEmpty == false)
        #expect(number("workers", "total") == 3 && number("workers", "idle") == 2)
        for urgency in ["critical", "high", "medium", "low"] {
            #expect(number("workers", "active", urgency) == (urgency == "high" ? 1 : 0))
            #expect(number("queues", urgency) == 0)
        }
        #expect(number("scheduled") ?? 0 >= 1)
        #expect(number("ikesas", "total") == 1 && number("ikesas", "half-open") == 0)
        for key in ["sbrk", "mmap", "used", "free"] { #expect(number("mallinfo", key) != nil, "\(key)") }
        #expect(number("mallinfo", "used") ?? 0 > 0)
        #expect(stats.list("plugins").contains("ikev1"))
    }

    @Test func durationsAreSaidAsCharonSaysThem() {
        let texts = [0: "0 seconds", 1: "1 second", 119: "119 seconds", 120: "2 minutes", 7200: "2 hours"]
        for (seconds, text) in texts { #expect(StatisticsMessage.duration(Int64(seconds)) == text) }
        #expect(StatisticsMessage.duration(10 * 86_400 + 5) == "10 days")
    }
}
