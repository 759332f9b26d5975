import Foundation
import Testing

extension Interop {
    @Suite struct Scripts {
        /// What the scripts of one side's child were told, call by call, without what is another one's choice.
        private func calls(_ path: String) throws -> [[String: String]] {
            guard FileManager.default.fileExists(atPath: path) else { return [] }
            let text = try String(contentsOfFile: path, encoding: .utf8)
            return text.components(separatedBy: "----\n").filter { !$0.isEmpty }.map { call in
                var variables: [String: String] = [:]
                for line in call.split(separator: "\n") {
                    guard let equals = line.firstIndex(of: "=") else { continue }
                    variables[String(line[..<equals])] = String(line[line.index(after: equals)...])
                }
                // Numbers that a daemon gives, and whether it claims a NAT.
                for name in ["PLUTO_UNIQUEID", "PLUTO_REQID", "PLUTO_UDP_ENC"] { variables[name] = nil }
                return variables
            }
        }

        /// What the same script hears at the left from one daemon or the other.
        private func heard(_ left: Implementation, _ version: Version) throws -> [[String: String]] {
            var heard: [[String: String]] = []
            try Lab.with(Scenario(pairing: Pairing(left, .charon), version: version)) { lab in
                let path = lab.directory.appendingPathComponent("calls").path
                // charon puts a redirection in front of the command, which only a simple one bears.
                let script = lab.directory.appendingPathComponent("script").path
                try "{ env | grep ^PLUTO_ | sort; echo ----; } >> \(path)\n".write(
                    toFile: script, atomically: true, encoding: .utf8)
                var link = Link(version)
                link.children[0].further = ["updown = sh \(script)", "hostaccess = yes"]
                // The right has nothing to say.
                try lab.right.load(link.configuration(of: .right).replacingOccurrences(of: "updown", with: "# updown"))
                try lab.left.load(link.configuration(of: .left))
                try lab.up()
                #expect(try lab.ping().loss == 0)
                try eventually("the script has been called") { try calls(path).count == 1 }
                // A rekeyed child is the same.
                let (_, before) = try lab.installed(on: .left)
                #expect(try lab.left.rekey(child: "inner").succeeded)
                try eventually("it has other SAs") { try lab.installed(on: .left).1.spiIn != before.spiIn }
                #expect(try lab.left.down(ike: "net").succeeded)
                try eventually("the script has been called again") { try calls(path).count == 2 }
                heard = try calls(path)
            }
            return heard
        }

        @Test("scripts hear the same of both daemons", arguments: Version.allCases)
        func sameVariables(_ version: Version) throws {
            let charon = try heard(.charon, version)
            #expect(charon.map { $0["PLUTO_VERB"] } == ["up-client", "down-client"])
            #expect(try heard(.parley, version) == charon)
        }

        @Test("a child that carries nothing is closed, and one that does stays", arguments: Scenario.all)
        func inactivity(_ scenario: Scenario) throws {
            guard scenario.pairing.initiator == .parley else { return }
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].further = ["inactivity = 2s"]
                try lab.right.load(
                    link.configuration(of: .right).replacingOccurrences(of: "inactivity", with: "# inactivity"))
                try lab.left.load(link.configuration(of: .left))
                try lab.up()
                let (_, child) = try lab.installed(on: .left)
                // Twice the time, with packets.
                for _ in 0..<8 {
                    #expect(try lab.ping(count: 1).received >= 1)
                    Thread.sleep(forTimeInterval: 0.5)
                }
                #expect(try lab.installed(on: .left).1.spiIn == child.spiIn)
                for side in Side.allCases {
                    try eventually("no child on the \(side.rawValue)") {
                        try lab.peer(side).securityAssociations().flatMap(\.children).isEmpty
                    }
                }
                // The IKE SA stays.
                #expect(try lab.left.securityAssociations().count == 1)
            }
        }
    }
}
