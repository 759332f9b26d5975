import Foundation
import Glibc
import Platform
import Testing

/// Sockets that systemd hands on (sd_listen_fds(3)).
@Suite struct ServiceSocketTests {
    private func sockets(_ values: [String: String]) -> ServiceSockets { ServiceSockets { values[$0] } }

    @Test func descriptorsCountFromThree() {
        let own = String(getpid())
        let two = sockets(["LISTEN_PID": own, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:vici"])
        #expect(two.sockets.map(\.name) == ["other", "vici"] && two.sockets.map(\.descriptor) == [3, 4])
        #expect(two.control == 4)
        #expect(sockets(["LISTEN_PID": own, "LISTEN_FDS": "1"]).control == 3)
        #expect(sockets(["LISTEN_PID": own, "LISTEN_FDS": "2"]).control == nil)
    }

    @Test(arguments: [
        ["LISTEN_FDS": "1"], ["LISTEN_PID": "1", "LISTEN_FDS": "1"], ["LISTEN_PID": "own"],
        ["LISTEN_PID": "own", "LISTEN_FDS": "-1"],
        ["LISTEN_PID": "own", "LISTEN_FDS": "x"], ["LISTEN_PID": "own", "LISTEN_FDS": "1000000"],
    ])
    func otherProcessesSocketsAreLeftAlone(_ values: [String: String]) {
        #expect(sockets(values.mapValues { $0 == "own" ? String(getpid()) : $0 }).sockets.isEmpty)
    }

    @Test func aSocketIsTakenOverAndStays() throws {
        let path = "/tmp/activated-\(getpid()).vici"
        let held = try ControlListener(path: path)
        let copy = dup(held.descriptor)
        do {
            let listener = try ControlListener(adopting: copy)
            let client = try UnixStream.connect(path: path)
            #expect(client.descriptor >= 0)
            #expect(listener.accept() != nil)
            #expect(listener.accept() == nil)
        }
        #expect(access(path, F_OK) == 0, "the file is systemd's")
        #expect(throws: ControlSocketError.self) {
            try ControlListener(adopting: socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0))
        }
    }
}

/// Who runs the other end of a UNIX socket.
@Suite struct PeerUserTests {
    @Test func theSystemSaysWhoConnected() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("peer-\(UUID().uuidString)").path
        let listener = try ControlListener(path: path)
        let client = try UnixStream.connect(path: path)
        let accepted = try #require(listener.accept())
        #expect(accepted.peerUser == Machine.user)
        #expect(client.peerUser == Machine.user)
    }
}
