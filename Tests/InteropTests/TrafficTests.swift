import Testing

extension Interop {
    @Suite struct Traffic {
        @Test("ping and TCP both ways; the wire shows IKE and ESP and no plaintext", arguments: Scenario.all)
        func transfers(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                let recording = try lab.recording {
                    try lab.up()
                    for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                    #expect(try lab.transfer() >= 4 << 20)
                    #expect(try lab.transfer(reverse: true) >= 4 << 20)
                }
                let kinds = recording.kinds
                #expect(kinds[.ike, default: 0] >= (scenario.version == .v1 ? 9 : 4))
                // 40 echo requests and replies, and 8 MB in packets of at most 1,500 octets.
                #expect(kinds[.espInUDP, default: 0] > 80 + (8 << 20) / 1500)
                #expect(recording.longest <= 1500)
                #expect(recording.strangers.isEmpty, "\(recording.strangers)")
                #expect(!recording.contains(Lab.pattern))
                #expect(!recording.contains(Array("0123456789012345678901".utf8)))
                // Both ends count what they carried.
                for side in Side.allCases {
                    let (_, child) = try lab.installed(on: side)
                    #expect(child.count("packets-in") > 40 && child.count("packets-out") > 40)
                    #expect(child.count("bytes-in") > 4 << 20 && child.count("bytes-out") > 4 << 20)
                }
            }
        }

        @Test("IPv4 and IPv6 in one child", arguments: Scenario.versions2)
        func bothFamilies(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].selectors = [
                    .left: "\(Side.left.innerPrefix),\(Side.left.innerPrefix6)",
                    .right: "\(Side.right.innerPrefix),\(Side.right.innerPrefix6)",
                ]
                try lab.load(link)
                try lab.up()
                for side in Side.allCases {
                    let (_, child) = try lab.installed(on: side)
                    #expect(Set(child.localSelectors) == [side.innerPrefix, side.innerPrefix6])
                    #expect(Set(child.remoteSelectors) == [side.other.innerPrefix, side.other.innerPrefix6])
                    #expect(try lab.ping(from: side).loss == 0)
                    #expect(try lab.ping(from: side, sixth: true).loss == 0)
                }
            }
        }

        @Test("IPv6 alone inside", arguments: Scenario.all)
        func sixthAlone(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].selectors = [.left: Side.left.innerPrefix6, .right: Side.right.innerPrefix6]
                try lab.load(link)
                try lab.up()
                for side in Side.allCases { #expect(try lab.ping(from: side, sixth: true).loss == 0) }
            }
        }

        @Test("a path that loses every tenth packet", arguments: Scenario.all)
        func lossyPath(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try lab.network.lose(oneIn: 10)
                try lab.up()
                for side in Side.allCases {
                    #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                    #expect(try lab.ping(count: 50).received >= 50)
                }
                #expect(try lab.transfer(megabytes: 4) > 1 << 20)
                try lab.network.cut(false)
                #expect(try lab.ping(count: 50).loss == 0)
                #expect(try lab.right.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("two children of one IKE SA", arguments: Scenario.all)
        func secondChild(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                var second = Link.Child()
                second.name = "second"
                second.selectors = [.left: Side.left.strangerPrefix, .right: Side.right.strangerPrefix]
                link.children.append(second)
                try lab.load(link)
                try lab.up()
                try lab.up("second")
                for side in Side.allCases {
                    #expect(try lab.peer(side).securityAssociations().count == 1)
                    #expect(try lab.ping(from: side).loss == 0)
                    let far = try lab.ping(
                        from: side, source: side.strangerAddress, target: side.other.strangerAddress)
                    #expect(far.loss == 0)
                }
                // One child goes, the other stays.
                #expect(try lab.left.down(child: "second").succeeded)
                for side in Side.allCases {
                    try eventually("one child is left on the \(side.rawValue)") {
                        try lab.peer(side).securityAssociations().flatMap(\.children).map(\.name) == ["inner"]
                    }
                }
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
