import Testing

extension Interop {
    @Suite struct Ends {
        @Test("a delete by either side empties both", arguments: Scenario.all, Side.allCases)
        func delete(_ scenario: Scenario, by side: Side) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try lab.up()
                #expect(try lab.peer(side).down(child: "inner").succeeded)
                for each in Side.allCases {
                    try eventually("no child on the \(each.rawValue)") {
                        try lab.peer(each).securityAssociations().flatMap(\.children).isEmpty
                    }
                }
                // The IKE SA, where it stayed, serves a new child.
                try lab.up()
                #expect(try lab.ping().loss == 0)
                #expect(try lab.peer(side).down(ike: "net").succeeded)
                try lab.awaitEmpty()
                #expect(try lab.ping(seconds: 0.5).received == 0)
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("a dead path ends the SA on both sides", arguments: Scenario.all)
        func deadPeer(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.dpdDelay = 1
                try lab.load(link)
                try lab.up()
                // Liveness checks alone do not end it: after more than two periods it is the same SA.
                let (before, _) = try lab.installed(on: .left)
                #expect(try lab.ping(count: 25, interval: 0.1).loss == 0)
                #expect(try lab.installed(on: .left).0.spis == before.spis)
                try lab.network.cut(true)
                try lab.awaitEmpty(seconds: 60)
                try lab.network.cut(false)
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("a killed peer is noticed, and a new one served", arguments: Scenario.all, Side.allCases)
        func killedPeer(_ scenario: Scenario, _ side: Side) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.dpdDelay = 1
                try lab.load(link)
                try lab.up()
                lab.peer(side).kill()
                try lab.awaitEmpty(seconds: 60, sides: [side.other])
                try lab.load(link)
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("a daemon that ends tells its peer", arguments: Scenario.all)
        func shutdown(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try lab.up()
                lab.left.stop()
                try lab.awaitEmpty(sides: [.right])
            }
        }
    }
}
