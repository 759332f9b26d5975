import IPsec
import Primitives

// `connections.NAME`.
extension ConfigurationChecker {
    func connection(_ section: SettingsSection, _ settings: Configuration.Settings) -> Connection {
        let name = section.name.text
        let reader = SectionReader(section: section, path: "connections.\(name)", log: log)
        reader.check(keys: KnownKeys.connection, sections: ["local", "remote", "children", "groups"]) { inner in
            let inner = inner.name.text
            return inner.hasPrefix("local") && !inner.hasPrefix("local_")
                || inner.hasPrefix("remote") && !inner.hasPrefix("remote_") || inner == "children" || inner == "groups"
        }
        let profile = reader.word("profile", ClientProfile.all.map { ($0.name, $0) })
        var connection = Connection(
            name: name, proposals: proposals(reader, "proposals", .ike, profile?.proposals), children: [])
        connection.version =
            reader.value("version", expected: "0 (both), 1 or 2") { text in UInt8(text).flatMap(IKEVersion.init) }
            ?? .any
        let patterns = "addresses, blocks, ranges, DNS names or %any"
        connection.localAddresses =
            reader.list("local_addrs", expected: patterns, ValueGrammar.addressPattern) ?? [.any(nil)]
        connection.remoteAddresses =
            reader.list("remote_addrs", expected: patterns, ValueGrammar.addressPattern) ?? [.any(nil)]
        connection.localPort = reader.unsigned("local_port", 1...65_535).map { UInt16($0) } ?? settings.engine.port
        connection.remotePort = reader.unsigned("remote_port", 1...65_535).map { UInt16($0) } ?? 500
        phaseOne(of: &connection, reader)
        connection.fragmentation = fragmentation(reader)
        connection.situation = situation(reader)
        connection.asksCommit = reader.boolean("commit_bit") ?? false
        connection.hasIdentityForwardSecrecy = reader.boolean("identity_pfs") ?? false
        connection.privateGroups = privateGroups(reader)
        connection.acceptsNewGroups = reader.boolean("accept_groups") ?? false
        checkPrivateNumbers(connection.proposals, "proposals", reader, of: connection)
        connection.virtualAddresses =
            reader.list("vips", expected: "addresses, 0.0.0.0 or :: for any") { IPAddress($0) } ?? []
        connection.pools = reader.setting("pools").map { ValueGrammar.list($0.value.text) } ?? []
        connection.isPulling = reader.boolean("pull") ?? true
        let encapsulates = reader.boolean("encap")
        connection.forceEncapsulation = encapsulates ?? false
        connection.deadPeerDelay = reader.time("dpd_delay") ?? profile?.deadPeerDelay ?? .zero
        connection.deadPeerTimeout = reader.time("dpd_timeout") ?? .zero
        connection.keyingTries = reader.unsigned("keyingtries", 0...UInt64(UInt32.max)).map { UInt32($0) } ?? 1
        connection.unique =
            reader.word("unique", [("no", .no), ("never", .never), ("keep", .keep), ("replace", .replace)]) ?? .no
        if let setting = reader.setting("dscp") {
            let digits = setting.value.text
            if digits.utf8.count == 6, digits.allSatisfy({ "01".contains($0) }), let value = UInt8(digits, radix: 2) {
                connection.differentiatedServices = value
            } else {
                reader.wrong(setting, expected: "six binary digits such as 101110")
            }
        }
        extensions(of: &connection, reader)
        connection.showsCertificates =
            reader.word("send_cert", [("ifasked", true), ("always", true), ("never", false)]) ?? true
        connection.requestsCertificates = reader.boolean("send_certreq") ?? true
        connection.usesCertificateLocations = settings.usesCertificateLocations
        lifetimes(of: &connection, reader)
        authentication(of: &connection, reader)
        let isWritten = reader.section.sections.contains { $0.setting("peap_binding") != nil }
        if profile?.bindsUsers == true, !isWritten {
            for index in connection.remote.indices {
                connection.remote[index].asksBinding = connection.remote[index].method == .extensible(.peap)
            }
        }
        connection = settings.settingSignatures(of: connection)
        if settings.nameMatching != .strict {
            for index in connection.remote.indices {
                connection.remote[index].matchNames(settings.nameMatching)
            }
        }
        checkVersionOne(connection, reader)
        checkUsers(of: connection, reader)
        if profile != nil, connection.version == .v1, let setting = reader.setting("profile") {
            log.report("'profile' in \(reader.path) is for clients of version 2", at: setting.value.position)
        }
        if let reason = ProposalRules.refusal(connection.proposals, .ike, connection.version) {
            log.report(
                "\(reason) (proposals in \(reader.path))",
                at: reader.setting("proposals")?.value.position ?? section.name.position)
        }
        if let children = section.section("children") {
            for setting in children.settings {
                log.report(
                    "unknown key '\(setting.name)' in \(reader.path).children, which holds one section for each child",
                    at: setting.key.position)
            }
            connection.children = children.sections.map { child($0, of: reader.path, connection, settings, profile) }
        }
        let hasAH = connection.children.contains { $0.proposals.contains { $0.securityProtocol == .ah } }
        connection.avoidsEncapsulation = encapsulates == false || hasAH
        if hasAH, connection.forceEncapsulation, let setting = reader.setting("encap") {
            log.report(
                "'encap = yes' in \(reader.path) leaves no way for its 'ah_proposals': AH does not go inside UDP",
                at: setting.value.position)
        }
        return connection
    }

