import Foundation
import Testing

extension Interop {
    /// Peers by name, with a name server on the path (Debian's dnsmasq).
    @Suite(.enabled(if: NameServer.isThere, "this machine lacks dnsmasq")) struct Names {
        private static let scenarios = Scenario.versions2.filter { $0.pairing.initiator == .parley }
        private static let name = "gateway.example"
        private static let second = "198.51.100.3"
        private static let nobody = "198.51.100.9"

        private static var link: Link {
            var link = Link(.v2)
            link.remoteAddress[.left] = name
            link.localAddress[.right] = "%any"
            return link
        }

        /// Runs `body` with a name server that the left host asks; the right host has a second address.
        private static func with(
            _ scenario: Scenario, _ addresses: [String], lifetime: Int, _ body: (Lab, NameServer) throws -> Void
        ) throws {
            try Lab.with(scenario) { lab in
                try lab.network.ip(lab.network.name(.right), "addr add \(second)/24 dev wan")
                let server = try NameServer(lab, lifetime: lifetime)
                defer { server.stop() }
                try server.say(name, addresses)
                try body(lab, server)
            }
        }

        @Test("a name that has lost the address in use is followed when its TTL is over", arguments: scenarios)
        func lifetime(_ scenario: Scenario) throws {
            try Self.with(scenario, [Side.right.outerAddress], lifetime: 5) { lab, server in
                try lab.load(Self.link)
                try lab.up()
                #expect(try lab.installed(on: .left).0.value("remote-host") == Side.right.outerAddress)
                let result = try lab.pinging {
                    try server.say(Self.name, [Self.second])
                    try eventually("the left is at the other address", seconds: 20) {
                        try lab.installed(on: .left).0.value("remote-host") == Self.second
                    }
                    try eventually("the first SA is gone", seconds: 20) {
                        try lab.left.securityAssociations().allSatisfy { $0.value("remote-host") == Self.second }
                    }
                }
                // charon sends on a new child before its peer can know of it.
                let allowed = scenario.pairing.responder == .parley ? 0 : 2
                #expect(result.sent > 100 && result.loss <= allowed, "\(result)")
            }
        }

        @Test("every address of a name is tried", arguments: scenarios)
        func everyAddress(_ scenario: Scenario) throws {
            try Self.with(scenario, [Self.nobody, Self.second], lifetime: 3600) { lab, _ in
                try lab.load(Self.link)
                #expect(try lab.left.up("inner", seconds: 30).succeeded)
                #expect(try lab.installed(on: .left).0.value("remote-host") == Self.second)
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test("a name is asked for again when its peer is silent, however long its TTL", arguments: scenarios)
        func failure(_ scenario: Scenario) throws {
            try Self.with(scenario, [Side.right.outerAddress], lifetime: 3600) { lab, server in
                var link = Self.link
                link.dpdDelay = 1
                link.children[0].further = ["dpd_action = restart"]
                try lab.load(link)
                try lab.up()
                try server.say(Self.name, [Self.second])
                let host = lab.network.name(.right)
                try lab.network.ip(host, "addr del \(Side.right.outerAddress)/24 dev wan")
                try lab.network.ip(host, "addr replace \(Self.second)/24 dev wan")
                try lab.network.ip(host, "route replace default via \(Side.right.gateway)")
                try eventually("the left is at the other address", seconds: 40) {
                    try lab.left.securityAssociations().contains {
                        $0.state == "ESTABLISHED" && $0.value("remote-host") == Self.second
                    }
                }
                #expect(try lab.ping(seconds: 15).received >= 3)
            }
        }
    }
}

/// A name server on the lab's router that the left host asks.
private final class NameServer {
    static let isThere = ["/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"].contains(
        where: FileManager.default.isExecutableFile(atPath:))

    private let process: Subprocess
    private let hosts: URL
    /// `ip netns exec` puts the files of this directory in the place of /etc's.
    private let folder: URL

    /// dnsmasq closes every descriptor that it was not given, and with it the one by whose end Foundation tells that a child has ended.
    /// This program stands in front, keeps it, and passes signals on.
    private static let keeper = """
        import signal, subprocess, sys
        server = subprocess.Popen(sys.argv[1:])
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, lambda number, _: server.send_signal(number))
        sys.exit(server.wait())
        """

    /// `lifetime`: seconds that an answer is good for.
    init(_ lab: Lab, lifetime: Int) throws {
        hosts = lab.directory.appendingPathComponent("hosts")
        folder = URL(fileURLWithPath: "/etc/netns/\(lab.network.name(.left))")
        try Data().write(to: hosts)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data("nameserver \(Side.left.gateway)\n".utf8).write(to: folder.appendingPathComponent("resolv.conf"))
        process = try Subprocess(
            [
                "ip", "netns", "exec", lab.network.router, "python3", "-c", Self.keeper, "dnsmasq",
                "--keep-in-foreground", "--conf-file=/dev/null",
            ]
                + ["--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--log-facility=-", "--bind-interfaces"]
                + ["--listen-address=\(Side.left.gateway)", "--addn-hosts=\(hosts.path)", "--local-ttl=\(lifetime)"],
            outputPath: lab.directory.appendingPathComponent("dnsmasq"))
        let process = process
        try eventually("dnsmasq runs") { process.output.contains("started") }
    }

    /// Has a name stand for these addresses from now on.
    func say(_ name: String, _ addresses: [String]) throws {
        try Data(addresses.map { "\($0) \(name)\n" }.joined().utf8).write(to: hosts)
        let before = process.output.count
        process.signal(SIGHUP)
        let process = process
        let path = hosts.path
        try eventually("dnsmasq reads its file again") { process.output.dropFirst(before).contains("read \(path)") }
    }

    func stop() {
        process.stop()
        try? FileManager.default.removeItem(at: folder)
    }
}
