import Testing

extension Interop {
    @Suite struct Refusals {
        @Test("a wrong secret is refused, and both sides say so", arguments: Scenario.all)
        func wrongSecret(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.secret[.right] = "another secret"
                try lab.load(link)
                let result = try lab.left.up("inner", seconds: 8)
                #expect(!result.succeeded)
                try lab.awaitEmpty(seconds: 40)
                // IKEv1 cannot tell a wrong secret from a broken message (RFC 2409 §5.4).
                for side in Side.allCases {
                    let said = lab.peer(side).log + (side == .left ? result.output : "")
                    switch (lab.peer(side).implementation, scenario.version) {
                    case (.charon, .v1):
                        #expect(
                            ["could not decrypt", "deleting half open", "giving up after"].contains {
                                said.contains($0)
                            })
                    case (.charon, .v2):
                        #expect(said.contains("AUTH_FAILED") || said.contains("AUTHENTICATION_FAILED"))
                    // The responder's clear notification may come, or nothing that can be read.
                    case (.parley, .v1) where side == .left:
                        #expect(["pre-shared key", "secret", "answer"].contains { said.contains($0) })
                    case (.parley, _): #expect(said.contains("pre-shared key"))
                    }
                }
                // Nothing is left that would stop a later try.
                try lab.load(Link(scenario.version))
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("no common proposal for the IKE SA", arguments: Scenario.all)
        func noCommonIKEProposal(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.ikeProposals[.left] = "aes128-sha256-ecp256"
                link.ikeProposals[.right] = "aes256-sha512-ecp384"
                try lab.load(link)
                let result = try lab.left.up("inner", seconds: 8)
                #expect(!result.succeeded)
                for side in Side.allCases {
                    let said = lab.peer(side).log + (side == .left ? result.output : "")
                    switch lab.peer(side).implementation {
                    case .charon: #expect(said.contains("NO_PROP") || said.contains("no proposal"))
                    case .parley where side == .left: #expect(said.contains("none of our proposals"))
                    // The responder knows both lists, and shows them.
                    case .parley:
                        try eventually("the responder's log shows both lists") {
                            let log = lab.peer(side).log
                            return log.contains("aes128-sha256") && log.contains("aes256")
                        }
                    }
                }
                try lab.awaitEmpty()
            }
        }

        @Test("no common proposal for the child", arguments: Scenario.all)
        func noCommonChildProposal(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].proposals = [.left: "aes128-sha256", .right: "aes256gcm16"]
                try lab.load(link)
                let result = try lab.left.up("inner", seconds: 8)
                #expect(!result.succeeded)
                for side in Side.allCases {
                    let said = lab.peer(side).log + (side == .left ? result.output : "")
                    switch lab.peer(side).implementation {
                    case .charon: #expect(said.contains("NO_PROP") || said.contains("no matching proposal"))
                    case .parley where side == .left: #expect(said.contains("none of our proposals"))
                    // The responder knows both lists, and shows them.
                    case .parley: #expect(said.contains("aes128-sha256") && said.contains("aes256"))
                    }
                }
                for side in Side.allCases {
                    #expect(try lab.peer(side).securityAssociations().flatMap(\.children).isEmpty)
                }
            }
        }

        @Test("disjoint selectors", arguments: Scenario.all)
        func disjointSelectors(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].remoteSelectors[.left] = Side.right.strangerPrefix
                try lab.load(link)
                let result = try lab.left.up("inner", seconds: 8)
                #expect(!result.succeeded)
                for side in Side.allCases {
                    let said = lab.peer(side).log + (side == .left ? result.output : "")
                    switch (lab.peer(side).implementation, scenario.version) {
                    case (.charon, .v1):
                        #expect(said.contains("no matching CHILD_SA config") || said.contains("INVALID_ID"))
                    case (.charon, .v2):
                        #expect(said.contains("TS_UNACCEPT"))
                    case (.parley, .v1) where side == .left:
                        #expect(said.contains("INVALID-ID-INFORMATION") && said.contains("traffic"))
                    case (.parley, _):
                        #expect(said.contains("selector"))
                    }
                    #expect(try lab.peer(side).securityAssociations().flatMap(\.children).isEmpty)
                }
            }
        }

        @Test("a wider offer is narrowed to what the responder allows", arguments: Scenario.versions2)
        func narrowing(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].remoteSelectors[.left] = "10.2.0.0/16"
                try lab.load(link)
                try lab.up()
                #expect(try lab.installed(on: .left).1.remoteSelectors == [Side.right.innerPrefix])
                #expect(try lab.installed(on: .right).1.localSelectors == [Side.right.innerPrefix])
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
