import Testing

extension Interop {
    /// Responders with more half-open SAs than they like (RFC 7296 §2.6).
    @Suite struct Pressure {
        private static let withCharon = Scenario.versions2.filter { $0.pairing.initiator != $0.pairing.responder }

        @Test("a responder asks for a cookie, and the initiator returns it", arguments: withCharon)
        func cookies(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                lab.right.settings = ["cookie_threshold = 1", "cookie_threshold_ip = 1"]
                try lab.load(Link(.v2))
                // IKE_AUTH never comes: the right has a half-open SA for some time.
                try lab.network.block(port: 4500)
                #expect(try !lab.left.up("inner").succeeded)
                let charon = lab.left.implementation == .charon ? lab.left : lab.right
                let verb = charon === lab.left ? "parsed" : "generating"
                let challenge = "\(verb) IKE_SA_INIT response 0 [ N(COOKIE) ]"
                #expect(!charon.log.contains(challenge))
                try lab.network.cut(false)
                try lab.up()
                #expect(charon.log.contains(challenge), "\(charon.log)")
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
