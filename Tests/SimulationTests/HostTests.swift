import Primitives
import Simulation
import Testing

@Suite struct HostTests {
    private let left = IPAddress(v4: 0x0A01_0001)
    private let right = IPAddress(v4: 0x0A02_0001)

    @Test func pingsComeBack() throws {
        var host = EchoHost(address: right)
        var client = TransferClient(address: left, peer: right, data: [])
        for number: UInt16 in 1...3 {
            let wire = client.ping(number: number).octets
            let request = try #require(InternetPacket(wire))
            let reply = try #require(host.receive(request).first)
            _ = client.receive(try #require(InternetPacket(reply.octets)))
        }
        #expect(client.pingsAnswered == 3)
    }

    @Test(arguments: [0, 1, 1_300, 1_301, 200_000])
    func aStreamArrivesWhole(count: Int) throws {
        let data = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        var host = EchoHost(address: right)
        var client = TransferClient(address: left, peer: right, data: data)
        var toHost = client.start()
        var lost = 0
        for round in 0..<10_000 where !client.isFinished {
            if toHost.isEmpty { toHost = client.repeatUnacknowledged() }
            var toClient: [InternetPacket] = []
            for (index, packet) in toHost.enumerated() {
                // Now and then one is lost.
                if (round + index) % 17 == 5, round < 500 {
                    lost += 1
                    continue
                }
                toClient += host.receive(packet)
            }
            if round % 23 == 7, round < 500 { toClient = [] }
            toHost = toClient.flatMap { client.receive($0) }
        }
        #expect(client.isFinished)
        #expect(host.received == count)
        #expect(host.sum == client.sum)
        #expect(count < 100_000 || lost > 0)
    }

    @Test func damagedPacketsAreNotTaken() {
        let octets = TransferClient(address: left, peer: right, data: []).ping(number: 1).octets
        for index in octets.indices {
            var damaged = octets
            damaged[index] ^= 0x10
            var host = EchoHost(address: right)
            let answer = InternetPacket(damaged).map { host.receive($0) } ?? []
            #expect(answer.isEmpty, "octet \(index)")
        }
    }
}