    private func fragmentation(_ reader: SectionReader) -> Connection.Fragmentation {
        let words: [(String, Connection.Fragmentation)] = [
            ("yes", .yes), ("true", .yes), ("enabled", .yes), ("1", .yes), ("accept", .accept), ("force", .force),
            ("no", .no), ("false", .no), ("disabled", .no), ("0", .no),
        ]
        return reader.word("fragmentation", words) ?? .yes
    }

    /// Extensions of version 2.
    private func extensions(of connection: inout Connection, _ reader: SectionReader) {
        connection.isMobile = reader.boolean("mobike") ?? true
        connection.optimizesRekeying = reader.boolean("optimized_rekey") ?? false
        connection.maximumClones = reader.unsigned("clones", 0...64).map { Int($0) } ?? 0
        connection.streamUse = reader.word("enable_tcp", [("no", .no), ("yes", .yes), ("fallback", .fallback)]) ?? .no
        connection.streamPort = reader.unsigned("tcp_remote_port", 1...65_535).map { UInt16($0) } ?? 4500
        if connection.streamUse != .no, connection.version == .v1, let setting = reader.setting("enable_tcp") {
            log.report(
                "'enable_tcp' in \(reader.path) has no meaning in version 1: RFC 9329 puts IKEv2 into TCP",
                at: setting.value.position)
        }
        connection.announcesMethods = reader.boolean("announce_auth") ?? false
        connection.statusUse = reader.word("ocsp", Connection.StatusUse.allCases.map { ($0.rawValue, $0) }) ?? .reply
        connection.childless =
            reader.word(
                "childless", [("allow", .allow), ("prefer", .prefer), ("force", .force), ("never", .never)]) ?? .allow
        if let setting = reader.setting("ppk_id") {
            if case .exactly(let identity)? = identityPattern(setting, reader) {
                connection.postquantumKey = identity
            } else {
                reader.wrong(setting, expected: "the name of a secrets.ppk… section's key, without '*'")
            }
        }
        connection.resumes = reader.boolean("resumption") ?? false
        connection.mixesKeyEarly = reader.boolean("ppk_intermediate") ?? true
        connection.requiresPostquantumKey = reader.boolean("ppk_required") ?? false
        let moment = reader.word("redirect_at", [("init", RedirectPolicy.Moment.initial), ("auth", .authentication)])
        let gateway = reader.value("redirect_to", expected: "an address or a DNS name") { RedirectGateway($0) }
        connection.redirect = gateway.map { RedirectPolicy(gateway: $0, moment: moment ?? .initial) }
        if gateway == nil || connection.version == .v1,
            let setting = reader.setting(gateway == nil ? "redirect_at" : "redirect_to")
        {
            log.report(
                gateway == nil
                    ? "'redirect_at' in \(reader.path) needs 'redirect_to'"
                    : "'redirect_to' in \(reader.path) needs version 2", at: setting.key.position)
        }
    }

