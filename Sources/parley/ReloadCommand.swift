import ArgumentParser
import Control

/// `parley reload`: the daemon reads its configuration again.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Read the configuration again; with errors in it, nothing changes.")

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient { client in
            let answer = try client.request("reload-settings")
            guard answer.flag("success") else {
                // The diagnostics, one a line, as `check` prints them.
                ConsoleError.print(answer.text("errmsg") ?? "refused without a reason")
                ConsoleError.print("parley: the configuration stays as it was")
                throw EndCode.failure.exitCode
            }
            Console.print("configuration reloaded")
        }
    }
}
