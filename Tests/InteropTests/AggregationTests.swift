import Foundation
import Testing

extension Interop {
    /// Tunnels whose packets share payloads and are cut over them (RFC 9347), between two Parleys: Debian's charon has none.
    @Suite struct Aggregations {
        private static let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)
        /// Octets of outer packets, much smaller than what passes.
        private static let packetOctets = 576

        private static func link(_ settings: String = "packet_size = \(packetOctets)") -> Link {
            var link = Link(.v2)
            link.children[0].further = ["mode = iptfs"]
            for side in Side.allCases { link.settings[side] = ["  iptfs {\n    \(settings)\n  }"] }
            return link
        }

        /// What both ends say of their child, and that they agree on what went from one to the other.
        private static func agree(_ lab: Lab) throws {
            for side in Side.allCases {
                try eventually("what the \(side.rawValue) sent has come") {
                    let (own, peer) = (try lab.installed(on: side).1, try lab.installed(on: side.other).1)
                    return own.count("packets-out") == peer.count("packets-in")
                        && own.count("bytes-out") == peer.count("bytes-in")
                }
            }
        }

        @Test("packets of all sizes pass, large ones in pieces, also over rekeying")
        func passes() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.load(Self.link())
                let recording = try lab.recording {
                    try lab.up()
                    for side in Side.allCases {
                        let view = try lab.installed(on: side).1
                        #expect(view.value("mode") == "IPTFS")
                        #expect(view.value("mtu-path") == "1500")
                        #expect(try lab.ping(from: side, count: 20).loss == 0)
                        // A ping of 1,428 octets, which three outer packets carry.
                        let large = try Subprocess.run(
                            lab.network.on(
                                side,
                                ["ping", "-n", "-c", "20", "-i", "0.01", "-W", "2", "-s", "1400", "-M", "do"]
                                    + ["-I", side.innerAddress, side.other.innerAddress]))
                        #expect(large.output.contains("20 received"), "\(large)")
                    }
                    #expect(try lab.transfer() >= 4 << 20)
                    #expect(try lab.transfer(reverse: true) >= 4 << 20)
                    for side in Side.allCases {
                        let before = try lab.installed(on: side).1.spiIn
                        let pings = try lab.pinging {
                            #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                            try eventually("a new child") { try lab.installed(on: side).1.spiIn != before }
                        }
                        #expect(pings.loss == 0, "\(pings)")
                        #expect(try lab.installed(on: side).1.value("mode") == "IPTFS")
                    }
                    try Self.agree(lab)
                }
                let lengths = recording.lengths(of: .espInUDP)
                #expect(lengths.allSatisfy { $0 <= Self.packetOctets }, "\(lengths.max() ?? 0)")
                #expect(lengths.contains(Self.packetOctets) || lengths.contains(Self.packetOctets - 1))
                #expect(recording.strangers.isEmpty && !recording.contains(Lab.pattern))
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        /// Both daemons' views of a child agree after traffic through it.
        @Test("small packets share payloads")
        func shares() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.load(Self.link("packet_size = 0"))
                try lab.up()
                let program = lab.directory.appendingPathComponent("receive.py")
                try """
                import socket
                taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                taker.bind(("\(Side.right.innerAddress)", 9000))
                taker.settimeout(20)
                print("listening", flush=True)
                seen = set()
                while len(seen) < 200: seen.add(taker.recv(100))
                print("all came", flush=True)
                """.write(to: program, atomically: true, encoding: .utf8)
                let receiver = try Subprocess(
                    lab.network.on(.right, ["python3", program.path]),
                    outputPath: lab.directory.appendingPathComponent("receiver"))
                defer { receiver.stop() }
                try eventually("the receiver listens") { receiver.output.contains("listening") }
                let recording = try lab.recording {
                    // The packets wait in the device's queue, and are there together when the daemon goes on.
                    lab.left.process?.signal(SIGSTOP)
                    defer { lab.left.process?.signal(SIGCONT) }
                    try Subprocess.require(
                        lab.network.on(
                            .left,
                            [
                                "python3", "-c",
                                """
                                import socket
                                giver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                                giver.bind(("\(Side.left.innerAddress)", 9001))
                                for number in range(200):
                                    giver.sendto(b"%020d" % number, ("\(Side.right.innerAddress)", 9000))
                                """,
                            ]))
                    lab.left.process?.signal(SIGCONT)
                    try eventually("all have come", seconds: 20) { receiver.output.contains("all came") }
                }
                // 200 packets of 48 octets take seven payloads; each reading of the queue ends one that is not full.
                let packets = recording.kinds[.espInUDP, default: 0]
                #expect(packets >= 7 && packets <= 40, "\(packets)")
                try Self.agree(lab)
                #expect(try lab.installed(on: .right).1.count("packets-in") == 200)
                #expect(try lab.installed(on: .right).1.count("bytes-in") == 200 * 48)
            }
        }

        @Test("what loses a piece of it is lost, and nothing else")
        func losses() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.load(Self.link())
                try lab.up()
                try lab.network.lose(oneIn: 20)
                // TCP gets through, and what it got is whole.
                #expect(try lab.transfer() >= 4 << 20)
                let pings = try lab.ping(count: 100, seconds: 20)
                #expect(pings.received >= 100)
                // Each echo is a packet of its own, there and back: one in ten or so.
                #expect(pings.loss < pings.sent / 5, "\(pings)")
                try lab.network.cut(false)
                #expect(try lab.ping(count: 20).loss == 0)
            }
        }

        /// Nothing on the wire tells what is inside: as many packets of the same size whether there is traffic or none.
        @Test(
            "packets at a constant rate, of a constant size, as fast as the path takes them",
            arguments: ["", "congestion_control = yes"])
        func constantRate(_ control: String) throws {
            try Lab.with(Self.scenario) { lab in
                let rate = "packet_size = \(Self.packetOctets)\npacket_rate = 400\nmax_queue_size = 65536"
                try lab.load(Self.link("\(rate)\n\(control)"))
                var quiet = 0
                let recording = try lab.recording {
                    try lab.up()
                    try lab.watching { wire in
                        try eventually("packets without traffic") {
                            quiet = try wire.recorded().kinds[.espInUDP, default: 0]
                            return quiet > 200
                        }
                    }
                    for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                    let before = try lab.installed(on: .left).1.spiIn
                    #expect(try lab.left.rekey(child: "inner").succeeded)
                    try eventually("a new child") { try lab.installed(on: .left).1.spiIn != before }
                    #expect(try lab.ping(count: 20).loss == 0)
                }
                #expect(Set(recording.lengths(of: .espInUDP)).count == 1)
                #expect(quiet > 200)
                try Self.agree(lab)
            }
        }

        /// The left asks to be told, and the right has no rate of its own: it reports, and the left goes faster.
        @Test("one end asks what the path does, and keeps to it")
        func oneEndControls() throws {
            try Lab.with(Self.scenario) { lab in
                var link = Self.link("packet_size = 0")
                link.settings[.left] = ["  iptfs {\n    packet_rate = 2000\n    congestion_control = yes\n  }"]
                try lab.load(link)
                try lab.up()
                #expect(try lab.installed(on: .right).1.value("mode") == "IPTFS")
                // It begins with eight packets a second, and would never get as far without answers.
                try lab.watching { wire in
                    try eventually("hundreds of packets", seconds: 20) {
                        try wire.recorded().kinds[.espInUDP, default: 0] > 2000
                    }
                }
                for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                try lab.network.lose(oneIn: 10)
                #expect(try lab.ping(count: 20, seconds: 30).received >= 20)
                try lab.network.cut(false)
                #expect(try lab.right.rekey(child: "inner").succeeded)
                #expect(try lab.ping(count: 5, seconds: 20).received >= 5)
            }
        }

        @Test("an end without it gets an ordinary tunnel", arguments: Side.allCases)
        func oneEndAlone(_ side: Side) throws {
            for other in [Implementation.parley, .charon] {
                let pairing = side == .left ? Pairing(.parley, other) : Pairing(other, .parley)
                try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                    var link = Link(.v2)
                    try lab.peer(side.other).load(link.configuration(of: side.other))
                    link.children[0].further = ["mode = iptfs"]
                    try lab.peer(side).load(link.configuration(of: side))
                    try lab.up()
                    for end in Side.allCases {
                        #expect(try lab.installed(on: end).1.value("mode") == "TUNNEL")
                        #expect(try lab.ping(from: end, count: 10).loss == 0)
                    }
                    #expect(try lab.right.rekey(child: "inner").succeeded)
                    #expect(try lab.ping(count: 10).loss == 0)
                }
            }
        }
    }
}
