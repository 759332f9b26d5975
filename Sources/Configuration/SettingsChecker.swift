package import IPsec
import Primitives

// The daemon's own settings: the section `charon` of `swanctl.conf`, and `strongswan.conf`.
extension ConfigurationChecker {
    /// Reads a section `charon`.
    ///
    /// - Parameters:
    ///   - base: what counts where the section says nothing.
    ///   - isLenient: what changes nothing is noted, and not an error: the file was written for another program as well.
    func settings(
        _ section: SettingsSection, over base: Configuration.Settings = .init(), isLenient: Bool = false
    ) -> Configuration.Settings {
        let reader = SectionReader(section: section, path: section.name.text, log: log)
        var settings = base
        if isLenient {
            note(section, reader)
        } else {
            reader.check(keys: KnownKeys.settings) { inner in
                if ["filelog", "journal", "iptfs", "tls"].contains(inner.name.text) { return true }
                let reason =
                    KnownKeys.settingsSections[inner.name.text] ?? (inner.name.text == "plugins" ? "it has none" : nil)
                guard let reason else { return false }
                log.report(
                    "section 'charon.\(inner.name.text)' is \(SectionReader.notSupported): \(reason)",
                    at: inner.name.position)
                return true
            }
        }
        retransmission(&settings, reader)
        limits(&settings, reader)
        machine(&settings, reader)
        aggregation(&settings, section, isLenient)
        tlsVersions(&settings, section, isLenient: isLenient)
        logLevels(&settings, section)
        return settings
    }

    private typealias Path<Value> = WritableKeyPath<Configuration.Settings, Value>

    private func set<Value>(_ settings: inout Configuration.Settings, _ path: Path<Value>, _ value: Value?) {
        if let value { settings[keyPath: path] = value }
    }

    private func retransmission(_ settings: inout Configuration.Settings, _ reader: SectionReader) {
        func seconds(_ key: String, _ range: ClosedRange<Double>) -> Double? {
            reader.value(key, expected: "seconds, such as 4.0") { text in
                Double(text).flatMap { range.contains($0) ? $0 : nil }
            }
        }
        set(&settings, \.engine.retransmitTimeout, seconds("retransmit_timeout", 0.01...3600).map { .seconds($0) })
        if let limit = seconds("retransmit_limit", 0...86_400) {
            settings.engine.retransmitLimit = limit == 0 ? nil : .seconds(limit)
        }
        let base = reader.value("retransmit_base", expected: "a factor from 1 to 10, such as 1.8") { text in
            Double(text).flatMap { (1...10).contains($0) ? $0 : nil }
        }
        set(&settings, \.engine.retransmitBase, base)
        set(&settings, \.engine.retransmitTries, reader.unsigned("retransmit_tries", 0...100).map { Int($0) })
        set(&settings, \.engine.keepaliveInterval, reader.time("keep_alive"))
        set(&settings, \.engine.halfOpenTimeout, reader.time("half_open_timeout"))
        for (key, path) in [
            ("fragment_size", \EngineSettings.fragmentOctetsV4), ("fragment_size", \.fragmentOctetsV6),
            ("fragment_size_v4", \.fragmentOctetsV4), ("fragment_size_v6", \.fragmentOctetsV6),
        ] {
            // 0 is the smallest that each family promises to carry.
            let octets = reader.unsigned(key, 0...65_535).map { Int($0) }
            let smallest = path == \.fragmentOctetsV4 ? 576 : 1280
            if let octets { settings.engine[keyPath: path] = octets == 0 ? smallest : max(octets, 576) }
        }
        set(&settings, \.engine.window, reader.unsigned("window_size", 1...32).map { UInt32($0) })
        set(&settings, \.replayWindowPackets, reader.unsigned("replay_window", 0...65_536).map { Int($0) })
    }

