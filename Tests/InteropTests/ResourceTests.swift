import Foundation
import Testing

extension Interop {
    /// A pair of SAs for each packet worker (RFC 9611), between two Parleys: Debian's charon knows none.
    @Suite struct Resources {
        private static let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)
        /// Workers of the initiator, which count.
        private static let workers = 3

        private static func link() -> Link {
            var link = Link(.v2)
            link.children[0].further = ["per_cpu_sas = yes"]
            link.settings = [.left: ["  packet_workers = \(workers)"], .right: ["  packet_workers = 2"]]
            return link
        }

        private static func children(_ lab: Lab, _ side: Side) throws -> [ChildSAView] {
            try lab.peer(side).securityAssociations().flatMap(\.children).filter { $0.state == "INSTALLED" }
        }

        private static func awaitChildren(_ lab: Lab, _ count: Int, seconds: Double = 15) throws {
            for side in Side.allCases {
                try eventually("\(count) children on the \(side.rawValue)", seconds: seconds) {
                    try children(lab, side).count == count
                }
            }
        }

        /// Many flows from the left to the right and back: each of 64 sockets sends 25 packets, and all are answered.
        private static func carryFlows(_ lab: Lab) throws {
            let server = lab.directory.appendingPathComponent("server.py")
            try """
            import socket
            taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            taker.bind(("\(Side.right.innerAddress)", 9000))
            print("listening", flush=True)
            while True:
                data, sender = taker.recvfrom(2000)
                taker.sendto(data, sender)
            """.write(to: server, atomically: true, encoding: .utf8)
            let client = lab.directory.appendingPathComponent("client.py")
            try """
            import socket
            flows = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(64)]
            for flow in flows:
                flow.bind(("\(Side.left.innerAddress)", 0))
                flow.settimeout(10)
            for number in range(25):
                for flow in flows: flow.sendto(b"%d" % number + bytes(400), ("\(Side.right.innerAddress)", 9000))
                for flow in flows: assert flow.recv(2000).startswith(b"%d" % number)
            """.write(to: client, atomically: true, encoding: .utf8)
            let echoing = try Subprocess(
                lab.network.on(.right, ["python3", server.path]),
                outputPath: lab.directory.appendingPathComponent("server-\(UUID().uuidString.prefix(8))"))
            defer { echoing.stop() }
            try eventually("the server listens") { echoing.output.contains("listening") }
            try Subprocess.require(lab.network.on(.left, ["python3", client.path]), seconds: 60)
        }

        /// Packets of each child in a direction, and the sum.
        private static func counts(_ lab: Lab, _ side: Side, _ direction: String) throws -> [Int] {
            try children(lab, side).map { $0.count("packets-\(direction)") }
        }

        @Test("flows spread over SAs, which are rekeyed and deleted one by one")
        func spreads() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.load(Self.link())
                try lab.up()
                try Self.awaitChildren(lab, Self.workers)
                for side in Side.allCases {
                    let children = try Self.children(lab, side)
                    #expect(Set(children.map { $0.value("reqid") }).count == 1)
                    #expect(children.allSatisfy { $0.value("per-cpu-sas") == "yes" })
                    #expect(Set(children.map { $0.value("cpu") }) == [nil, "1", "2"])
                    #expect(Set(children.map(\.localSelectors)).count == 1)
                }
                try Self.carryFlows(lab)
                try eventually("all are counted") { try Self.counts(lab, .left, "out").reduce(0, +) == 64 * 25 }
                let sent = try Self.counts(lab, .left, "out")
                #expect(sent.allSatisfy { $0 > 0 }, "\(sent)")
                let answered = try Self.counts(lab, .right, "out")
                #expect(answered.reduce(0, +) == 64 * 25 && answered.filter { $0 > 0 }.count >= 2, "\(answered)")
                #expect(try Self.counts(lab, .right, "in").reduce(0, +) == 64 * 25)
                #expect(try lab.transfer() >= 4 << 20)

                // All of them are replaced, from either end, and nothing is lost.
                for side in Side.allCases {
                    let before = Set(try Self.children(lab, .left).map(\.spiIn))
                    let pings = try lab.pinging {
                        #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                        try eventually("all are new", seconds: 20) {
                            let now = Set(try Self.children(lab, .left).map(\.spiIn))
                            return now.count == Self.workers && now.isDisjoint(with: before)
                        }
                    }
                    #expect(pings.loss == 0, "\(pings)")
                    try Self.awaitChildren(lab, Self.workers)
                    for end in Side.allCases {
                        #expect(Set(try Self.children(lab, end).map { $0.value("cpu") }) == [nil, "1", "2"])
                    }
                    try Self.carryFlows(lab)
                }
                #expect(try lab.right.rekey(ike: "net").succeeded)
                try Self.awaitChildren(lab, Self.workers)

                // With one gone the others carry its flows.
                let gone = try #require(try Self.children(lab, .left).first { $0.value("cpu") == "1" })
                #expect(
                    try lab.left.swanctl(["--terminate", "--child-id", gone.uniqueID, "--timeout", "10"]).succeeded)
                try Self.carryFlows(lab)
                #expect(try lab.left.down(child: "inner").succeeded)
                try Self.awaitChildren(lab, 0)
                try lab.up()
                try Self.awaitChildren(lab, Self.workers)
                try Self.carryFlows(lab)
            }
        }

        @Test("an end without it has one child", arguments: Side.allCases)
        func oneEndAlone(_ side: Side) throws {
            for other in [Implementation.parley, .charon] {
                let pairing = side == .left ? Pairing(.parley, other) : Pairing(other, .parley)
                try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                    var plain = Link(.v2)
                    if other == .parley { plain.settings = Self.link().settings }
                    try lab.peer(side.other).load(plain.configuration(of: side.other))
                    try lab.peer(side).load(Self.link().configuration(of: side))
                    try lab.up()
                    try Self.carryFlows(lab)
                    for end in Side.allCases {
                        #expect(try Self.children(lab, end).count == 1)
                        #expect(try Self.children(lab, end)[0].value("per-cpu-sas") == nil)
                    }
                    #expect(try lab.right.rekey(child: "inner").succeeded)
                    try Self.carryFlows(lab)
                    #expect(try lab.installed(on: side).1.value("cpu") == nil)
                }
            }
        }
    }
}
