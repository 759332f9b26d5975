import Foundation

/// Which daemon plays a side.
enum Implementation: String {
    case parley, charon
}

/// A daemon on one host of the lab. Both daemons are read through vici, with strongSwan's own client.
class Peer {
    let implementation: Implementation
    let side: Side
    let directory: URL
    let network: Network
    fileprivate(set) var process: Subprocess?
    /// Further settings of the daemon itself (`fragment_size = 576`), for its next start.
    var settings: [String] = []

    var socket: String { directory.appendingPathComponent("vici").path }
    var uri: String { "unix://\(socket)" }
    var configurationPath: String { directory.appendingPathComponent("swanctl.conf").path }
    /// Everything the daemon has logged.
    var log: String { "" }

    fileprivate init(_ implementation: Implementation, side: Side, directory: URL, network: Network) throws {
        self.implementation = implementation
        self.side = side
        self.directory = directory
        self.network = network
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
    }

    static func make(_ implementation: Implementation, side: Side, directory: URL, network: Network) throws -> Peer {
        switch implementation {
        case .charon: try Charon(side: side, directory: directory, network: network)
        case .parley: try Parley(side: side, directory: directory, network: network)
        }
    }

    /// Writes the configuration, and starts the daemon with it or has it read again.
    func load(_ text: String) throws { fatalError("a subclass loads") }
    /// Asks for a child; returns when it is there or has failed.
    func up(_ child: String, seconds: Double = 20) throws -> CommandResult { fatalError("a subclass initiates") }
    /// Deletes all children of a name.
    func down(child: String) throws -> CommandResult {
        try swanctl(["--terminate", "--child", child, "--timeout", "10"])
    }
    /// Deletes all IKE SAs of a connection.
    func down(ike: String) throws -> CommandResult { try swanctl(["--terminate", "--ike", ike, "--timeout", "10"]) }
    func rekey(child: String) throws -> CommandResult { try swanctl(["--rekey", "--child", child]) }
    func rekey(ike: String) throws -> CommandResult { try swanctl(["--rekey", "--ike", ike]) }

    /// What the daemon says of its SAs.
    func securityAssociations() throws -> [IKESAView] {
        let result = try swanctl(["--list-sas", "--raw"])
        guard result.succeeded else { throw LabFailure(result.description) }
        return try IKESAView.list(result.output)
    }

    func swanctl(_ arguments: [String]) throws -> CommandResult {
        try Subprocess.run(["swanctl"] + arguments + ["--uri", uri], seconds: 30)
    }

    func stop() {
        process?.stop()
        process = nil
    }

    /// Ends the daemon without giving it a chance to say so.
    func kill() {
        process?.signal(SIGKILL)
        _ = process?.wait(seconds: 5)
        process = nil
        try? FileManager.default.removeItem(atPath: socket)
    }

    fileprivate func write(_ text: String, to name: String) throws {
        try text.write(to: directory.appendingPathComponent(name), atomically: true, encoding: .utf8)
    }

    fileprivate func awaitSocket() throws {
        try eventually("\(implementation) opens \(socket)", seconds: 10) {
            guard let process, process.isRunning else {
                throw LabFailure("\(implementation) ended at once:\n\(process?.output ?? "")\n\(log)")
            }
            return try FileManager.default.fileExists(atPath: socket) && swanctl(["--version"]).succeeded
        }
    }
}

/// Debian's strongSwan with ESP in its own process (kernel-libipsec), so that no kernel support is needed.
final class Charon: Peer {
    override var log: String {
        (try? String(contentsOf: directory.appendingPathComponent("log"), encoding: .utf8)) ?? ""
    }

    fileprivate init(side: Side, directory: URL, network: Network) throws {
        try super.init(.charon, side: side, directory: directory, network: network)
        // swanctl looks for these beside its file.
        let folders =
            "x509 x509ca x509ocsp x509aa x509ac x509crl pubkey private rsa ecdsa bliss pkcs8 pkcs12"
        for folder in folders.split(separator: " ").map(String.init) {
            let path = directory.appendingPathComponent(folder)
            try FileManager.default.createDirectory(at: path, withIntermediateDirectories: true)
        }
    }

