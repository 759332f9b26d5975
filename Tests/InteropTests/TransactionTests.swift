import Testing

extension Interop {
    /// A reload beside live tunnels.
    @Suite struct Transactions {
        private static let scenarios = Scenario.all.filter {
            $0.pairing.initiator == .parley && $0.pairing.responder == .charon
        }

        @Test("a reload drops no tunnel that it does not touch, and can be taken back", arguments: scenarios)
        func reload(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let link = Link(scenario.version)
                try lab.load(link)
                try lab.up()
                guard let parley = lab.left as? Parley else { return }
                let (_, before) = try lab.installed(on: .left)
                var changed = link
                var other = Link.Child()
                other.name = "other"
                changed.children.append(other)
                changed.dpdDelay = 60
                let ping = try lab.pinging {
                    // Writes the file and reloads.
                    try lab.left.load(changed.configuration(of: .left))
                }
                #expect(ping.loss == 0, "\(ping)")
                #expect(try parley.swanctl(["--list-conns"]).output.contains("other: TUNNEL"))
                let plan = try parley.client(["plan"])
                #expect(plan.output.contains("nothing changes"), "\(plan)")
                let back = try parley.client(["reload", "--rollback"])
                #expect(back.succeeded && back.output.contains("- connections.net.children.other"), "\(back)")
                #expect(back.output.contains("net[1]: stays"), "\(back)")
                #expect(try !parley.swanctl(["--list-conns"]).output.contains("other: TUNNEL"))
                #expect(try lab.installed(on: .left).1.spiIn == before.spiIn)
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
