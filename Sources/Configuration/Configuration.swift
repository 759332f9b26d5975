package import Cryptography
package import IPsec
package import Primitives
package import RADIUS

/// Reads a file of a public key by the name that the configuration gives it: an absolute path, or a name in the directory
/// `pubkey`.
package typealias KeyFileLoader = (String) -> Result<[UInt8], IncludeFailure>

/// What opens an encrypted private key: one section `secrets.private…`, `rsa…`, `ecdsa…` or `pkcs8…`.
package struct KeyPassphrase: Sendable {
    /// The section's name.
    package var name: String
    /// The directory of the file beside `swanctl.conf`.
    package var directory: String
    /// An absolute path, or a name in the directory.
    package var file: String
    package var secret: Secret
}

/// A checked configuration: every value is legal by type.
package struct Configuration: Sendable {
    /// In the order of the files.
    package var connections: [Connection]
    package var secrets: [SharedKey]
    /// Passwords of users (`secrets.xauth*` and `secrets.eap*`).
    package var users: [SharedKey]
    package var pools: [AddressPool]
    package var passphrases: [KeyPassphrase] = []
    package var radius = RADIUSSettings()
    package var authorities: [CertificateAuthority] = []
    package var settings: Settings

    /// Values of `strongswan.conf` that this version knows; here they stand in a section `charon` of the same tree.
    package struct Settings: Hashable, Sendable {
        package var engine = EngineSettings()
        /// `charon.tcp_ports`: what to listen on for IKE and ESP in TCP (RFC 9329).
        package var streamPorts: [UInt16] = []
        /// `charon.packet_workers`: threads that carry packets, for each direction; `nil`: as the machine has processors.
        package var packetWorkers: Int?
        /// `charon.path_probing`: how large packets may be is learned from what arrives (RFC 8899).
        package var probesPaths = false
        /// The section `charon.iptfs`: how children of that mode share payloads.
        package var aggregation = Aggregation()
        /// The section `charon.tls`: what is spoken inside EAP.
        package var tlsVersions = TLSVersion.v12...TLSVersion.v13
        /// `charon.replay_window`: packets, for children that set none.
        package var replayWindowPackets = 32
        /// `install_virtual_ip` and `install_routes`: whether the daemon changes the machine's addresses and routes.
        package var installsAddresses = true
        /// An IKE SA whose last child carried nothing for its `inactivity` is closed with it.
        package var closesIdleSessions = false
        package var installsRoutes = true
        /// `hash_and_url`, for connections.
        package var usesCertificateLocations = false
        /// `rdn_matching`: how names must have the parts of those that connections' `id`, `eap_id` and `ca_id` ask for, and those of
        /// secrets' `id…`.
        package var nameMatching = DistinguishedName.Matching.strict
        /// RSA is padded as RSASSA-PSS has it.
        package var prefersPSS = false
        /// RFC 7427, with peers that know it.
        package var signsDigitally = true
        /// Signatures in AUTH are held to what `auth` says of certificates.
        package var bindsMessages = true
        /// `install_dns`: the file that name servers of gateways go into; `nil`: none.
        package var nameServerFile: String?
        /// `dns1`, `dns2`, `nbns1` and `nbns2`: what every peer with a virtual address is told.
        package var nameServers: [IPAddress] = []
        package var netBIOSNameServers: [IPAddress] = []
        /// charon's levels (-1 to 4) by its names of topics, and `default`; empty where no log was configured.
        package var logLevels: [String: Int] = [:]
        /// What a `strongswan.conf` says that changes nothing, one line each, with its place and the reason.
        package var notes: [String] = []

        package init() {}
    }

    package init(
        connections: [Connection] = [], secrets: [SharedKey] = [], users: [SharedKey] = [], pools: [AddressPool] = [],
        settings: Settings = Settings()
    ) {
        self.connections = connections
        self.secrets = secrets
        self.users = users
        self.pools = pools
        self.settings = settings
    }

    /// Takes over what a part brings, such as one that came over the control socket: of equal names, the part's counts.
    /// Connections are not among it; they are put in force one by one.
    package mutating func absorb(_ part: Configuration) {
        Configuration.absorb(part.secrets, into: &secrets)
        Configuration.absorb(part.users, into: &users)
        for authority in part.authorities {
            if let index = authorities.firstIndex(where: { $0.name == authority.name }) {
                authorities[index] = authority
            } else {
                authorities.append(authority)
            }
        }
    }

    private static func absorb(_ part: [SharedKey], into keys: inout [SharedKey]) {
        for key in part {
            if !key.name.isEmpty, let index = keys.firstIndex(where: { $0.name == key.name }) {
                keys[index] = key
            } else {
                keys.append(key)
            }
        }
    }

    /// For key management.
    package var policies: PolicyDatabase { PolicyDatabase(connections: connections, pools: pools) }

    /// Reads and checks a file with all that it includes.
    ///
    /// - Parameter base: what counts where the file has no section `charon`: what a `strongswan.conf` says.
    /// - Throws: every error there is, of the syntax and of the values, in the order of the files.
    package static func read(
        _ file: SourceFile, settings base: Settings = Settings(),
        loader: @escaping IncludeLoader = { _, _ in .failure(IncludeFailure("no files here")) },
        keyFiles: @escaping KeyFileLoader = { _ in .failure(IncludeFailure("no files here")) }
    ) throws(ConfigurationErrors) -> Configuration {
        var (settings, diagnostics) = SettingsParser.parse(file, loader: loader)
        let checker = ConfigurationChecker(keyFiles: keyFiles)
        let configuration = checker.check(settings, settings: base)
        diagnostics += checker.log.diagnostics
        if diagnostics.isEmpty { return configuration }
        throw ConfigurationErrors(inFileOrder(diagnostics))
    }

    /// Checks settings that came one by one over the control socket rather than in a file.
    ///
    /// - Parameters:
    ///   - root: sections by their names in `swanctl.conf`, without references.
    ///   - settings: what is in force, for defaults that stand there.
    /// - Throws: every error there is; the positions are those of `root`.
    package static func check(
        _ root: SettingsSection, settings: Settings
    ) throws(ConfigurationErrors) -> Configuration {
        let checker = ConfigurationChecker(isPart: true)
        let configuration = checker.check(ResolvedSettings(tree: root, templates: []), settings: settings)
        if checker.log.diagnostics.isEmpty { return configuration }
        throw ConfigurationErrors(checker.log.diagnostics)
    }

    private static func inFileOrder(_ diagnostics: [Diagnostic]) -> [Diagnostic] {
        var order: [String: Int] = [:]
        for diagnostic in diagnostics where order[diagnostic.position.file] == nil {
            order[diagnostic.position.file] = order.count
        }
        func key(_ entry: (offset: Int, element: Diagnostic)) -> (Int, Int, Int, Int) {
            let position = entry.element.position
            return (order[position.file] ?? 0, position.line, position.column, entry.offset)
        }
        var seen: Set<Diagnostic> = []
        return diagnostics.enumerated().sorted { key($0) < key($1) }.map(\.element).filter { seen.insert($0).inserted }
    }
}
