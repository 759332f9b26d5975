import Testing

extension Interop {
    /// A gateway that dies without a word and comes back with nothing but its secret: its client learns it at once (RFC 6290)
    /// and goes on with its ticket (RFC 5723). charon knows neither.
    @Suite struct Recovery {
        private static let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v2)

        private static var link: Link {
            var link = Link(.v2)
            link.dpdDelay = 2
            link.further = ["resumption = yes"]
            link.children[0].further = ["dpd_action = restart"]
            // One whole schedule of retransmissions would take longer than the test waits.
            link.settings[.left] = ["  retransmit_timeout = 20"]
            return link
        }

        @Test("a gateway that was killed is resumed as soon as it is back")
        func killed() throws {
            try Lab.with(Self.scenario) { lab in
                let gateway = try #require(lab.right as? Parley)
                gateway.options = ["--state", lab.directory.appendingPathComponent("state").path]
                try lab.load(Self.link)
                try lab.up()
                let before = try lab.installed(on: .left).0
                #expect(try lab.ping(count: 5).loss == 0)
                gateway.kill()
                try gateway.load(Self.link.configuration(of: .right))
                try eventually("packets pass again", seconds: 15) { try lab.ping(count: 3).loss == 0 }
                #expect(try lab.installed(on: .left).0.spis != before.spis)
                #expect(lab.left.log.contains("the peer shows that it has lost the IKE SA"))
                for side in Side.allCases { #expect(lab.peer(side).log.contains("resumed with a ticket")) }
            }
        }

    }
}