    private func limits(_ settings: inout Configuration.Settings, _ reader: SectionReader) {
        func count(_ key: String, _ path: Path<Int>) {
            set(&settings, path, reader.unsigned(key, 0...1_000_000).map { Int($0) })
        }
        count("cookie_threshold", \.engine.cookieThreshold)
        count("cookie_threshold_ip", \.engine.cookieThresholdPerSource)
        count("block_threshold", \.engine.blockThreshold)
        count("puzzle_threshold", \.engine.puzzleThreshold)
        set(&settings, \.engine.puzzleDifficulty, reader.unsigned("puzzle_difficulty", 1...32).map { UInt8($0) })
        if reader.boolean("dos_protection") == false {
            settings.engine.cookieThreshold = 0
            settings.engine.cookieThresholdPerSource = 0
            settings.engine.blockThreshold = 0
            settings.engine.puzzleThreshold = 0
        }
        count("init_limit_half_open", \.engine.halfOpenLimit)
        count("ikesa_limit", \.engine.sessionLimit)
        set(&settings, \.engine.initiatesOnly, reader.boolean("initiator_only"))
        // IKE's header alone has 28 octets; no message that begins an SA is this small.
        set(&settings, \.engine.messageOctets, reader.unsigned("max_packet", 576...65_535).map { Int($0) })
        set(&settings, \.engine.takesFurtherRounds, reader.boolean("multiple_authentication"))
        set(&settings, \.engine.followsRedirects, reader.boolean("follow_redirects"))
    }

    private func machine(_ settings: inout Configuration.Settings, _ reader: SectionReader) {
        set(&settings, \.engine.port, reader.unsigned("port", 1...65_535).map { UInt16($0) })
        set(&settings, \.engine.natPort, reader.unsigned("port_nat_t", 1...65_535).map { UInt16($0) })
        let ports = reader.list("tcp_ports", expected: "up to 8 ports, such as 4500, 443") { text in
            ValueGrammar.unsigned(text).flatMap { (1...65_535).contains($0) ? UInt16($0) : nil }
        }
        if let ports, ports.count > 8, let setting = reader.setting("tcp_ports") {
            reader.wrong(setting, expected: "up to 8 ports, such as 4500, 443")
        }
        set(&settings, \.streamPorts, ports)
        if let workers = reader.unsigned("packet_workers", 0...16) {
            settings.packetWorkers = workers == 0 ? nil : Int(workers)
        }
        set(&settings, \.probesPaths, reader.boolean("path_probing"))
        set(&settings, \.closesIdleSessions, reader.boolean("inactivity_close_ike"))
        if let interval = reader.time("path_probing_interval") {
            settings.engine.probingInterval = max(interval, .seconds(1))
        }
        set(&settings, \.installsAddresses, reader.boolean("install_virtual_ip"))
        set(&settings, \.installsRoutes, reader.boolean("install_routes"))
        set(&settings, \.usesCertificateLocations, reader.boolean("hash_and_url"))
        let matching = DistinguishedName.Matching.allCases.map { ($0.rawValue, $0) }
        set(&settings, \.nameMatching, reader.word("rdn_matching", matching))
        set(&settings, \.prefersPSS, reader.boolean("rsa_pss"))
        set(&settings, \.signsDigitally, reader.boolean("signature_authentication"))
        set(&settings, \.bindsMessages, reader.boolean("signature_authentication_constraints"))
        if let setting = reader.setting("install_dns") {
            if setting.value.text.hasPrefix("/") {
                settings.nameServerFile = setting.value.text
            } else if let isInstalled = reader.boolean("install_dns") {
                settings.nameServerFile = isInstalled ? "/etc/resolv.conf" : nil
            }
        }
        func servers(_ keys: [String]) -> [IPAddress] {
            keys.compactMap { key in reader.value(key, expected: "an address") { IPAddress($0) } }
        }
        let names = servers(["dns1", "dns2"])
        if !names.isEmpty { settings.nameServers = names }
        let netBIOS = servers(["nbns1", "nbns2"])
        if !netBIOS.isEmpty { settings.netBIOSNameServers = netBIOS }
    }

    /// Reads a section inside `charon`, whose keys have been looked at by then; `nil` where there is none.
    func reader(
        of name: String, in section: SettingsSection, _ rules: [String: KeyRule], isLenient: Bool
    ) -> SectionReader? {
        guard let section = section.section(name) else { return nil }
        let reader = SectionReader(section: section, path: "charon.\(name)", log: log)
        if isLenient {
            note(section, reader, rules)
        } else {
            reader.check(keys: rules) { _ in false }
        }
        return reader
    }

