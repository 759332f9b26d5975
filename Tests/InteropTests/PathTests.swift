import Testing

extension Interop {
    /// What paths do to IKE and ESP: narrow links, other families of addresses, other ways.
    @Suite struct Paths {
        private static let withCharon = Scenario.versions2.filter { $0.pairing.initiator != $0.pairing.responder }

        /// Parley keeps its own idea of what passes (1280 octets), and has to find out; charon has to be told.
        @Test("certificates pass narrow links that lose pieces of datagrams", arguments: withCharon, [576, 1280])
        func narrowLinks(_ scenario: Scenario, _ octets: Int) throws {
            try Lab.with(scenario) { lab in
                try lab.network.narrow(to: octets)
                try lab.issueCertificates("rsa", bits: 3072)
                for side in Side.allCases where lab.peer(side).implementation == .charon {
                    lab.peer(side).settings = ["fragment_size = \(octets)"]
                }
                try lab.load(Link(.v2).withCertificates())
                let recording = try lab.recording { try lab.up() }
                #expect(try lab.installed(on: .right).0.remoteIdentity == Side.left.identity)
                let lengths = recording.lengths(of: .ike)
                #expect(lengths.allSatisfy { $0 <= octets })
                // Each end has said a certificate and a signature, of 1,400 octets and more together.
                #expect(lengths.reduce(0, +) > 3000 && lengths.count > 2 * (1 + 1400 / octets), "\(lengths)")
                #expect(try lab.ping().loss == 0)
                // What comes later is as long, and passes as well.
                #expect(try lab.left.rekey(ike: "net").succeeded && lab.right.rekey(child: "inner").succeeded)
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("peers that meet over IPv6", arguments: Scenario.all)
        func overIPv6(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.network.addSixth()
                var link = Link(scenario.version)
                for side in Side.allCases {
                    link.localAddress[side] = side.outerAddress6
                    link.remoteAddress[side] = side.other.outerAddress6
                }
                if scenario.version == .v2 {
                    link.children[0].selectors = [
                        .left: "\(Side.left.innerPrefix),\(Side.left.innerPrefix6)",
                        .right: "\(Side.right.innerPrefix),\(Side.right.innerPrefix6)",
                    ]
                }
                try lab.load(link)
                let recording = try lab.recording {
                    try lab.up()
                    for side in Side.allCases {
                        #expect(try lab.ping(from: side, count: 20).loss == 0)
                        if scenario.version == .v2 {
                            #expect(try lab.ping(from: side, count: 20, sixth: true).loss == 0)
                        }
                    }
                    #expect(try lab.transfer() >= 4 << 20)
                    #expect(try lab.transfer(reverse: true) >= 4 << 20)
                }
                #expect(recording.kinds[.espInUDP, default: 0] > 80 + (8 << 20) / 1500)
                // Beside them, only neighbours that look for each other, and hosts that tell of their groups (behind
                // a hop-by-hop header).
                let strangers = recording.strangers.filter {
                    if case .other(let number, _) = $0 { number != 58 && number != 0 } else { true }
                }
                #expect(strangers.isEmpty, "\(strangers)")
                #expect(!recording.contains(Lab.pattern))
                for side in Side.allCases {
                    #expect(try lab.installed(on: side).0.value("remote-host") == side.other.outerAddress6)
                    #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                    #expect(try lab.ping(count: 20).loss == 0)
                }
                if scenario.version == .v2 {
                    let (before, _) = try lab.installed(on: .right)
                    #expect(try lab.left.rekey(ike: "net").succeeded)
                    try eventually("a new IKE SA on the right") {
                        try lab.installed(on: .right).0.spis != before.spis
                    }
                }
                #expect(try lab.right.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("MOBIKE: the initiator goes from one device to another and back, under traffic", arguments: withCharon)
        func twoWays(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.network.addSecondUplink()
                var link = Link(.v2)
                link.localAddress[.left] = "%any"
                link.remoteAddress[.right] = "%any"
                link.further = ["mobike = yes"]
                try lab.load(link)
                try lab.up()
                let (before, _) = try lab.installed(on: .right)
                for (isSecond, address) in [(true, Network.secondAddress), (false, Side.left.outerAddress)] {
                    // What is under way while neither way is there may be lost.
                    let moving = try lab.pinging {
                        try lab.network.useSecondUplink(isSecond)
                        try eventually("the right follows", seconds: 20) {
                            try lab.installed(on: .right).0.value("remote-host") == address
                        }
                    }
                    print("interop: \(moving.loss) of \(moving.sent) echoes were lost on the move to \(address)")
                    #expect(moving.received > 40)
                    // The child may be another: charon's userspace ESP cannot move one, and charon rekeys it instead.
                    #expect(try lab.installed(on: .right).0.spis == before.spis)
                    #expect(try lab.installed(on: .left).0.value("local-host") == address)
                    // From here on nothing is, also not while the responder finds the new place.
                    let settled = try lab.pinging {
                        let back = try lab.ping(from: .right)
                        #expect(back.loss == 0)
                    }
                    #expect(settled.sent > 40 && settled.loss == 0, "\(settled)")
                }
                #expect(try lab.right.rekey(child: "inner").succeeded)
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
