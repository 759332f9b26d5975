import Testing

extension Interop {
    @Suite struct AddressTranslation {
        @Test("the initiator is behind a NAT", arguments: Scenario.all)
        func initiatorBehindNAT(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.network.translateLeft()
                var link = Link(scenario.version)
                link.remoteAddress[.right] = "%any"
                try lab.load(link)
                let recording = try lab.recording {
                    try lab.up()
                    for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                    #expect(try lab.transfer() >= 4 << 20)
                }
                let (left, _) = try lab.installed(on: .left)
                let (right, _) = try lab.installed(on: .right)
                #expect(right.value("remote-host") == Side.right.gateway)
                #expect(left.value("remote-host") == Side.right.outerAddress)
                #expect(left.value("nat-local") == "yes")
                #expect(right.value("nat-remote") == "yes")
                #expect(recording.strangers.isEmpty, "\(recording.strangers)")
                #expect(!recording.contains(Lab.pattern))
                // The responder, too, can start an exchange through the translation.
                #expect(try lab.right.rekey(child: "inner").succeeded)
                #expect(try lab.ping(count: 20).loss == 0)
                #expect(try lab.right.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("the responder is behind a NAT", arguments: Scenario.all)
        func responderBehindNAT(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.network.translateRight()
                var link = Link(scenario.version)
                link.remoteAddress[.left] = Side.left.gateway
                try lab.load(link)
                let recording = try lab.recording {
                    try lab.up()
                    for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                }
                let (left, before) = try lab.installed(on: .left)
                let (right, _) = try lab.installed(on: .right)
                #expect(left.value("remote-host") == Side.left.gateway)
                #expect(left.value("nat-remote") == "yes")
                #expect(right.value("nat-local") == "yes")
                #expect(recording.strangers.isEmpty, "\(recording.strangers)")
                #expect(!recording.contains(Lab.pattern))
                #expect(try lab.right.rekey(child: "inner").succeeded)
                try eventually("a new child") { try lab.installed(on: .left).1.spiIn != before.spiIn }
                #expect(try lab.ping(count: 20).loss == 0)
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("the host behind the NAT keeps the mapping alive", arguments: Scenario.all)
        func keepalives(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.network.translateLeft()
                var link = Link(scenario.version)
                link.remoteAddress[.right] = "%any"
                try lab.load(link)
                try lab.up()
                // RFC 3948 §4: one octet 0xff, sent when nothing else was for a while.
                try lab.watching { wire in
                    try eventually("two keepalives pass") { try wire.recorded().kinds[.keepalive, default: 0] >= 2 }
                }
            }
        }
    }
}
