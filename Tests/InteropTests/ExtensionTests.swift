import Testing

extension Interop {
    /// Extensions of IKEv2 against strongSwan, in both roles.
    @Suite struct Extensions {
        static let withCharon = Scenario.versions2.filter { $0.pairing.initiator != $0.pairing.responder }

        @Test("MOBIKE: the initiator's address changes under traffic", arguments: withCharon)
        func mobility(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                link.localAddress[.left] = "%any"
                link.remoteAddress[.right] = "%any"
                link.lines = [.left: ["mobike = yes"], .right: ["mobike = yes"]]
                try lab.load(link)
                try lab.up()
                let (before, _) = try lab.installed(on: .right)
                #expect(before.value("remote-host") == Side.left.outerAddress)
                let moved = "192.0.2.77"
                let host = lab.network.name(.left)
                try lab.network.ip(host, "addr del \(Side.left.outerAddress)/24 dev wan")
                try lab.network.ip(host, "addr add \(moved)/24 dev wan")
                try lab.network.ip(host, "route replace default via \(Side.left.gateway)")
                try eventually("the right follows", seconds: 20) {
                    try lab.installed(on: .right).0.value("remote-host") == moved
                }
                let (after, _) = try lab.installed(on: .right)
                #expect(after.spis == before.spis)
                #expect(try lab.ping(seconds: 15).received >= 3)
                #expect(try lab.installed(on: .left).0.value("local-host") == moved)
            }
        }

        @Test("post-quantum pre-shared keys are mixed in", arguments: withCharon)
        func postquantumKey(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                link.lines = [
                    .left: ["ppk_id = quantum", "ppk_required = yes"],
                    .right: ["ppk_id = quantum", "ppk_required = yes"],
                ]
                link.postquantumKey = [.left: "0x0102030405", .right: "0x0102030405"]
                try lab.load(link)
                try lab.up()
                #expect(try lab.ping().loss == 0)
                // Another key of the same name makes no SA.
                _ = try lab.left.down(ike: "net")
                try lab.awaitEmpty()
                link.postquantumKey[.right] = "0x0505"
                try lab.load(link)
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
            }
        }

        @Test("SAs without a first child", arguments: withCharon)
        func childless(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                link.lines = [.left: ["childless = force"]]
                try lab.load(link)
                try lab.up()
                let (_, child) = try lab.installed(on: .right)
                // Its keys come of an exchange of its own.
                #expect(child.value("dh-group") == "ECP_256")
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test(
            "reauthentication makes before it breaks", arguments: withCharon.filter { $0.pairing.initiator == .parley })
        func reauthentication(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                link.lines = [.left: ["rekey_time = 0", "reauth_time = 2s", "rand_time = 0s", "over_time = 60s"]]
                try lab.load(link)
                try lab.up()
                let (before, _) = try lab.installed(on: .left)
                let result = try lab.pinging {
                    try eventually("another IKE SA on the left", seconds: 15) {
                        try lab.installed(on: .left).0.spis != before.spis
                    }
                    try eventually("the first one is gone", seconds: 20) {
                        try !lab.right.securityAssociations().contains { $0.spis == before.spis }
                    }
                }
                #expect(result.sent > 40 && result.loss == 0, "\(result)")
            }
        }

        @Test("swanctl --redirect moves an established SA", arguments: withCharon)
        func redirect(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let other = try secondGateway(lab)
                var link = Link(.v2)
                link.localAddress[.right] = "%any"
                try lab.load(link)
                try lab.up()
                let told = try lab.right.swanctl(["--redirect", "--ike", "net", "--gateway", other])
                #expect(told.succeeded, "\(told.output)")
                try eventually("the left is at the other gateway", seconds: 15) {
                    try lab.installed(on: .left).0.value("remote-host") == other
                }
                try eventually("the first SA is gone", seconds: 20) {
                    try lab.left.securityAssociations().allSatisfy { $0.value("remote-host") == other }
                }
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("a gateway sends peers on at first sight, and once they are known", arguments: ["init", "auth"])
        func redirectEarly(_ moment: String) throws {
            // strongSwan 5.9.8 frees something twice and dies when it is sent on in IKE_AUTH.
            let client: Implementation = moment == "auth" ? .parley : .charon
            try Lab.with(Scenario(pairing: Pairing(client, .parley), version: .v2)) { lab in
                let other = try secondGateway(lab)
                var link = Link(.v2)
                link.localAddress[.right] = "%any"
                link.lines = [.right: ["redirect_to = \(other)", "redirect_at = \(moment)"]]
                try lab.load(link)
                _ = try lab.left.up("inner")
                try eventually("the left is at the other gateway", seconds: 15) {
                    try lab.installed(on: .left).0.value("remote-host") == other
                }
                #expect(try lab.ping().loss == 0)
            }
        }

        /// Another address of the right host's, as if it were another gateway.
        private func secondGateway(_ lab: Lab) throws -> String {
            let other = "198.51.100.3"
            try lab.network.ip(lab.network.name(.right), "addr add \(other)/24 dev wan")
            return other
        }

        @Test("long messages in pieces of 576 and 1280", arguments: [576, 1280])
        func fragments(_ octets: Int) throws {
            let scenario = Scenario(pairing: Pairing(.parley, .charon), version: .v2)
            try Lab.with(scenario) { lab in
                var link = Link(.v2)
                let many = (0..<60).map { "10.7.\($0).0/24" }.joined(separator: ",")
                link.children[0].selectors[.left] = "\(Side.left.innerPrefix),\(many)"
                link.settings[.left] = ["fragment_size = \(octets)"]
                try lab.load(link)
                let recording = try lab.recording { try lab.up() }
                #expect(recording.kinds[.fragment] == nil)
                // The lengths stand in the IP headers; what was recorded may be cut.
                let lengths = recording.packets.filter { Recording.kind($0) == .ike && $0.dropFirst(12).first == 192 }
                    .map { Int($0[$0.startIndex + 2]) << 8 | Int($0[$0.startIndex + 3]) }
                let longest = lengths.max() ?? 0
                #expect(longest <= octets && longest > octets - 80)
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
