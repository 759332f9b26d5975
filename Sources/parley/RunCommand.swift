import ArgumentParser
import Daemon
import Logging

/// `parley run`: the daemon.
struct RunCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Run the daemon in the foreground.",
        discussion: "SIGHUP reads the configuration again; SIGINT and SIGTERM delete all SAs and end it.")

    @Option(
        help: "A swanctl.conf, or a directory that holds one; without it, connections come over the control socket.")
    var config: String?

    @OptionGroup var socket: ControlSocketOption

    @Option(help: "The TUN device's name; %d stands for a free number.")
    var tunnel = "parley%d"

    @Option(help: "What to log: trace, debug, info, notice, warning or error.")
    var logLevel = "info"

    func validate() throws {
        if Logger.Level(rawValue: logLevel) == nil { throw ValidationError("unknown log level '\(logLevel)'") }
    }

    func run() throws {
        var daemon = DaemonConfiguration(files: config, socketPath: socket.path)
        daemon.tunnelName = tunnel
        daemon.logLevel = Logger.Level(rawValue: logLevel) ?? .info
        do {
            try Daemon.run(daemon)
        } catch {
            ConsoleError.print("parley: \(error.description)")
            throw ExitCode.failure
        }
    }
}
