import ArgumentParser

/// `parley pki`: makes and looks at keys and certificates. Needs no daemon.
struct PKICommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pki", abstract: "Make keys, authorities and certificates, and look at them.",
        subcommands: subcommands)

    private static var subcommands: [any ParsableCommand.Type] {
        var commands: [any ParsableCommand.Type] = []
        commands.append(PKIKeyCommand.self)
        commands.append(PKIAuthorityCommand.self)
        commands.append(PKIIssueCommand.self)
        commands.append(PKISiteCommand.self)
        commands.append(PKIRequestCommand.self)
        commands.append(PKIRevokeCommand.self)
        commands.append(PKIPrintCommand.self)
        commands.append(PKIVerifyCommand.self)
        commands.append(PKIExportCommand.self)
        return commands
    }
}
