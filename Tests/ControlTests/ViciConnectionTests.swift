import Control
import Primitives
import Testing

@Suite struct ViciConnectionTests {
    private func segment(_ packet: ViciPacket) throws -> [UInt8] { try #require(packet.segment) }

    @Test func numbersThePackets() throws {
        let message: ViciMessage = ["k": "v"]
        let packets: [(ViciPacket, String)] = [
            (.request(command: "version", message), "000776657273696f6e03016b000176"),
            (.response(message), "0103016b000176"), (.unknownCommand, "02"),
            (.register(event: "log"), "03036c6f67"), (.unregister(event: "log"), "04036c6f67"),
            (.eventConfirmed, "05"), (.unknownEvent, "06"), (.event("log", message), "07036c6f6703016b000176"),
        ]
        for (packet, hex) in packets {
            #expect(packet.octets.hex == hex)
            #expect(try ViciPacket(parsing: packet.octets[...]) == packet)
            for count in 0..<packet.octets.count {
                // No beginning of a packet is taken for the whole, except where the message just has fewer entries.
                if let read = try? ViciPacket(parsing: packet.octets[..<count]) { #expect(read != packet) }
            }
        }
        #expect(throws: ParseError.self) { try ViciPacket(parsing: [8][...]) }
        #expect(throws: ParseError.self) { try ViciPacket(parsing: [2, 0][...]) }
        #expect(throws: ParseError.self) { try ViciPacket(parsing: [3, 1, 65, 0][...]) }
        #expect(throws: ParseError.self) { try ViciPacket(parsing: [][...]) }
    }

    @Test func talksOctetByOctet() throws {
        var server = ViciServerConnection(events: ["list-sa"])
        let client = ViciClientConnection()
        let request = try #require(client.request("list-sas", ["ike": "home"]))
        var demands: [ViciServerConnection.Demand] = []
        for octet in client.register("list-sa") + client.register("nonsense") + request {
            demands += try server.receive([octet])
        }
        #expect(demands == [.request(command: "list-sas", ["ike": "home"])])
        #expect(server.subscriptions == ["list-sa"])

        server.publish("list-sa", ["a": "1"])
        server.publish("log", ["msg": "not asked for"])
        server.respond(["success": "yes"])
        server.refuseCommand()
        var arrivals: [ViciClientConnection.Arrival] = []
        var receiver = client
        for octet in server.takeOutput() { arrivals += try receiver.receive([octet]) }
        #expect(
            arrivals == [
                .eventConfirmed, .unknownEvent, .event("list-sa", ["a": "1"]), .response(["success": "yes"]),
                .unknownCommand,
            ])
        #expect(server.pendingOutput.isEmpty)
    }

    @Test func unsubscribes() throws {
        var server = ViciServerConnection(events: ["log"])
        let client = ViciClientConnection()
        _ = try server.receive(client.register("log") + client.unregister("log") + client.unregister("log"))
        #expect(server.takeOutput() == [0, 0, 0, 1, 5, 0, 0, 0, 1, 5, 0, 0, 0, 1, 6])
        server.publish("log", [:])
        #expect(server.takeOutput().isEmpty)
    }

    @Test func refusesALargeSegmentBeforeItArrives() throws {
        var server = ViciServerConnection(events: [])
        #expect(throws: ViciError.oversized(524_289)) { try server.receive([0, 8, 0, 1]) }
        var fine = ViciServerConnection(events: [])
        #expect(try fine.receive([0, 8, 0, 0, 0]) == [])
        var huge = ViciMessage()
        for index in 0..<10 { huge.add("k\(index)", String(repeating: "x", count: 60_000)) }
        #expect(ViciPacket.response(huge).segment == nil)
        fine.respond(huge)
        guard case .response(let answer) = try ViciPacket(parsing: fine.takeOutput().dropFirst(4)) else {
            Issue.record("no response")
            return
        }
        #expect(answer.text("success") == "no")
        #expect(answer.text("errmsg")?.isEmpty == false)
    }

    @Test func refusesWhatTheOtherSideNeverSends() throws {
        var server = ViciServerConnection(events: [])
        let response = try segment(.response([:]))
        #expect(throws: ViciError.self) { try server.receive(response) }
        var client = ViciClientConnection()
        let request = try segment(.request(command: "version", [:]))
        #expect(throws: ViciError.self) { try client.receive(request) }
    }

    @Test func malformedPacketsEndTheConnection() {
        var server = ViciServerConnection(events: [])
        #expect(throws: ViciError.malformed(.invalid(offset: 4, rule: "a packet's type is 0 to 7"))) {
            try server.receive([0, 0, 0, 1, 9])
        }
        var empty = ViciServerConnection(events: [])
        #expect(throws: ViciError.self) { try empty.receive([0, 0, 0, 0]) }
    }

    @Test func manySegmentsKeepTheBufferSmall() throws {
        var segments = ViciSegments()
        let packet = ViciPacket.event("log", ["msg": String(repeating: "m", count: 1000)])
        let octets = try segment(packet)
        for _ in 0..<2000 {
            segments.append(octets)
            segments.append(octets.prefix(3))
            #expect(try segments.next() == packet)
            segments.append(octets.dropFirst(3))
            #expect(try segments.next() == packet)
            #expect(segments.pendingOctets == 0)
        }
    }

    @Test func countsWhatAClientLeavesUnread() throws {
        var server = ViciServerConnection(events: ["log"])
        _ = try server.receive(ViciClientConnection().register("log"))
        let line: ViciMessage = ["msg": String(repeating: "m", count: 60_000)]
        let lines = ViciServerConnection.maximumOutputOctets / 60_000
        for _ in 0..<(lines - 1) { server.publish("log", line) }
        // Asked outside of the expectation, which would print what is pending.
        let isEarly = server.isOverrun
        #expect(!isEarly)
        for _ in 0..<2 { server.publish("log", line) }
        let isOverrun = server.isOverrun
        #expect(isOverrun)
        server.wrote(.max)
        #expect(server.pendingOutput.isEmpty)
    }

    /// One request is held back while another runs; what comes after that waits as octets, and not without end.
    @Test func takesRequestsOneByOne() throws {
        var server = ViciServerConnection(events: ["log"])
        let request = try segment(.request(command: "version", ["k": String(repeating: "v", count: 60_000)]))
        try server.take(request + request + ViciClientConnection().register("log"))
        #expect(try server.nextDemand() != nil)
        #expect(server.takeOutput().isEmpty)
        #expect(try server.nextDemand() != nil)
        #expect(try server.nextDemand() == nil)
        #expect(server.subscriptions == ["log"])
        let room = ViciServerConnection.maximumInputOctets / request.count
        for _ in 0..<room { try server.take(request) }
        #expect(throws: ViciError.self) { try server.take(request) }
    }
}
