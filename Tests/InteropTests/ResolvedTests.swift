import Foundation
import Testing

/// Debian's systemd-resolved on the left host, on a message bus of its own.
private final class Resolved {
    private static let folder: String? = {
        let unpacked = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent(".build/peers/systemd-resolved").path
        let isWhole = ["lib/systemd/systemd-resolved", "usr/bin/resolvectl"].allSatisfy {
            FileManager.default.isExecutableFile(atPath: "\(unpacked)/\($0)")
        }
        return isWhole ? unpacked : nil
    }()
    static var isPresent: Bool {
        folder != nil && FileManager.default.isExecutableFile(atPath: "/usr/bin/dbus-daemon")
    }

    let environment: [String: String]
    private let lab: Lab
    private let process: Subprocess

    init(_ lab: Lab) throws {
        self.lab = lab
        let folder = try #require(Self.folder)
        let directory = lab.directory.appendingPathComponent("resolved").path
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let socket = "\(directory)/bus"
        let allowed = [
            "user=\"*\"", "own=\"*\"", "send_type=\"method_call\"", "send_type=\"signal\"",
            "send_requested_reply=\"true\" send_type=\"method_return\"",
            "send_requested_reply=\"true\" send_type=\"error\"", "receive_type=\"method_call\"",
            "receive_type=\"method_return\"", "receive_type=\"error\"", "receive_type=\"signal\"",
        ].map { "<allow \($0)/>" }.joined()
        try """
        <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
         "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
        <busconfig><type>system</type><listen>unix:path=\(socket)</listen><auth>EXTERNAL</auth>
        <policy context="default">\(allowed)</policy></busconfig>
        """.write(toFile: "\(directory)/bus.conf", atomically: true, encoding: .utf8)
        // Its user, its directory and the machine's own servers are its alone: in a mount namespace.
        try """
        set -e
        mkdir -p '\(directory)/run'
        mount -t tmpfs tmpfs /run
        mkdir -p /run/systemd/resolve
        cp /etc/passwd /etc/group /run/
        echo 'systemd-resolve:x:990:990::/:/usr/sbin/nologin' >> /run/passwd
        echo 'systemd-resolve:x:990:' >> /run/group
        echo 'nameserver 192.0.2.1' > /run/resolv.conf
        for file in passwd group resolv.conf; do mount --bind /run/$file /etc/$file; done
        chown 990:990 /run/systemd/resolve
        # The bus must know that user, too.
        dbus-daemon --config-file='\(directory)/bus.conf' --nofork --nopidfile &
        while [ ! -S '\(socket)' ]; do sleep 0.05; done
        exec '\(folder)/lib/systemd/systemd-resolved'
        """.write(toFile: "\(directory)/start", atomically: true, encoding: .utf8)
        let inherited = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        environment = [
            "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=\(socket)", "PATH": "\(folder)/usr/bin:\(inherited)",
        ]
        // Both are children of the first process of a process namespace, and end with it.
        let service = try Subprocess(
            lab.network.on(
                .left,
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "\(directory)/start"]),
            environment: environment, outputPath: URL(fileURLWithPath: "\(directory)/log"))
        process = service
        try eventually("resolved answers") {
            guard service.isRunning else { throw LabFailure("resolved ended:\n\(service.output)") }
            return try control(["dns"]).succeeded
        }
    }

    func control(_ words: [String]) throws -> CommandResult {
        try Subprocess.run(lab.network.on(.left, ["timeout", "8", "resolvectl"] + words), environment: environment)
    }

    func stop() {
        // `unshare` minds no other signal while it waits.
        process.signal(SIGKILL)
        process.stop()
    }
}

/// A name server on the right's inner network that knows every name below corp.example.
private final class InnerNameServer {
    private let process: Subprocess

    /// The names that were asked for.
    var asked: [String] { process.output.split(separator: "\n").map(String.init) }

    init(_ lab: Lab, at address: String) throws {
        try Subprocess.require(lab.network.on(.right, ["ip", "addr", "add", "\(address)/32", "dev", "lo"]))
        let script = lab.directory.appendingPathComponent("names.py")
        try """
        import socket, struct, sys
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("\(address)", 53))
        print("ready", flush=True)
        while True:
            query, peer = server.recvfrom(4096)
            at, labels = 12, []
            while query[at]:
                labels.append(query[at + 1:at + 1 + query[at]].decode())
                at += 1 + query[at]
            kind = struct.unpack("!H", query[at + 1:at + 3])[0]
            name = ".".join(labels).lower()
            print(name, flush=True)
            known = name.endswith(".corp.example") and kind == 1
            head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, 1 if known else 0, 0, 0)
            answer = struct.pack("!HHHIH4B", 0xC00C, 1, 1, 5, 4, 10, 2, 0, 80) if known else b""
            server.sendto(head + query[12:at + 5] + answer, peer)
        """.write(to: script, atomically: true, encoding: .utf8)
        process = try Subprocess(
            lab.network.on(.right, ["python3", script.path]),
            outputPath: lab.directory.appendingPathComponent("names"))
        try eventually("the name server is ready") { asked.first == "ready" }
    }

    func stop() { process.stop() }
}

extension Interop.VirtualAddresses {
    /// Names of the gateway's domain are resolved through the tunnel, and others are not asked for there.
    @Test(.enabled(if: Resolved.isPresent, "no systemd-resolved is unpacked, or there is no dbus-daemon"))
    func resolvedAsksThroughTheTunnel() throws {
        try Lab.with(Scenario(pairing: Pairing(.parley, .parley), version: .v2)) { lab in
            let names = try InnerNameServer(lab, at: "10.2.0.53")
            defer { names.stop() }
            let resolved = try Resolved(lab)
            defer { resolved.stop() }
            let host = try #require(lab.left as? Parley)
            let path = lab.directory.appendingPathComponent("resolv.conf").path
            try FileManager.default.createSymbolicLink(
                atPath: path, withDestinationPath: "/run/systemd/resolve/stub-resolv.conf")
            host.environment = resolved.environment
            host.settings = ["install_dns = \(path)"]
            var setting = VirtualHost()
            (setting.vips, setting.pools) = ("0.0.0.0", ["four"])
            try lab.right.load(setting.gateway)
            try lab.left.load(setting.host)
            #expect(try !resolved.control(["domain"]).output.contains("corp.example"))
            #expect(try lab.left.up("inner").succeeded)
            try eventually("resolved knows the server") {
                try resolved.control(["dns"]).output.contains("(parley0): 10.2.0.53")
                    && resolved.control(["domain"]).output.contains("(parley0): ~corp.example")
            }
            let answer = try resolved.control(["query", "intra.corp.example"])
            #expect(answer.succeeded && answer.output.contains("10.2.0.80"), "\(answer)")
            #expect(answer.output.contains("link: parley0"), "\(answer)")
            _ = try resolved.control(["query", "www.example.net"])
            #expect(names.asked.contains("intra.corp.example") && !names.asked.contains("www.example.net"))
            // What resolved knows of the device goes with the session, and with a killed daemon.
            _ = try lab.left.down(ike: "rw")
            try eventually("they are taken back") {
                try !resolved.control(["dns"]).output.contains("10.2.0.53")
                    && !resolved.control(["domain"]).output.contains("corp.example")
            }
            #expect(try lab.left.up("inner").succeeded)
            try eventually("they are there again") { try resolved.control(["dns"]).output.contains("10.2.0.53") }
            host.kill()
            try eventually("they go with the device") { try !resolved.control(["dns"]).output.contains("10.2.0.53") }
        }
    }
}
