import IPsec
import RADIUS

// `groups` of a remote round: the peer's user must be in one of them.
extension ConfigurationChecker {
    /// Groups that a round may name.
    private static let maximumGroups = 64

    func groups(of round: inout AuthenticationRound, _ reader: SectionReader, _ end: String) {
        guard let setting = reader.setting("groups") else { return }
        guard end == "remote" else {
            log.report(
                "'groups' in \(reader.path) is for the peer: it belongs into a remote section", at: setting.key.position
            )
            return
        }
        // Whose groups nobody knows must not pass without.
        guard round.method.userMethod == .radius || round.asksServer else {
            log.report(
                "'groups' in \(reader.path) goes with auth = eap-radius or xauth-radius: an authentication server says of which "
                    + "groups a user is (attribute certificates are not read)", at: setting.key.position)
            return
        }
        let groups = ValueGrammar.list(setting.value.text)
        guard (1...Self.maximumGroups).contains(groups.count) else {
            reader.wrong(setting, expected: "names of groups, 1 to \(Self.maximumGroups)")
            return
        }
        round.groups = groups
    }

    /// Connections that are for groups, where no attribute of the server's counts as one.
    func checkGroups(of connections: SettingsSection?, _ configuration: Configuration) {
        guard !configuration.radius.takesClassGroups, !configuration.radius.takesFilterGroups else { return }
        for connection in configuration.connections where connection.remote.contains(where: { !$0.groups.isEmpty }) {
            guard let section = connections?.section(connection.name) else { continue }
            log.report(
                "connections.\(connection.name) has 'groups', and nobody is in any: write class_group = yes or filter_id = yes in "
                    + "the section radius", at: section.name.position)
        }
    }
}