    /// What only version 1 does here must not be left to a peer that comes with the other.
    private func checkVersionOne(_ connection: Connection, _ reader: SectionReader) {
        guard connection.version != .v1 else { return }
        if connection.localExtendedRound != nil || connection.remoteExtendedRound != nil {
            log.report("'auth = xauth' in \(reader.path) needs version = 1", at: reader.section.name.position)
        }
    }

    /// Version 1's first exchange: `exchange`, or swanctl's `aggressive`.
    private func phaseOne(of connection: inout Connection, _ reader: SectionReader) {
        let isAggressive = reader.boolean("aggressive")
        enum Mode { case main, aggressive, base }
        let words: [(String, Mode)] = [("main", .main), ("aggressive", .aggressive), ("base", .base)]
        let mode = reader.word("exchange", words)
        connection.isAggressive = mode.map { $0 == .aggressive } ?? isAggressive ?? false
        connection.isBase = mode == .base
        guard let setting = reader.setting("exchange"), let mode else { return }
        if let isAggressive, isAggressive != (mode == .aggressive) {
            log.report(
                "'exchange' and 'aggressive' in \(reader.path) say two things; one of them is enough",
                at: setting.value.position)
        }
        if connection.version == .v2 {
            log.report("'exchange' in \(reader.path) is for version 1 alone", at: setting.value.position)
        }
    }

    /// The labels of a connection's SAs (RFC 2407 §4.2).
    private func situation(_ reader: SectionReader) -> SecuritySituation {
        let form = "a level in hexadecimal digits, and ':' with numbers of categories behind it where there are any"
        let domain = reader.unsigned("label_domain", 0...UInt64(UInt32.max)).map { UInt32($0) }
        let situation = SecuritySituation(
            labelledDomain: domain ?? 0,
            secrecy: reader.value("label_secrecy", expected: form) { SecurityLabel($0) },
            integrity: reader.value("label_integrity", expected: form) { SecurityLabel($0) })
        if situation.isLabelled, reader.setting("version")?.value.text != "1",
            let setting = reader.setting("label_secrecy") ?? reader.setting("label_integrity")
        {
            log.report(
                "labels in \(reader.path) need 'version = 1': version 2 of IKE has no situation to say them in",
                at: setting.value.position)
        }
        if domain != nil, !situation.isLabelled, let setting = reader.setting("label_domain") {
            log.report(
                "'label_domain' in \(reader.path) says nothing without 'label_secrecy' or 'label_integrity'",
                at: setting.value.position)
        }
        return situation
    }

    /// charon's defaults: rekeying after four hours unless reauthentication is asked for; the hard limit lies a tenth
    /// behind, and the jitter is as large.
    private func lifetimes(of connection: inout Connection, _ reader: SectionReader) {
        let rekey = reader.time("rekey_time")
        let reauthentication = reader.time("reauth_time")
        connection.rekeyTime = rekey ?? (reauthentication ?? .zero > .zero ? .zero : .seconds(14_400))
        connection.reauthenticationTime = reauthentication ?? .zero
        connection.overTime =
            reader.time("over_time") ?? max(connection.rekeyTime, connection.reauthenticationTime) / 10
        connection.randomTime = reader.time("rand_time") ?? connection.overTime
    }

