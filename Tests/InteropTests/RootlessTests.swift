import Foundation
import Testing

extension Interop {
    /// The left daemon has no right and no TUN device; programs reach the right's network through its local ports.
    @Suite struct Rootless {
        private static let octets = (0..<(3 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 13) }

        private static var link: Link {
            var link = Link(.v2)
            link.settings[.left] = ["  port = 15000"]
            for side in Side.allCases {
                link.children[0].selectors[side] = "\(side.innerPrefix),\(side.innerPrefix6)"
            }
            return link
        }

        /// Serves a folder on an inner address of the right until `body` ends.
        private func serving(_ lab: Lab, _ address: String, _ body: () throws -> Void) throws {
            let folder = lab.directory.appendingPathComponent("web")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try Data(Self.octets).write(to: folder.appendingPathComponent("file"))
            let server = try Subprocess(
                lab.network.on(
                    .right,
                    ["python3", "-m", "http.server", "8000", "--bind", address, "--directory", folder.path]),
                outputPath: lab.directory.appendingPathComponent("web-\(UUID().uuidString.prefix(8))"))
            defer { server.stop() }
            try eventually("the web server listens") {
                try Subprocess.run(lab.network.on(.right, ["ss", "-Hltn", "sport = :8000"])).output.contains("8000")
            }
            try body()
        }

        /// What curl brings of a URL.
        private func fetch(_ lab: Lab, _ arguments: [String]) throws -> Data {
            let path = lab.directory.appendingPathComponent("got-\(UUID().uuidString.prefix(8))")
            let command = ["curl", "-sS", "--noproxy", "", "--max-time", "30", "-o", path.path] + arguments
            try Subprocess.require(lab.network.on(.left, command), seconds: 40)
            return try Data(contentsOf: path)
        }

        @Test(
            "a user without rights reaches a web server through SOCKS5, CONNECT and a forward",
            arguments: [Implementation.charon, .parley])
        func proxies(_ gateway: Implementation) throws {
            try Lab.with(Scenario(pairing: Pairing(.parley, gateway), version: .v2)) { lab in
                let left = try #require(lab.left as? Parley)
                left.isUnprivileged = true
                left.options = [
                    "--socks", "1080", "--http-proxy", "8080", "--forward", "8022=10.2.0.1:8000", "--inner-address",
                    Side.left.innerAddress, "--inner-address", Side.left.innerAddress6,
                ]
                try lab.load(Self.link)
                try lab.up()
                try expectNoRights(lab, left)
                let socks = ["--socks5", "127.0.0.1:1080"]
                let web = ["--proxytunnel", "--proxy", "http://127.0.0.1:8080"]
                let recording = try lab.recording {
                    try serving(lab, Side.right.innerAddress) {
                        let url = "http://10.2.0.1:8000/file"
                        #expect(try fetch(lab, socks + [url]) == Data(Self.octets))
                        #expect(try fetch(lab, web + [url]) == Data(Self.octets))
                        #expect(try fetch(lab, ["http://127.0.0.1:8022/file"]) == Data(Self.octets))
                        #expect(try lab.left.rekey(child: "inner").succeeded)
                        #expect(try fetch(lab, socks + [url]) == Data(Self.octets))
                        // Many at once, each by itself.
                        let many = (0..<20).flatMap { ["-o", "/dev/null", "\(url)?\($0)"] }
                        try Subprocess.require(
                            lab.network.on(
                                .left, ["curl", "-sSZf", "--noproxy", "", "--max-time", "60"] + socks + many),
                            seconds: 70)
                    }
                    try serving(lab, Side.right.innerAddress6) {
                        let url = "http://[\(Side.right.innerAddress6)]:8000/file"
                        let got = try fetch(lab, socks + [url])
                        #expect(got == Data(Self.octets))
                    }
                }
                #expect(!recording.contains(Array("GET /file".utf8)))
                // Nobody listens there: curl says which way the proxy refused.
                let refused = try Subprocess.run(
                    lab.network.on(
                        .left, ["curl", "-sS", "--noproxy", "", "--max-time", "20"] + socks + ["http://10.2.0.1:9/"]))
                #expect(refused.output.contains("(5)"), "\(refused)")
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
            }
        }

        private func expectNoRights(_ lab: Lab, _ left: Parley) throws {
            let process = try #require(left.process?.processIdentifier)
            let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
            #expect(status.contains("CapEff:\t0000000000000000") && status.contains("Uid:\t65534\t65534"))
            // Keys are in its memory: no core is dumped, and its own user may not look, for which the kernel makes it root's.
            let memory = try FileManager.default.attributesOfItem(atPath: "/proc/\(process)/mem")
            #expect(memory[.ownerAccountID] as? Int == 0, "\(memory)")
            let links = try Subprocess.require(lab.network.on(.left, ["ip", "-br", "link"]))
            #expect(links.split(separator: "\n").count == 2, "the loopback interface and the wire: \(links)")
            let listening = try Subprocess.require(lab.network.on(.left, ["ss", "-Hltn"]))
            for port in [1080, 8080, 8022] {
                let lines = listening.split(separator: "\n").filter { $0.contains(":\(port) ") }
                #expect(lines.count == 1 && lines.allSatisfy { $0.contains("127.0.0.1:\(port) ") }, "\(listening)")
            }
        }
    }
}
