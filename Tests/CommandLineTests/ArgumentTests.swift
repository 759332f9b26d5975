import ArgumentParser
import Configuration
import Control
import Testing

@testable import parley

@Suite struct ArgumentTests {
    private func down(_ arguments: String...) throws -> DownCommand {
        try #require(try Parley.parseAsRoot(["down"] + arguments) as? DownCommand)
    }

    @Test func downMeansAChildThenAConnection() throws {
        #expect(try down("net").target.messages == [["child": "net"], ["ike": "net"]])
        #expect(try down("--ike", "home", "--child", "net").target.messages == [["child": "net", "ike": "home"]])
        #expect(try down("--child-id", "4").target.messages == [["child-id": "4"]])
        #expect(try down("--ike-id", "4").target.messages == [["ike-id": "4"]])
    }

    @Test(arguments: [
        ["down"], ["rekey"], ["rekey", "net", "--child-id", "1"], ["trace", "home", "--ike", "home"],
        ["status", "home", "--ike", "home"], ["down", "net", "--ike", "home"], ["down", "--child-id", "x"], ["up"],
        ["up", "net", "--timeout", "-1"],
        ["clone"], ["clone", "home", "--ike-id", "1"], ["clone", "home", "--timeout", "-1"],
        ["status", "--uri", "tcp://localhost"], ["status", "--uri", "unix://"], ["nonsense"], ["check"],
    ])
    func wrongUsageIsRefused(_ arguments: [String]) {
        let error = #expect(throws: (any Error).self) { try Parley.parseAsRoot(arguments) }
        #expect(error.map { Parley.exitCode(for: $0) } == .validationFailure)
    }

    @Test func timeoutsAreSecondsHere() throws {
        let up = try #require(try Parley.parseAsRoot(["up", "net", "--timeout", "2.5"]) as? UpCommand)
        #expect(CommandTimeout.milliseconds(up.timeout) == "2500")
        #expect(up.socket.path == "/run/parley/parley.vici")
        let status = try #require(try Parley.parseAsRoot(["status", "-u", "unix:///tmp/a b"]) as? StatusCommand)
        #expect(status.socket.path == "/tmp/a b")
    }

    @Test func logLinesNameTheirSession() {
        #expect(
            LogText.line(["group": "IKE", "ikesa-name": "home", "ikesa-uniqueid": "3", "msg": "x"]) == "IKE home[3] x")
        #expect(LogText.line(["group": "CFG", "msg": "y"]) == "CFG y")
        // Said once where the line names it already.
        #expect(
            LogText.line(["group": "IKE", "ikesa-name": "home", "ikesa-uniqueid": "3", "msg": "home[3] established"])
                == "IKE home[3] established")
    }

    @Test func checkWritesJSON() {
        let node = CanonicalNode.section([
            .init(name: "a", node: .text("1")), .init(name: "b", node: .list(["2", "3"])),
        ])
        #expect(CheckCommand.json(node).text(indentation: 0) == #"{"a":"1","b":["2","3"]}"#)
        let errors = ConfigurationErrors([
            Diagnostic("m", at: SourcePosition(file: "f", line: 1, column: 2), suggestion: "s")
        ])
        #expect(
            CheckCommand.json(errors, summary: "f: 1 error").text(indentation: 0)
                == #"{"success":"no","errmsg":"f: 1 error","errors":[{"file":"f","line":1,"column":2,"message":"m","suggestion":"s"}]}"#
        )
    }
}