    private func writeSettings() throws {
        // Short retransmission, so that a dead peer is noticed in seconds. libipsec's deferred removal of a rekeyed
        // child stays as it is.
        try write(
            """
            charon-systemd {
                load = random nonce openssl aes xcbc cmac ctr ccm kdf kernel-libipsec kernel-netlink socket-default vici updown xauth-generic eap-identity eap-md5 eap-gtc eap-mschapv2 eap-tls eap-ttls unity counters attr pem pkcs1 pkcs8 x509 pubkey constraints revocation curl
                cisco_unity = yes
                retransmit_tries = 3
                retransmit_timeout = 0.5
                retransmit_base = 1.5
                keep_alive = 1s
                \(settings.joined(separator: "\n"))
                i_dont_care_about_security_and_use_aggressive_mode_psk = yes
                plugins {
                    vici {
                        socket = \(uri)
                    }
                }
                filelog {
                    lab {
                        path = \(directory.appendingPathComponent("log").path)
                        default = 1
                        ike = 2
                        cfg = 2
                        enc = 1
                        chd = 2
                        knl = 1
                        esp = 1
                        flush_line = yes
                        time_format = %H:%M:%S
                    }
                }
            }
            """, to: "strongswan.conf")
    }

    override func load(_ text: String) throws {
        try write(text, to: "swanctl.conf")
        if process == nil {
            try writeSettings()
            process = try Subprocess(
                network.on(side, ["/usr/sbin/charon-systemd"]),
                environment: ["STRONGSWAN_CONF": directory.appendingPathComponent("strongswan.conf").path],
                outputPath: directory.appendingPathComponent("output"))
            try awaitSocket()
        }
        let result = try swanctl(["--load-all", "--clear", "--noprompt", "--file", configurationPath])
        guard result.succeeded else { throw LabFailure(result.description) }
    }

    override func up(_ child: String, seconds: Double) throws -> CommandResult {
        try swanctl(["--initiate", "--child", child, "--timeout", String(Int(seconds))])
    }
}

/// The daemon of this repository.
final class Parley: Peer {
    /// The program under test: what the environment names, else this checkout's build in the tests' configuration.
    static let binary: String? = {
        let files = FileManager.default
        if let named = ProcessInfo.processInfo.environment["PARLEY_BINARY"] { return named }
        let checkout = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        #if DEBUG
            let path = checkout.appendingPathComponent(".build/debug/parley").path
        #else
            let path = checkout.appendingPathComponent(".build/release/parley").path
        #endif
        return files.isExecutableFile(atPath: path) ? path : nil
    }()

    /// Whether the daemon runs as a user without rights, from its next start on.
    var isUnprivileged = false
    /// Further options of `parley run`, for the next start.
    var options: [String] = []
    /// What its environment has besides the lab's, for the next start.
    var environment: [String: String] = [:]

    override var log: String {
        (try? String(contentsOf: directory.appendingPathComponent("output"), encoding: .utf8)) ?? ""
    }

    fileprivate init(side: Side, directory: URL, network: Network) throws {
        try super.init(.parley, side: side, directory: directory, network: network)
    }

    /// The daemon's own settings, which charon has in strongswan.conf.
    private static let quickSettings = """
        charon {
            retransmit_tries = 3
            retransmit_timeout = 0.5
            retransmit_base = 1.5
            keep_alive = 1s
        }

        """

    override func load(_ text: String) throws {
        let own = settings.isEmpty ? "" : "charon {\n\(settings.joined(separator: "\n"))\n}\n"
        try write(Parley.quickSettings + own + text, to: "swanctl.conf")
        if process != nil {
            let result = try client(["reload"])
            guard result.succeeded else { throw LabFailure(result.description) }
            return
        }
        guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
        var user: [String] = []
        if isUnprivileged {
            user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--no-new-privs"]
            try FileManager.default.setAttributes(
                [.ownerAccountID: 65_534, .groupOwnerAccountID: 65_534], ofItemAtPath: directory.path)
        }
        process = try Subprocess(
            network.on(
                side, user + [binary, "run", "--config", configurationPath, "--uri", uri] + options),
            environment: environment, outputPath: directory.appendingPathComponent("output"))
        try awaitSocket()
    }

    override func up(_ child: String, seconds: Double) throws -> CommandResult {
        try client(["up", child], seconds: seconds + 5)
    }

    /// One of the program's own client commands against this daemon.
    func client(_ arguments: [String], seconds: Double = 30) throws -> CommandResult {
        guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
        return try Subprocess.run([binary] + arguments + ["--uri", uri], seconds: seconds)
    }
}
