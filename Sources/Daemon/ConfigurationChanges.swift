import Configuration
import Control
import Credentials
import IPsec
import KeyManagement

/// Changes of what is in force: whole configurations from files, single parts from the control socket.
extension ControlLoop {
    /// How many configurations a rollback can go back.
    private static let earlierMaximum = 8

    /// All that is in force.
    var configuration: Configuration {
        var configuration = running
        configuration.connections = manager.policies.connections
        configuration.pools = manager.policies.pools
        return configuration
    }

    /// Why a change was not made.
    struct Refused: Error {
        var reason: String
    }

    // MARK: Whole

    /// A configuration with the keys that lie beside it.
    struct Loaded {
        var configuration: Configuration
        var keys: KeyFiles.Found
        var declared: [String: DeclaredRounds]
    }

    /// Reads the files again, keys included; the reason where they cannot be read or are wrong.
    func readFiles() -> Result<Loaded, Refused> {
        guard let files else {
            return .failure(Refused(reason: "the daemon was started without --config: there are no files to read"))
        }
        return ConfigurationFiles.load(files, settingsFile: settingsFile).mapError { Refused(reason: $0.description) }
            .map { configuration in
                let keys = KeyFiles.load(beside: files, configuration.passphrases)
                var configuration = configuration
                let declared = DeclaredRounds.of(configuration.connections)
                configuration.connections =
                    keys.completing(configuration.policies, configuration.authorities).connections
                return Loaded(configuration: configuration, keys: keys, declared: declared)
            }
    }

    /// Reads the files again and puts them in force; with a problem nothing has changed.
    func reload() -> (problem: String?, changes: [ConfigurationChange]) {
        switch readFiles() {
        case .failure(let refused): return (refused.reason, [])
        case .success(let loaded):
            let changes = ConfigurationChange.between(self.configuration, loaded.configuration)
            remember()
            putInForce(loaded)
            let configuration = loaded.configuration
            for problem in loaded.keys.problems(with: configuration.policies, configuration.authorities) {
                note(.configuration, problem)
            }
            note(.configuration, "loaded \(loaded.configuration.connections.count) connections")
            return (nil, changes)
        }
    }

    /// Reads `strongswan.conf` and the sections `charon` and `radius` again, and nothing else: connections and secrets stay,
    /// as charon's do. What is wrong with the files comes back, and then nothing changed.
    func reloadSettings() -> String? {
        let settings: Configuration.Settings
        var radius = running.radius
        if files == nil {
            switch ConfigurationFiles.loadSettings(settingsFile) {
            case .failure(let errors): return errors.description
            case .success(let read): settings = read
            }
        } else {
            switch readFiles() {
            case .failure(let refused): return refused.reason
            case .success(let loaded):
                settings = loaded.configuration.settings
                radius = loaded.configuration.radius
            }
        }
        use(settings)
        running.radius = radius
        userService.use(radius, loop: self)
        note(.configuration, "loaded settings")
        for text in settings.notes { note(.configuration, text) }
        return nil
    }

    /// Goes back to what was in force before the last reload.
    func rollBack() -> (problem: String?, changes: [ConfigurationChange]) {
        guard let last = earlier.popLast() else { return ("there is no earlier configuration to go back to", []) }
        let changes = ConfigurationChange.between(configuration, last.configuration)
        putInForce(last)
        note(.configuration, "rolled back to \(last.configuration.connections.count) connections")
        return (nil, changes)
    }

    private func remember() {
        earlier.append(Loaded(configuration: configuration, keys: keyFiles, declared: declared))
        if earlier.count > ControlLoop.earlierMaximum { earlier.removeFirst() }
    }

    private func putInForce(_ loaded: Loaded) {
        let configuration = loaded.configuration
        let policies = ControlLoop.resolved(configuration.policies)
        forgetKeys()
        keyFiles = loaded.keys
        declared = loaded.declared
        running = configuration
        running.connections = []
        use(configuration.settings)
        userService.use(configuration.radius, loop: self)
        replacePolicies(policies)
        names.watch(policies.names)
        for text in configuration.settings.notes + configuration.notes { note(.configuration, text) }
    }

    // MARK: Parts

    /// Checks a part that came over the control socket.
    func check(_ root: SettingsSection) -> Result<Configuration, Refused> {
        do throws(ConfigurationErrors) {
            return .success(try Configuration.check(root, settings: running.settings))
        } catch {
            let lines = error.diagnostics.map { diagnostic in
                diagnostic.message + (diagnostic.suggestion.map { "; did you mean '\($0)'?" } ?? "")
            }
            return .failure(Refused(reason: lines.joined(separator: "\n")))
        }
    }

    /// Puts connections in force beside the others. Their names are looked up meanwhile.
    func put(_ connections: [Connection]) {
        var isNamed = false
        for connection in connections {
            let isKnown = manager.policies.connection(connection.name) != nil
            forgetKeys()
            declared[connection.name] = DeclaredRounds(connection)
            command(.put(completed(connection))) { _ in }
            note(.configuration, "\(isKnown ? "replaced" : "added") connection '\(connection.name)'")
            isNamed = isNamed || !connection.names.isEmpty
        }
        if isNamed { names.watch(manager.policies.names) }
    }

    /// Takes a connection out of force; `false` where there is none of that name.
    func drop(connection name: String) -> Bool {
        guard manager.policies.connection(name) != nil else { return false }
        forgetKeys()
        declared[name] = nil
        command(.drop(connection: name)) { _ in }
        note(.configuration, "removed connection '\(name)'")
        return true
    }

    /// Changes secrets and what else ``running`` holds.
    func change(_ body: (inout Configuration) -> Void) {
        forgetKeys()
        body(&running)
    }
}
