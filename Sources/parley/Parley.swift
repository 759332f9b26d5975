import ArgumentParser
import Daemon
import Glibc

/// The one program: the daemon, the commands that talk to it, and the tools that need none.
@main struct Parley: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "parley",
        abstract: "Key management for IPsec: IKE versions 1 and 2, and ESP.",
        discussion: "Commands end with 0 when done, 1 when refused or failed, 2 when used wrongly or without a daemon.",
        version: "parley \(ParleyVersion.text)",
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        var commands: [any ParsableCommand.Type] = []
        commands.append(RunCommand.self)
        commands.append(CheckCommand.self)
        commands.append(ConvertCommand.self)
        commands.append(UpCommand.self)
        commands.append(DownCommand.self)
        commands.append(RekeyCommand.self)
        commands.append(RehearseCommand.self)
        commands.append(CloneCommand.self)
        commands.append(StatusCommand.self)
        commands.append(PlanCommand.self)
        commands.append(ReloadCommand.self)
        commands.append(LogCommand.self)
        commands.append(TraceCommand.self)
        commands.append(CaptureCommand.self)
        commands.append(DecodeCommand.self)
        commands.append(ExplainCommand.self)
        commands.append(LoopbackCommand.self)
        commands.append(SimulateCommand.self)
        commands.append(PKICommand.self)
        commands.append(VersionCommand.self)
        return commands
    }

    /// Runs what the arguments ask for. Wrong usage ends with 2, where the library's own end would be 64.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch {
            guard exitCode(for: error) == .validationFailure else { exit(withError: error) }
            ConsoleError.print(fullMessage(for: error))
            Glibc.exit(EndCode.usage.rawValue)
        }
    }
}