    /// How packets share payloads (RFC 9347).
    private func aggregation(_ settings: inout Configuration.Settings, _ section: SettingsSection, _ isLenient: Bool) {
        guard let reader = reader(of: "iptfs", in: section, KnownKeys.aggregation, isLenient: isLenient) else { return }
        var found = settings.aggregation
        if let octets = reader.unsigned("packet_size", 0...65_535) { found.packetOctets = Int(octets) }
        if let packets = reader.unsigned("reorder_window", 0...255) { found.reorderWindow = Int(packets) }
        let longest: UInt64 = 60_000_000
        if let microseconds = reader.unsigned("drop_time", 0...longest) {
            found.dropTime = .microseconds(Int64(microseconds))
        }
        if let microseconds = reader.unsigned("init_delay", 0...longest) {
            found.initialDelay = .microseconds(Int64(microseconds))
        }
        if let octets = reader.unsigned("max_queue_size", 0...(64 << 20)) { found.queueOctets = Int(octets) }
        if let packets = reader.unsigned("packet_rate", 0...100_000) { found.packetRate = Int(packets) }
        if let takes = reader.boolean("accept_fragments") { found.takesFragments = takes }
        if let whole = reader.boolean("dont_frag") { found.keepsWhole = whole }
        if let controls = reader.boolean("congestion_control") { found.controlsCongestion = controls }
        if found.controlsCongestion, found.packetRate == 0, let setting = reader.setting("congestion_control") {
            reader.wrong(setting, expected: "'packet_rate' beside it: the rate that the path may lower")
        }
        settings.aggregation = found
    }

    // MARK: Logs

    /// The levels of all logs: the most talkative counts, since there is one log here.
    private func logLevels(_ settings: inout Configuration.Settings, _ section: SettingsSection) {
        let logs =
            (section.section("filelog")?.sections ?? []) + (section.section("journal").map { [$0] } ?? [])
        guard !logs.isEmpty else { return }
        var levels: [String: Int] = [:]
        for log in logs {
            let reader = SectionReader(section: log, path: "charon.\(log.name.text)", log: self.log)
            var own: [String: Int] = ["default": 1]
            for setting in log.settings {
                let key = setting.name
                if key == "default" || KnownKeys.logTopics.contains(key) {
                    let level = reader.value(key, expected: "a level from -1 to 4") { text in
                        Int(text).flatMap { (-1...4).contains($0) ? $0 : nil }
                    }
                    if let level { own[key] = level }
                } else if KnownKeys.foreignTopics.contains(key) {
                    self.log.note(
                        "'\(key)' in \(reader.path): no lines here are of that kind", at: setting.key.position)
                } else if KnownKeys.logKeys.contains(key) {
                    self.log.note(
                        "'\(key)' in \(reader.path): the log goes to standard error; parley run --log-format says how",
                        at: setting.key.position)
                } else {
                    self.log.note(
                        "unknown key '\(key.excerpt)' in \(reader.path)", at: setting.key.position,
                        suggestion: NearestName.find(key, in: ["default"] + KnownKeys.logTopics + KnownKeys.logKeys))
                }
            }
            let before = levels["default"]
            for topic in ["default"] + KnownKeys.logTopics {
                let old = before == nil ? -1 : levels[topic] ?? before ?? -1
                levels[topic] = max(old, own[topic] ?? own["default"] ?? 1)
            }
        }
        settings.logLevels = levels
    }

    // MARK: strongswan.conf

