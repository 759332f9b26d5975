import ArgumentParser
import Daemon

/// `parley run`: the daemon.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the daemon in the foreground.",
        discussion: "SIGHUP reads the configuration again; SIGINT and SIGTERM delete all SAs and end it.")

    @Option(
        help: "A swanctl.conf, or a directory that holds one; without it, connections come over the control socket.")
    var config: String?

    @Option(
        help:
            "A strongswan.conf; without it, the one beside the configuration, or above its directory where that is called swanctl.",
        completion: .file())
    var settings: String?

    @OptionGroup var socket: ControlSocketOption

    @Option(help: "The TUN device's name; %d stands for a free number.")
    var tunnel = "parley%d"

    @OptionGroup(title: "Without a TUN device and without rights") var front: FrontOptions

    @Option(
        help:
            "What to log: trace, debug, info, notice, warning or error, and TOPIC=LEVEL where a topic (dmn, ike, chd, cfg, net) differs: info,net=debug. Without it, as strongswan.conf's filelog and journal sections say, else info."
    )
    var logLevel: String?

    @Option(help: "How to log: text, or json with one object a line.")
    var logFormat = "text"

    @Option(help: "Serve a dashboard at /, /metrics (OpenMetrics) and /health on this port of 127.0.0.1.")
    var observe: UInt16?

    @Option(
        help: ArgumentHelp(
            "Write the keys of all SAs into this directory, which Wireshark takes as a profile.",
            discussion: "For debugging alone: whoever reads these files can read and forge the traffic."),
        completion: .directory)
    var keyLog: String?

    @Option(
        help: ArgumentHelp(
            "Keep a secret in this directory from which peers see at once that the daemon lost its SAs (RFC 6290).",
            discussion: "Made where it is missing; no other daemon may have the same."),
        completion: .directory)
    var state: String?

    func validate() throws {
        if let logLevel, LogLevels(logLevel) == nil { throw ValidationError("unknown log level '\(logLevel)'") }
        if LogFormat(rawValue: logFormat) == nil { throw ValidationError("--log-format is text or json") }
    }

    func run() throws {
        var daemon = DaemonConfiguration(files: config, socketPath: socket.path)
        daemon.tunnelName = tunnel
        daemon.front = front.configuration
        daemon.logLevels = logLevel.flatMap { LogLevels($0) }
        daemon.settingsFile = settings
        daemon.logFormat = LogFormat(rawValue: logFormat) ?? .text
        daemon.observationPort = observe
        daemon.keyLogDirectory = keyLog
        daemon.stateDirectory = state
        do {
            try Daemon.run(daemon)
        } catch {
            ConsoleError.print("parley: \(error.description)")
            throw ExitCode.failure
        }
    }
}