    /// A list of proposals; the defaults where the key is absent.
    private func proposals(
        _ reader: SectionReader, _ key: String, _ securityProtocol: SecurityProtocol, _ profile: [String]? = nil
    ) -> [Proposal] {
        guard let setting = reader.setting(key) else {
            return profile?.compactMap { try? ProposalKeywords.parse($0, for: securityProtocol) }
                ?? ProposalKeywords.defaults(for: securityProtocol)
        }
        var proposals: [Proposal] = []
        let parts = ValueGrammar.list(setting.value.text)
        if parts.isEmpty { reader.wrong(setting, expected: "proposals such as aes256-sha256-x25519, or default") }
        for part in parts {
            if part.lowercased() == "default" {
                proposals += ProposalKeywords.defaults(for: securityProtocol)
                continue
            }
            do throws(ProposalKeywords.Failure) {
                proposals.append(try ProposalKeywords.parse(part, for: securityProtocol))
            } catch {
                log.report(
                    "\(error.message) (\(key) in \(reader.path))", at: reader.position(of: part, in: setting),
                    suggestion: error.suggestion)
            }
        }
        return proposals
    }
}

// MARK: Children

extension ConfigurationChecker {
    private func child(
        _ section: SettingsSection, of parent: String, _ connection: Connection, _ settings: Configuration.Settings,
        _ profile: ClientProfile?
    ) -> ChildPolicy {
        let name = section.name.text
        let reader = SectionReader(section: section, path: "\(parent).children.\(name)", log: log)
        reader.check(keys: KnownKeys.child) { _ in false }
        let selectors = "blocks, ranges or dynamic, with [protocol/port] behind where wanted"
        var child = ChildPolicy(
            name: name, proposals: childProposals(reader, profile),
            localSelectors: reader.list("local_ts", expected: selectors, ValueGrammar.selector) ?? [.dynamic],
            remoteSelectors: reader.list("remote_ts", expected: selectors, ValueGrammar.selector) ?? [.dynamic])
        checkPrivateNumbers(child.proposals, "esp_proposals", reader, of: connection)
        if let reason = ProposalRules.refusal(
            child.proposals, child.proposals.first?.securityProtocol ?? .esp, connection.version)
        {
            log.report(
                "\(reason) (esp_proposals in \(reader.path))",
                at: reader.setting("esp_proposals")?.value.position ?? section.name.position)
        }
        (child.mode, child.action) =
            reader.word("mode", ConfigurationChecker.modes, refused: ConfigurationChecker.refusedModes)
            ?? (.tunnel, nil)
        child.aggregation = aggregation(reader, connection, settings)
        lifetimes(of: &child, reader)
        child.rehearsesRekeying = reader.boolean("rehearse_rekey") ?? false
        child.startAction =
            reader.word(
                "start_action",
                [
                    ("none", .none), ("trap", .trap), ("start", .start), ("route", .trap), ("restart", .start),
                    ("clear", .none), ("trap|start", .start), ("start|trap", .start),
                ]) ?? .none
        child.trapsWhenStarted = reader.setting("start_action")?.value.text.contains("|") == true
        child.deadPeerAction = reader.word("dpd_action", ConfigurationChecker.afterwards) ?? .none
        child.closeAction = reader.word("close_action", ConfigurationChecker.afterwards) ?? .none
        countedLifetimes(of: &child, reader)
        child.treatment = treatment(reader)
        child.compresses = reader.boolean("ipcomp") ?? false
        if child.compresses, connection.version == .v1, let setting = reader.setting("ipcomp") {
            log.report(
                "'ipcomp = yes' in \(reader.path) is \(SectionReader.notSupported) in version 1",
                at: setting.value.position)
        }
        child.carriesFragments = reader.boolean("non_first_fragments") ?? false
        if child.carriesFragments, connection.version == .v1, let setting = reader.setting("non_first_fragments") {
            log.report(
                "'non_first_fragments = yes' in \(reader.path) has no meaning in version 1, which cannot negotiate it",
                at: setting.value.position)
        }
        child.usesResources = usesResources(reader)
        if child.usesResources, connection.version == .v1, let setting = reader.setting("per_cpu_sas") {
            log.report(
                "'per_cpu_sas = yes' in \(reader.path) has no meaning in version 1, which cannot negotiate it",
                at: setting.value.position)
        }
        child.priority = reader.unsigned("priority", 0...UInt64(UInt32.max)).map { UInt32($0) } ?? 0
        child.updown = reader.setting("updown").map(\.value.text).flatMap { $0.isEmpty ? nil : $0 }
        child.opensHost = reader.boolean("hostaccess") ?? false
        child.inactivity = reader.time("inactivity") ?? .zero
        child.replayWindowPackets =
            reader.unsigned("replay_window", 0...65_536).map { Int($0) } ?? settings.replayWindowPackets
        child.parallelPairs = reader.unsigned("sa_pairs", 1...8).map { Int($0) } ?? 1
        child.isBundle = bundle(child, connection, reader)
        child.requestID = reader.unsigned("reqid", 0...UInt64(UInt32.max)).map { UInt32($0) } ?? 0
        return child
    }

