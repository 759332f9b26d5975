import Testing

extension Interop {
    /// What the other tests stand on, proved with strongSwan alone.
    @Suite struct TheLabItself {
        private static let scenarios = Version.allCases.map {
            Scenario(pairing: Pairing(.charon, .charon), version: $0)
        }

        @Test("charon to charon: a tunnel, its traffic, its rekeying and its end", arguments: scenarios)
        func charonToCharon(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                let recording = try lab.recording {
                    try lab.up()
                    for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                    #expect(try lab.transfer() >= 4 << 20)
                }
                #expect(recording.kinds[.espInUDP, default: 0] > 80 + (4 << 20) / 1500)
                #expect(recording.strangers.isEmpty, "\(recording.strangers)")
                #expect(!recording.contains(Lab.pattern))
                let (_, before) = try lab.installed(on: .left)
                let result = try lab.pinging {
                    #expect(try lab.left.rekey(child: "inner").succeeded)
                    try eventually("a new child") { try lab.installed(on: .left).1.spiIn != before.spiIn }
                }
                // charon as IKEv1's initiator sends on the new SA before its responder, which installs it with message 3,
                // has it: what is on the way in that moment is lost between two charons, and with none of ours.
                if scenario.version == .v2 { #expect(result.loss == 0, "\(result)") }
                #expect(try lab.ping(count: 20).loss == 0)
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        /// The checks of the wire would find plaintext if there were any.
        @Test("an unprotected ping is seen as what it is", arguments: scenarios.prefix(1))
        func unprotected(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.network.ip(lab.network.router, "route add 10.2.0.0/24 via \(Side.right.outerAddress)")
                try lab.network.ip(lab.network.router, "route add 10.1.0.0/24 via \(Side.left.outerAddress)")
                let recording = try lab.recording {
                    let result = try lab.ping()
                    #expect(result.loss == 0)
                }
                #expect(!recording.strangers.isEmpty)
                #expect(recording.contains(Lab.pattern))
            }
        }
    }
}
