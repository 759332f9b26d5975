import Testing

extension Interop {
    /// IKE and ESP in TCP (RFC 9329) between two Parleys; charon has no TCP.
    @Suite struct Streams {
        private static let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)

        /// The left opens connections, also from behind a NAT; no UDP passes the router.
        private static func link(_ use: String, port: Int = 4500) -> Link {
            var link = Link(.v2)
            link.remoteAddress[.right] = "%any"
            link.lines[.left] = ["enable_tcp = \(use)", "tcp_remote_port = \(port)"]
            link.settings[.right] = ["  tcp_ports = 4500, 443"]
            link.settings[.left] = ["  retransmit_timeout = 0.5"]
            return link
        }

        @Test("traffic passes where UDP does not", arguments: ["yes", "fallback"], [4500, 443])
        func withoutUDP(_ use: String, _ port: Int) throws {
            try Lab.with(Self.scenario) { lab in
                try lab.network.block("udp")
                try lab.load(Self.link(use, port: port))
                try lab.up()
                for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                #expect(try lab.transfer() >= 4 << 20)
                #expect(try lab.transfer(reverse: true) >= 4 << 20)
                let (left, before) = try lab.installed(on: .left)
                #expect(left.value("remote-port") == "\(port)")
                for side in Side.allCases {
                    #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                    #expect(try lab.ping(count: 10).loss == 0)
                }
                #expect(try lab.installed(on: .left).1.spiIn != before.spiIn)
                #expect(try lab.right.rekey(ike: "net").succeeded)
                #expect(try lab.ping(count: 10).loss == 0)
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("with fallback, UDP has the session where it passes")
        func udpFirst() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.load(Self.link("fallback", port: 443))
                try lab.up()
                #expect(try lab.installed(on: .left).0.value("remote-port") == "4500")
                #expect(try lab.ping(count: 10).loss == 0)
            }
        }

        @Test("a connection that breaks is opened anew, and the SA goes on")
        func reconnects() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.network.block("udp")
                try lab.load(Self.link("yes"))
                try lab.up()
                let (before, child) = try lab.installed(on: .right)
                #expect(try lab.ping(count: 5).loss == 0)
                // Each of both ends has its connection reset by the router.
                try lab.network.resetStreams()
                _ = try lab.ping(count: 5, seconds: 2)
                _ = try lab.ping(from: .right, count: 5, seconds: 2)
                try lab.network.block("udp")
                try eventually("packets pass again", seconds: 30) { try lab.ping(count: 3).loss == 0 }
                #expect(try lab.ping(from: .right, count: 5).loss == 0)
                let (after, same) = try lab.installed(on: .right)
                #expect(after.spis == before.spis)
                #expect(same.spiIn == child.spiIn)
                // The responder's own requests find the new connection.
                #expect(try lab.right.rekey(child: "inner").succeeded)
                #expect(try lab.ping(count: 10).loss == 0)
            }
        }
    }
}
