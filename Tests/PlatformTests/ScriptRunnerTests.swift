import Foundation
import Platform
import Synchronization
import Testing

/// Commands of the operator's.
@Suite struct ScriptRunnerTests {
    private final class Said: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private func run(_ commands: [String], patience: Duration = .seconds(60)) -> [String] {
        let said = Said()
        let runner = ScriptRunner(patience: patience) { said.add($0) }
        for command in commands {
            #expect(
                runner.run(Script(command: command, environment: [("PATH", "/usr/bin:/bin"), ("WORD", "a b; exit 3")])))
        }
        runner.finish(milliseconds: 30_000)
        return said.all
    }

    @Test func theyRunInOrderWithTheirVariablesAndAreHeard() {
        #expect(
            run(["sleep 0.2; echo 1; echo \"$WORD\"", "echo 2 >&2; printf 'no end'", "exit 4"])
                == ["1", "a b; exit 3", "2", "no end", "'exit 4' ended with 4"])
    }

    /// Nothing of the daemon's is theirs: no descriptor, no input, no variable.
    @Test func theyHaveNothingOfOurs() throws {
        let open = Pipe()
        // As a descriptor that somebody forgot to mark.
        _ = fcntl(open.fileHandleForReading.fileDescriptor, F_SETFD, 0)
        #expect(run(["ls /proc/self/fd | sort -n | tr '\\n' ' '"]) == ["0 1 2 3 "])
        #expect(run(["cat; echo end"]) == ["end"])
        #expect(run(["env | grep -c ."]) == ["3"])
    }

    @Test func whoTakesTooLongIsEndedWithWhatItStarted() {
        let said = run(["sleep 300 & sleep 300", "echo next"], patience: .seconds(1))
        #expect(said == ["'sleep 300 & sleep 300' took longer than 1 s and was ended", "next"])
    }

    @Test func whatOneSaysIsBounded() {
        let said = run(["yes | head -c 1000000", "head -c 5000 /dev/zero | tr '\\0' x"])
        #expect(said.count == 65 && said.allSatisfy { $0.utf8.count <= 512 })
    }
}
