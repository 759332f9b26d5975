import Testing

/// How packets are protected between two daemons of this repository: what strongSwan's userspace ESP does not have, and so
/// cannot judge. `scripts/kernel-lab` holds the same against the Linux kernel.
extension Interop {
    @Suite struct Protection {
        private static let scenarios = Version.allCases.map {
            Scenario(pairing: Pairing(.parley, .parley), version: $0)
        }

        /// One kind of protection: the child's lines, and the IP protocol that an observer sees.
        private struct Kind {
            var name: String
            var esp: String
            var further: [String] = []
            var connection: [String] = []
            var isTransport = false
            /// 17 is UDP.
            var ipProtocol: UInt8
        }

        private static let kinds = [
            Kind(name: "bare ESP", esp: "aes256gcm16", connection: ["encap = no"], ipProtocol: 50),
            Kind(
                name: "bare ESP, extended numbers", esp: "aes128-sha256-esn", further: ["replay_window = 65536"],
                connection: ["encap = no"], ipProtocol: 50),
            Kind(name: "AH", esp: "", further: ["ah_proposals = sha256"], ipProtocol: 51),
            Kind(
                name: "AH, transport mode", esp: "", further: ["ah_proposals = sha1-esn", "mode = transport"],
                isTransport: true, ipProtocol: 51),
            Kind(
                name: "ESP, transport mode", esp: "aes128gcm16", further: ["mode = transport"],
                connection: ["encap = no"], isTransport: true, ipProtocol: 50),
            Kind(
                name: "ESP in UDP, transport mode", esp: "aes256-sha512", further: ["mode = transport"],
                isTransport: true, ipProtocol: 17),
        ]

        @Test("AH, bare ESP and transport mode carry packets both ways", arguments: scenarios)
        func everyKind(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                for kind in Self.kinds {
                    var link = Link(scenario.version)
                    link.further = kind.connection
                    link.children[0].proposals = [.left: kind.esp, .right: kind.esp]
                    link.children[0].further = kind.further
                    if kind.isTransport { link.children[0].selectors = [.left: "dynamic", .right: "dynamic"] }
                    try lab.load(link)
                    try lab.up()
                    let recording = try lab.recording {
                        for side in Side.allCases {
                            let result =
                                kind.isTransport
                                ? try lab.ping(
                                    from: side, source: side.outerAddress, target: side.other.outerAddress)
                                : try lab.ping(from: side)
                            #expect(result.loss == 0, "\(kind.name) from the \(side.rawValue): \(result)")
                        }
                    }
                    let protocols = Set(recording.packets.filter { $0.count > 9 }.map { $0[$0.startIndex + 9] })
                    #expect(protocols.contains(kind.ipProtocol), "\(kind.name): \(protocols)")
                    #expect(!protocols.contains(1), "\(kind.name): an echo in the clear")
                    #expect(recording.contains(Lab.pattern) == (kind.ipProtocol == 51), "\(kind.name): what shows")
                    let (_, child) = try lab.installed(on: .left)
                    #expect(child.value("protocol") == (kind.ipProtocol == 51 ? "AH" : "ESP"))
                    #expect(child.value("mode") == (kind.isTransport ? "TRANSPORT" : "TUNNEL"))
                    #expect(try lab.left.down(ike: "net").succeeded)
                    try lab.awaitEmpty()
                }
            }
        }

