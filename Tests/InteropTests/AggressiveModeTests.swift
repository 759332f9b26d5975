import Testing

extension Interop {
    @Suite struct AggressiveMode {
        private static func link() -> Link {
            var link = Link(.v1)
            link.aggressive = Set(Side.allCases)
            return link
        }

        @Test("a tunnel from three messages, rekeyed and deleted", arguments: Scenario.versions1)
        func tunnel(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Self.link())
                try lab.up()
                for side in Side.allCases { #expect(try lab.ping(from: side).loss == 0) }
                let result = try lab.pinging {
                    for side in Side.allCases {
                        let (_, old) = try lab.installed(on: side)
                        #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                        try eventually("a new child on the \(side.rawValue)") {
                            try lab.installed(on: side).1.spiIn != old.spiIn
                        }
                    }
                }
                #expect(result.sent > 20 && result.loss == 0, "\(result)")
                for side in Side.allCases where lab.peer(side).implementation == .charon {
                    #expect(lab.peer(side).log.contains("AGGRESSIVE"))
                }
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        @Test("a wrong secret is refused", arguments: Scenario.versions1)
        func wrongSecret(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Self.link()
                link.secret[.right] = "another secret"
                try lab.load(link)
                let result = try lab.left.up("inner", seconds: 12)
                #expect(!result.succeeded)
                if lab.left.implementation == .parley { #expect(result.output.contains("pre-shared key"), "\(result)") }
                try lab.awaitEmpty(seconds: 40)
            }
        }

        @Test("a responder that was not told to allow it refuses", arguments: Scenario.versions1)
        func notAllowed(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Self.link()
                link.aggressive = [.left]
                try lab.load(link)
                #expect(!(try lab.left.up("inner", seconds: 8).succeeded))
                if lab.right.implementation == .parley { #expect(lab.right.log.contains("aggressive = yes")) }
                try lab.awaitEmpty(seconds: 40)
            }
        }
    }
}
