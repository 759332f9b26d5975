import Testing

extension Interop {
    @Suite struct Rekey {
        @Test("a child rekeyed by either side loses no packet", arguments: Scenario.all, Side.allCases)
        func child(_ scenario: Scenario, by side: Side) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try lab.up()
                let (ike, before) = try lab.installed(on: side)
                let result = try lab.pinging {
                    for _ in 0..<2 {
                        let (_, old) = try lab.installed(on: side)
                        let answer = try lab.peer(side).rekey(child: "inner")
                        guard answer.succeeded else { throw LabFailure(answer.description) }
                        try eventually("a new child on the \(side.rawValue)") {
                            try lab.installed(on: side).1.spiIn != old.spiIn
                        }
                    }
                }
                #expect(result.sent > 40 && result.loss == 0, "\(result)")
                let (ikeAfter, after) = try lab.installed(on: side)
                let (_, far) = try lab.installed(on: side.other)
                #expect(after.spiIn != before.spiIn && after.spiOut != before.spiOut)
                #expect(after.spiIn == far.spiOut && after.spiOut == far.spiIn)
                if scenario.version == .v2 { #expect(ikeAfter.spis == ike.spis) }
                // The replaced children end, and the tunnel still carries packets. charon keeps an IKEv1 SA that
                // was replaced, unused, to the end of its life.
                for each in Side.allCases {
                    try eventually("only the newest child is left on the \(each.rawValue)", seconds: 15) {
                        let children = try lab.peer(each).securityAssociations().flatMap(\.children)
                        return children.count { scenario.version == .v2 || $0.state == "INSTALLED" } == 1
                    }
                }
                #expect(try lab.ping(count: 20).loss == 0)
            }
        }

        @Test("an IKE SA rekeyed by either side keeps its children", arguments: Scenario.all, Side.allCases)
        func ike(_ scenario: Scenario, by side: Side) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try lab.up()
                let (before, child) = try lab.installed(on: side)
                let result = try lab.pinging {
                    let answer = try lab.peer(side).rekey(ike: "net")
                    guard answer.succeeded else { throw LabFailure(answer.description) }
                    for each in Side.allCases {
                        // charon removes an IKEv1 SA ten seconds after another took its place.
                        try eventually("one new IKE SA on the \(each.rawValue)", seconds: 25) {
                            let all = try lab.peer(each).securityAssociations()
                            return all.count == 1 && all[0].state == "ESTABLISHED" && all[0].spis != before.spis
                                && all[0].children.count == 1
                        }
                    }
                }
                #expect(result.sent > 40 && result.loss == 0, "\(result)")
                let (after, same) = try lab.installed(on: side)
                #expect(after.spis != before.spis)
                if scenario.version == .v2 { #expect(same.spiIn == child.spiIn && same.spiOut == child.spiOut) }
                // The new IKE SA works: it rekeys the child.
                let answer = try lab.peer(side.other).rekey(child: "inner")
                #expect(answer.succeeded, "\(answer)")
                try eventually("a new child") { try lab.installed(on: side).1.spiIn != same.spiIn }
                #expect(try lab.ping(count: 20).loss == 0)
            }
        }

        @Test("rekeying at short lifetimes on both sides loses no packet", arguments: Scenario.all)
        func lifetimes(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].rekeyTime = [.left: 2, .right: 3]
                if scenario.version == .v2 { link.ikeRekeyTime = [.left: 5, .right: 4] }
                try lab.load(link)
                try lab.up()
                var seen: Set<String> = []
                let result = try lab.pinging {
                    try eventually("four generations of the child", seconds: 25) {
                        seen.insert(try lab.installed(on: .left).1.spiIn)
                        return seen.count >= 4
                    }
                }
                #expect(result.sent > 100 && result.loss == 0, "\(result)")
            }
        }
    }
}
