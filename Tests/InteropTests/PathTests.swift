import Testing

extension Interop {
    /// What paths do to IKE and ESP.
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
    }
}
