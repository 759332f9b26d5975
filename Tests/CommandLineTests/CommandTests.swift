import ArgumentParser
import Control
import Testing

@testable import parley

/// Commands against a daemon that says what the test wants.
@Suite struct CommandTests {
    /// How a command line ends.
    private func end(_ arguments: [String], at daemon: ScriptedDaemon) -> Int32 {
        do {
            var command = try Parley.parseAsRoot(arguments + ["--uri", daemon.uri])
            try command.run()
            return 0
        } catch let code as ExitCode {
            return code.rawValue
        } catch {
            return Parley.exitCode(for: error).rawValue
        }
    }

    @Test func upNamesTheChildAndFollowsIt() throws {
        let daemon = try ScriptedDaemon { _, _ in
            ([("control-log", ["group": "IKE", "msg": "negotiating"])], ["success": "yes"])
        }
        #expect(end(["up", "net", "--ike", "home", "--timeout", "3"], at: daemon) == 0)
        #expect(daemon.requests == [#"initiate {"child":"net","timeout":"3000","ike":"home","loglevel":"1"}"#])
    }

    @Test func refusalsEndWith1() throws {
        let refuse: ScriptedDaemon.Script = { _, _ in ([], ["success": "no", "errmsg": "no proposal chosen"]) }
        for arguments in [["up", "net", "-q"], ["reload"], ["trace"], ["down", "--ike", "x"]] {
            #expect(end(arguments, at: try ScriptedDaemon(script: refuse)) == 1)
        }
    }

    @Test func downTriesTheChildThenTheConnection() throws {
        let daemon = try ScriptedDaemon { _, message in
            message.text("ike") == nil
                ? ([], ["success": "no", "matches": "0", "errmsg": "no SA matches"])
                : ([], ["success": "yes", "matches": "1", "terminated": "1"])
        }
        #expect(end(["down", "home", "--quiet"], at: daemon) == 0)
        #expect(
            daemon.requests == [
                #"terminate {"child":"home","timeout":"0","loglevel":"-1"}"#,
                #"terminate {"ike":"home","timeout":"0","loglevel":"-1"}"#,
            ])
    }

    @Test func rekeyTriesTheChildThenTheConnection() throws {
        let daemon = try ScriptedDaemon { _, message in
            message.text("ike") == nil
                ? ([], ["success": "no", "matches": "0"]) : ([], ["success": "yes", "matches": "1"])
        }
        #expect(end(["rekey", "home"], at: daemon) == 0)
        #expect(daemon.requests == [#"rekey {"child":"home"}"#, #"rekey {"ike":"home"}"#])
    }

    @Test func aPlainNameIsAConnection() throws {
        let daemon = try ScriptedDaemon { _, _ in ([], ["success": "yes"]) }
        #expect(end(["trace", "home"], at: daemon) == 0)
        #expect(daemon.requests == [#"trace {"ike":"home"}"#])
        let other = try ScriptedDaemon { _, _ in ([], ViciMessage()) }
        #expect(end(["status", "home"], at: other) == 0)
        #expect(other.requests == [#"list-sas {"noblock":"yes","ike":"home"}"#])
    }

    @Test func downStopsAtAChildThatFails() throws {
        let daemon = try ScriptedDaemon { _, _ in ([], ["success": "no", "matches": "1", "errmsg": "timeout"]) }
        #expect(end(["down", "net", "-q"], at: daemon) == 1)
        #expect(daemon.requests.count == 1)
    }

    @Test func rehearseTriesTheChildThenTheConnectionAndFailsWithTheRehearsal() throws {
        let daemon = try ScriptedDaemon { _, message in
            message.text("ike") == nil
                ? ([], ["success": "no", "matches": "0", "errmsg": "nothing is up"])
                : ([], ["success": "no", "matches": "1", "errmsg": "1 of 1 rekeyings did not succeed"])
        }
        #expect(end(["rehearse", "home", "--timeout", "2"], at: daemon) == 1)
        #expect(
            daemon.requests == [
                #"rehearse {"child":"home","timeout":"2000"}"#, #"rehearse {"ike":"home","timeout":"2000"}"#,
            ])
        let agreed = try ScriptedDaemon { _, _ in ([], ["success": "yes", "matches": "1"]) }
        #expect(end(["rehearse", "net"], at: agreed) == 0)
        #expect(agreed.requests.count == 1)
    }

    @Test func cloneSaysWhatIsMeantAndWhatToDoWithIt() throws {
        let daemon = try ScriptedDaemon { _, _ in ([], ["success": "yes"]) }
        let arguments = ["clone", "home", "--local", "192.0.2.7", "--child", "net", "--timeout", "3"]
        #expect(end(arguments, at: daemon) == 0)
        #expect(
            daemon.requests == [
                #"clone {"timeout":"3000","ike":"home","local-host":"192.0.2.7","child":"net"}"#
            ])
        let refusing = try ScriptedDaemon { _, _ in
            ([], ["success": "no", "errmsg": "no matching IKE SA to clone found"])
        }
        #expect(end(["clone", "--ike-id", "7"], at: refusing) == 1)
        #expect(refusing.requests == [#"clone {"timeout":"0","ike-id":"7"}"#])
    }

    @Test func statusCollectsEvents() throws {
        let daemon = try ScriptedDaemon { _, _ in ([("list-sa", ["up": "yes"])], [:]) }
        #expect(end(["status", "--json", "--ike", "home"], at: daemon) == 0)
        #expect(daemon.requests == [#"list-sas {"noblock":"yes","ike":"home"}"#])
    }

    @Test func anAbsentDaemonEndsWith2() {
        for arguments in [["status"], ["version"], ["reload"], ["log"], ["trace"], ["up", "x"], ["down", "x"]] {
            let error = #expect(throws: ExitCode.self) {
                var command = try Parley.parseAsRoot(arguments + ["--uri", "unix:///nonexistent/parley.vici"])
                try command.run()
            }
            #expect(error == EndCode.usage.exitCode)
        }
    }

    @Test func aDaemonThatGoesOrKnowsNothingEndsWith1() throws {
        #expect(end(["version"], at: try ScriptedDaemon(hangsUp: true) { _, _ in nil }) == 1)
        #expect(end(["trace"], at: try ScriptedDaemon { _, _ in nil }) == 1)
    }

    @Test func eventsArriveInOrderBeforeTheAnswer() throws {
        let daemon = try ScriptedDaemon { command, _ in
            ((1...3).map { ("log", ["n": "\($0)"]) }, ["command": command])
        }
        var client = try ViciClient(try ControlSocketOption.parse(["--uri", daemon.uri]))
        var seen: [String] = []
        let answer = try client.request("stats", events: ["log"]) { name, message in
            seen.append(name + (message.text("n") ?? ""))
        }
        #expect(seen == ["log1", "log2", "log3"])
        #expect(answer.text("command") == "stats")
        #expect(throws: ViciClientError.self) { try client.register("no-such-event") }
    }
}