    /// Says of everything in a section `charon` that changes nothing here why it does not.
    func note(
        _ section: SettingsSection, _ reader: SectionReader, _ rules: [String: KeyRule] = KnownKeys.settings
    ) {
        for setting in section.settings where !setting.value.text.isEmpty {
            let name = setting.name
            switch rules[name] {
            case .supported: break
            case .fixed(let values, let reason):
                let isSaid =
                    values.contains(setting.value.text.lowercased())
                    || values.compactMap(ValueGrammar.boolean).contains {
                        $0 == ValueGrammar.boolean(setting.value.text)
                    }
                if !isSaid {
                    log.note(
                        "'\(name) = \(setting.value.text.excerpt)' in \(reader.path) changes nothing: \(reason)",
                        at: setting.key.position)
                }
            case .unsupported(let reason):
                log.note("'\(name)' in \(reader.path) changes nothing: \(reason)", at: setting.key.position)
            case nil:
                log.note(
                    "unknown key '\(name.excerpt)' in \(reader.path)", at: setting.key.position,
                    suggestion: NearestName.find(name, in: rules.keys.sorted()))
            }
        }
        for inner in section.sections {
            let name = inner.name.text
            switch name {
            case "filelog", "journal", "iptfs", "tls": break
            case "plugins": inner.sections.forEach(notePlugin)
            default:
                if let reason = KnownKeys.settingsSections[name] {
                    log.note("section '\(reader.path).\(name)' changes nothing: \(reason)", at: inner.name.position)
                } else {
                    log.note(
                        "unknown section '\(name.excerpt)' in \(reader.path)", at: inner.name.position,
                        suggestion: NearestName.find(
                            name, in: KnownKeys.settingsSections.keys.sorted() + ["plugins", "filelog", "iptfs", "tls"])
                    )
                }
            }
        }
    }

    /// What a distribution says of every plugin, whether to load it, is not worth a line for each.
    private func notePlugin(_ plugin: SettingsSection) {
        let said =
            plugin.settings.filter { $0.name != "load" && !$0.value.text.isEmpty }.map { "'\($0.name)'" }
            + plugin.sections.filter { !$0.settings.isEmpty || !$0.sections.isEmpty }.map { "'\($0.name.text)'" }
        guard !said.isEmpty else { return }
        let reason = KnownKeys.plugins[plugin.name.text] ?? "there is no such plugin here"
        log.note(
            "\(said.joined(separator: ", ")) in charon.plugins.\(plugin.name.text.excerpt) changes nothing: \(reason)",
            at: plugin.name.position)
    }

    /// A whole `strongswan.conf`.
    func daemonSettings(_ tree: SettingsSection) -> Configuration.Settings {
        for setting in tree.settings {
            log.note("unknown key '\(setting.name.excerpt)' outside of any section", at: setting.key.position)
        }
        for section in tree.sections where !["charon", "charon-systemd"].contains(section.name.text) {
            let name = section.name.text
            log.note(
                KnownKeys.programSections.contains(name)
                    ? "section '\(name)' changes nothing: it is another program's"
                    : "unknown section '\(name.excerpt)'",
                at: section.name.position, suggestion: NearestName.find(name, in: ["charon", "charon-systemd"]))
        }
        var settings = Configuration.Settings()
        for name in ["charon", "charon-systemd"] {
            if let section = tree.section(name) { settings = self.settings(section, over: settings, isLenient: true) }
        }
        settings.notes = log.notes.map(\.description)
        return settings
    }
}

extension Configuration.Settings {
    /// Reads a `strongswan.conf`, of which much concerns other programs, or what this one does not have: all that changes
    /// nothing is in ``notes``, by name and with the reason.
    ///
    /// - Throws: syntax errors, and wrong values of what counts.
    package static func read(
        _ file: SourceFile, loader: @escaping IncludeLoader = { _, _ in .failure(IncludeFailure("no files here")) }
    ) throws(ConfigurationErrors) -> Configuration.Settings {
        let (resolved, diagnostics) = SettingsParser.parse(file, loader: loader)
        let checker = ConfigurationChecker()
        let settings = checker.daemonSettings(resolved.tree)
        let errors = diagnostics + checker.log.diagnostics
        if errors.isEmpty { return settings }
        throw ConfigurationErrors(errors)
    }

    /// Adds what every peer with an address is told.
    package func completing(_ pool: AddressPool) -> AddressPool {
        var pool = pool
        for server in nameServers where !pool.information.nameServers.contains(server) {
            pool.information.nameServers.append(server)
        }
        for server in netBIOSNameServers where !pool.information.netBIOSNameServers.contains(server) {
            pool.information.netBIOSNameServers.append(server)
        }
        return pool
    }
}