    private static let modes: [(String, (SecurityMode, SecurityPolicy.Action?))] = [
        ("tunnel", (.tunnel, nil)), ("transport", (.transport, nil)), ("pass", (.tunnel, .bypass)),
        ("drop", (.tunnel, .discard)), ("iptfs", (.tunnel, nil)),
    ]

    private static let refusedModes = [
        "transport_proxy": "a mobile host's home agent (RFC 4877) is no peer of this version",
        "beet": "the kernel's BEET mode was never standardized",
    ]

    private static let afterwards: [(String, ChildAction)] = [
        ("clear", .none), ("trap", .trap), ("restart", .start), ("none", .none), ("start", .start), ("route", .trap),
    ]

    /// ESP's proposals, then AH's; the defaults are ESP's, where neither is said.
    private func childProposals(_ reader: SectionReader, _ profile: ClientProfile?) -> [Proposal] {
        let hasAH = reader.setting("ah_proposals") != nil
        let esp =
            hasAH && reader.setting("esp_proposals") == nil
            ? [] : proposals(reader, "esp_proposals", .esp, profile?.childProposals)
        return esp + (hasAH ? proposals(reader, "ah_proposals", .ah) : [])
    }

    /// Whether the child's ESP goes inside AH, which version 1 can negotiate (RFC 2408 §4.2).
    private func bundle(_ child: ChildPolicy, _ connection: Connection, _ reader: SectionReader) -> Bool {
        guard reader.boolean("bundle") ?? false, let setting = reader.setting("bundle") else { return false }
        let esp = child.proposals.filter { $0.securityProtocol == .esp }
        let ah = child.proposals.filter { $0.securityProtocol == .ah }
        if connection.version != .v1 {
            log.report(
                "'bundle = yes' in \(reader.path) needs 'version = 1': version 2 of IKE negotiates ESP or AH, not both",
                at: setting.value.position)
        }
        if esp.isEmpty || ah.isEmpty {
            log.report(
                "'bundle = yes' in \(reader.path) needs both 'esp_proposals' and 'ah_proposals'",
                at: setting.value.position)
        } else if !esp.allSatisfy({ one in ah.contains { $0.keyExchange == one.keyExchange } }) {
            log.report(
                "'ah_proposals' in \(reader.path) must name the same groups as 'esp_proposals': one key exchange serves "
                    + "both halves of a bundle", at: setting.value.position)
        }
        return true
    }

