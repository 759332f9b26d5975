import Testing

extension Interop {
    /// Clones of IKE SAs (RFC 7791) between two daemons. No other implementation at hand has them.
    @Suite struct Clones {
        private static let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)

        private static var link: Link {
            var link = Link(.v2)
            link.further = ["clones = 2", "mobike = yes"]
            link.localAddress[.left] = "%any"
            link.remoteAddress[.right] = "%any"
            var other = Link.Child()
            other.name = "other"
            other.selectors = [.left: Side.left.strangerPrefix, .right: Side.right.strangerPrefix]
            link.children.append(other)
            return link
        }

        /// Echoes between the networks of the second child.
        private static func pingOther(_ lab: Lab) throws -> Lab.PingResult {
            try lab.ping(source: Side.left.strangerAddress, target: Side.right.strangerAddress)
        }

        @Test("a clone goes by a device of its own, and outlives the SA that it was made of")
        func twoWays() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.network.addSecondUplink()
                try lab.network.routeBySource()
                try lab.load(Self.link)
                try lab.up()
                let first = try lab.installed(on: .left).0
                let left = try #require(lab.left as? Parley)
                let clone = try left.client(["clone", "net", "--local", Network.secondAddress, "--child", "other"])
                #expect(clone.succeeded, "\(clone)")
                let recording = try lab.recording {
                    let losses = try [lab.ping(count: 10).loss, Self.pingOther(lab).loss]
                    #expect(losses == [0, 0])
                }
                for side in Side.allCases {
                    let (ike, _) = try lab.installed("other", on: side)
                    #expect(ike.spis != first.spis)
                    #expect(ike.value(side == .left ? "local-host" : "remote-host") == Network.secondAddress)
                    #expect(try lab.installed(on: side).0.spis == first.spis)
                }
                // Each child's packets take their own way.
                for source in [[192, 0, 2, 2], [203, 0, 113, 2]] as [[UInt8]] {
                    #expect(recording.packets.count { Array($0.dropFirst(12).prefix(4)) == source } >= 3, "\(source)")
                }
                #expect(try lab.left.swanctl(["--terminate", "--ike-id", first.uniqueID]).succeeded)
                try eventually("one IKE SA is left on the right") {
                    try !lab.right.securityAssociations().map(\.spis).contains(first.spis)
                }
                #expect(try Self.pingOther(lab).loss == 0)
                #expect(try lab.left.rekey(ike: "net").succeeded && lab.right.rekey(child: "other").succeeded)
                #expect(try Self.pingOther(lab).loss == 0)
                #expect(try lab.right.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("a second child with the same selectors loses nothing, whoever asks for it", arguments: Side.allCases)
        func sameSelectors(_ side: Side) throws {
            try Lab.with(Self.scenario) { lab in
                try lab.load(Self.link)
                try lab.up()
                let asking = try #require(lab.peer(side) as? Parley)
                let result = try lab.pinging {
                    for count in 2...3 {
                        let clone = try asking.client(["clone", "net", "--child", "inner"])
                        #expect(clone.succeeded, "\(clone)")
                        for end in Side.allCases {
                            try eventually("\(count) children on the \(end.rawValue)") {
                                try lab.peer(end).securityAssociations().flatMap(\.children)
                                    .count { $0.state == "INSTALLED" } == count
                            }
                        }
                    }
                    let first = try #require(try lab.left.securityAssociations().first?.uniqueID)
                    #expect(try lab.left.swanctl(["--rekey", "--ike-id", first]).succeeded)
                }
                #expect(result.sent > 40 && result.loss == 0, "\(result)")
            }
        }
    }
}