        /// No peer is left that negotiates both: two of our own.
        @Test("ESP inside AH, negotiated together", arguments: ["tunnel", "transport"])
        func bundles(mode: String) throws {
            let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v1)
            let isTransport = mode == "transport"
            try Lab.with(scenario) { lab in
                var link = Link(.v1)
                link.children[0].proposals = [.left: "aes256-sha256-ecp256", .right: "aes256-sha256-ecp256"]
                link.children[0].further = ["ah_proposals = sha512-ecp256", "bundle = yes", "mode = \(mode)"]
                if isTransport { link.children[0].selectors = [.left: "dynamic", .right: "dynamic"] }
                try lab.load(link)
                try lab.up()
                let recording = try lab.recording {
                    for side in Side.allCases {
                        let result =
                            isTransport
                            ? try lab.ping(from: side, source: side.outerAddress, target: side.other.outerAddress)
                            : try lab.ping(from: side)
                        #expect(result.loss == 0, "\(result)")
                    }
                }
                let ip = recording.packets.filter { $0.count > 40 }.map { Array($0) }
                #expect(!ip.contains { $0[9] == 1 || $0[9] == 50 }, "nothing goes without AH")
                let inside = ip.filter { $0[9] == 51 }.map { $0[20] }
                #expect(inside.count >= 4 && Set(inside) == [50], "AH's next header is ESP: \(inside)")
                #expect(!recording.contains(Lab.pattern))
                let (_, child) = try lab.installed(on: .left)
                #expect(child.value("protocol") == "ESP" && child.value("ah-integ-alg") == "HMAC_SHA2_512_256")
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("a trap keeps the first packet and sets its child up; pass and drop do what they say")
        func policies() throws {
            let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                link.children[0].further = ["start_action = trap"]
                var drop = Link.Child()
                drop.name = "nowhere"
                drop.selectors = [.left: Side.left.strangerPrefix, .right: Side.right.strangerPrefix]
                drop.further = ["mode = drop", "start_action = trap"]
                var pass = Link.Child()
                pass.name = "clear"
                pass.selectors = [
                    .left: "\(Side.left.outerAddress)/32[icmp]", .right: "\(Side.right.outerAddress)/32[icmp]",
                ]
                pass.further = ["mode = pass", "start_action = trap"]
                link.children += [drop, pass]
                try lab.load(link)
                #expect(try lab.left.securityAssociations().isEmpty)
                // The very first echo is answered, late: it waited for its SA.
                let first = try lab.ping(count: 3, interval: 0.2)
                #expect(first.loss == 0, "\(first)")
                _ = try lab.installed(on: .left)
                let dropped = try lab.ping(
                    count: 1, interval: 0.05, source: Side.left.strangerAddress, target: Side.right.strangerAddress,
                    seconds: 0.5)
                #expect(dropped.received == 0)
                let recording = try lab.recording {
                    let clear = try lab.ping(source: Side.left.outerAddress, target: Side.right.outerAddress)
                    #expect(clear.loss == 0)
                }
                #expect(recording.contains(Lab.pattern), "it passes by the tunnel")
            }
        }

        @Test("the next start takes back what a killed daemon left in the kernel")
        func remains() throws {
            let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)
            try Lab.with(scenario) { lab in
                func kernel() throws -> String {
                    try ["-4", "-6"].flatMap { family in
                        try [["rule"], ["route", "show", "table", "all"], ["addr"]].map {
                            try Subprocess.require(lab.network.on(.left, ["ip", family] + $0))
                        }
                    }.joined().replacingOccurrences(of: " [^ ]*lft [^ ]*", with: "", options: .regularExpression)
                }
                // Another program's, with our priority.
                for family in ["-4", "-6"] {
                    _ = try Subprocess.require(
                        lab.network.on(
                            .left,
                            ["ip", family, "rule", "add", "priority", "219", "fwmark", "7", "lookup", "main"]))
                }
                let before = try kernel()
                var link = Link(.v2)
                var pass = Link.Child()
                pass.name = "clear"
                pass.selectors = [
                    .left: "\(Side.left.outerAddress)/32[tcp/80], fd00:7::/64",
                    .right: "\(Side.right.outerAddress)/32[tcp/1024-2048], fd00:8::/64",
                ]
                pass.further = ["mode = pass", "start_action = trap"]
                var drop = Link.Child()
                drop.name = "nowhere"
                drop.selectors = [.left: Side.left.strangerPrefix, .right: Side.right.strangerPrefix]
                drop.further = ["mode = drop", "start_action = trap"]
                link.children += [pass, drop]
                try lab.load(link)
                try lab.up()
                let during = try kernel()
                #expect(during.split(separator: "\n").count { $0.hasPrefix("219:") } == 4, "\(during)")
                #expect(during.split(separator: "\n").count { $0.hasPrefix("220:") } >= 1, "\(during)")
                lab.left.kill()
                #expect(try kernel().split(separator: "\n").count { $0.hasPrefix("219:") } == 4, "rules outlive it")
                // The next start has nothing to do with these policies.
                try lab.left.load("")
                let after = try kernel()
                #expect(!after.split(separator: "\n").contains { $0.hasPrefix("220:") }, "\(after)")
                #expect(!after.contains("table 220"), "\(after)")
                #expect(after.split(separator: "\n").count { $0.hasPrefix("219:") } == 2, "\(after)")
                lab.left.stop()
                #expect(try kernel() == before)
            }
        }

        @Test("an SA that has carried its octets or packets is replaced without a gap")
        func countedLifetimes() throws {
            let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                link.children[0].further = ["rekey_packets = 20", "life_packets = 100000", "rand_packets = 0"]
                try lab.load(link)
                try lab.up()
                let (_, before) = try lab.installed(on: .left)
                let result = try lab.pinging {
                    try eventually("a successor") {
                        try lab.installed(on: .left).1.uniqueID != before.uniqueID
                    }
                }
                #expect(result.loss == 0, "\(result)")
            }
        }
    }
}