    /// `mode = iptfs` is the tunnel mode whose packets share payloads.
    private func aggregation(
        _ reader: SectionReader, _ connection: Connection, _ settings: Configuration.Settings
    ) -> Aggregation? {
        guard let setting = reader.setting("mode"), setting.value.text.lowercased() == "iptfs" else { return nil }
        if connection.version == .v1 {
            log.report(
                "'mode = iptfs' in \(reader.path) has no meaning in version 1, which cannot negotiate it",
                at: setting.value.position)
        }
        if reader.boolean("ipcomp") == true {
            log.report(
                "'ipcomp = yes' in \(reader.path) does not go with 'mode = iptfs': packets that share payloads are not compressed",
                at: setting.value.position)
        }
        return settings.aggregation
    }

    private func usesResources(_ reader: SectionReader) -> Bool {
        if let setting = reader.setting("per_cpu_sas"), setting.value.text.lowercased() == "encap" {
            log.report(
                "'per_cpu_sas = encap' in \(reader.path) is \(SectionReader.notSupported): all SAs share the daemon's port",
                at: setting.value.position)
            return false
        }
        return reader.boolean("per_cpu_sas") ?? false
    }

    /// charon's defaults: nothing is counted; the end is a tenth behind the replacement, and the jitter as large.
    private func countedLifetimes(of child: inout ChildPolicy, _ reader: SectionReader) {
        func lifetime(_ unit: String) -> CountedLifetime {
            let read = { (key: String) -> UInt64? in
                unit == "bytes" ? reader.octets(key) : reader.unsigned(key, 0...UInt64(Int64.max))
            }
            let rekey = read("rekey_\(unit)")
            let life = read("life_\(unit)")
            var lifetime = CountedLifetime(rekey: rekey ?? life.map { $0 / 11 * 10 } ?? 0)
            lifetime.life = life ?? lifetime.rekey / 10 * 11
            let distance = lifetime.life > lifetime.rekey ? lifetime.life - lifetime.rekey : 0
            lifetime.random = read("rand_\(unit)") ?? distance
            if let life, let rekey, life > 0, life < rekey, let setting = reader.setting("life_\(unit)") {
                log.report(
                    "'life_\(unit)' in \(reader.path) is smaller than its 'rekey_\(unit)': "
                        + "the SA would end before it is replaced",
                    at: setting.value.position)
            }
            return lifetime
        }
        child.octetLifetime = lifetime("bytes")
        child.packetLifetime = lifetime("packets")
    }

    private func treatment(_ reader: SectionReader) -> PacketTreatment {
        var treatment = PacketTreatment()
        let padding = reader.value("tfc_padding", expected: "a number from 0 to 65535, or mtu") { text in
            text.lowercased() == "mtu"
                ? TrafficFlowPadding.mtu
                : UInt16(text).map { $0 == 0 ? .none : .octets($0) }
        }
        treatment.padding = padding ?? .none
        treatment.copiesDF = reader.boolean("copy_df") ?? true
        treatment.copiesECN = reader.boolean("copy_ecn") ?? true
        let words: [(String, DSCPCopy)] = [("no", .no), ("in", .in), ("out", .out), ("yes", .yes)]
        treatment.copiesDSCP = reader.word("copy_dscp", words) ?? .out
        return treatment
    }

    /// charon's defaults: rekeying after an hour; the end a tenth behind; the jitter is the distance between the two.
    private func lifetimes(of child: inout ChildPolicy, _ reader: SectionReader) {
        let rekey = reader.time("rekey_time")
        let life = reader.time("life_time")
        child.rekeyTime = rekey ?? life.map { $0 * 10 / 11 } ?? .seconds(3600)
        child.lifeTime = life ?? child.rekeyTime * 11 / 10
        child.randomTime =
            reader.time("rand_time") ?? (child.lifeTime > child.rekeyTime ? child.lifeTime - child.rekeyTime : .zero)
        if let life, rekey != nil, life > .zero, life < child.rekeyTime, let setting = reader.setting("life_time") {
            log.report(
                "'life_time' in \(reader.path) is shorter than its 'rekey_time': "
                    + "the SA would end before it is replaced",
                at: setting.value.position)
        }
    }
}
