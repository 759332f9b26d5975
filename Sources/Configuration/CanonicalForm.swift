import IPsec
import Primitives
import RADIUS

/// A configuration as names with texts, lists and sections: what `swanctl.conf` would say with every default written
/// out.
package indirect enum CanonicalNode: Hashable, Sendable {
    package struct Entry: Hashable, Sendable {
        package var name: String
        package var node: CanonicalNode

        package init(name: String, node: CanonicalNode) {
            self.name = name
            self.node = node
        }
    }

    case text(String)
    case list([String])
    case section([Entry])
}

extension Configuration {
    /// The whole configuration. Of secrets it tells the identities alone.
    package var canonicalForm: CanonicalNode {
        .section([
            .init(
                name: "connections", node: .section(connections.map { .init(name: $0.name, node: $0.canonicalForm) })),
            .init(
                name: "secrets",
                node: .section(
                    (secrets + users).map { .init(name: $0.name, node: $0.canonicalForm) }
                        + passphrases.map { .init(name: $0.name, node: $0.canonicalForm) })),
            .init(name: "pools", node: .section(pools.map { .init(name: $0.name, node: $0.canonicalForm) })),
            .init(name: "radius", node: radius.canonicalForm),
            .init(
                name: "authorities", node: .section(authorities.map { .init(name: $0.name, node: $0.canonicalForm) })),
            .init(name: "charon", node: settings.canonicalForm),
        ])
    }
}

extension RADIUSSettings {
    /// Servers and listeners, without secrets.
    fileprivate var canonicalForm: CanonicalNode {
        guard !servers.isEmpty || dynamicAuthorization != nil else { return .section([]) }
        var section = CanonicalSection()
        section.add("accounting", accounts ? "yes" : "no")
        if takesClassGroups { section.add("class_group", "yes") }
        if takesFilterGroups { section.add("filter_id", "yes") }
        let servers = servers.map { server in
            var section = CanonicalSection()
            section.add("address", server.address)
            section.add("auth_port", server.accessPort)
            section.add("acct_port", server.accountingPort)
            section.add("nas_identifier", server.identifier)
            section.add("preference", server.preference)
            return CanonicalNode.Entry(name: server.name, node: .section(section.entries))
        }
        section.entries.append(.init(name: "servers", node: .section(servers)))
        if let dynamicAuthorization {
            var inner = CanonicalSection()
            inner.add("listen", dynamicAuthorization.address)
            inner.add("port", dynamicAuthorization.port)
            section.entries.append(.init(name: "dae", node: .section(inner.entries)))
        }
        return .section(section.entries)
    }
}

/// Builds a section line by line.
private struct CanonicalSection {
    var entries: [CanonicalNode.Entry] = []

    mutating func add(_ name: String, _ text: some CustomStringConvertible) {
        entries.append(.init(name: name, node: .text(text.description)))
    }

    mutating func add(_ name: String, list: [some CustomStringConvertible]) {
        entries.append(.init(name: name, node: .list(list.map(\.description))))
    }

    mutating func add(_ name: String, _ duration: Duration) { add(name, "\(duration.wholeSeconds)s") }
    mutating func add(_ name: String, section: [CanonicalNode.Entry]) {
        entries.append(.init(name: name, node: .section(section)))
    }
}

extension Connection {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        section.add("version", version.rawValue)
        section.add("local_addrs", list: localAddresses)
        section.add("remote_addrs", list: remoteAddresses)
        section.add("local_port", localPort)
        section.add("remote_port", remotePort)
        section.add("proposals", list: proposals)
        section.add("aggressive", isAggressive ? "yes" : "no")
        if isBase { section.add("exchange", "base") }
        section.add("fragmentation", fragmentation.rawValue)
        if differentiatedServices != 0 {
            let digits = String(differentiatedServices, radix: 2)
            section.add("dscp", String(repeating: "0", count: 6 - digits.count) + digits)
        }
        if !privateGroups.isEmpty {
            section.add(
                "groups",
                section: privateGroups.map { .init(name: "group\($0.number.rawValue)", node: $0.canonicalForm) })
        }
        if situation.isLabelled {
            section.add("label_domain", "\(situation.labelledDomain)")
            if let secrecy = situation.secrecy { section.add("label_secrecy", secrecy.description) }
            if let integrity = situation.integrity { section.add("label_integrity", integrity.description) }
        }
        section.add("commit_bit", asksCommit ? "yes" : "no")
        section.add("identity_pfs", hasIdentityForwardSecrecy ? "yes" : "no")
        section.add("accept_groups", acceptsNewGroups ? "yes" : "no")
        if !virtualAddresses.isEmpty { section.add("vips", list: virtualAddresses) }
        if !pools.isEmpty { section.add("pools", list: pools) }
        section.add("pull", isPulling ? "yes" : "no")
        if forceEncapsulation || avoidsEncapsulation { section.add("encap", forceEncapsulation ? "yes" : "no") }
        if streamUse != .no {
            section.add("enable_tcp", streamUse.rawValue)
            section.add("tcp_remote_port", streamPort)
        }
        if !showsCertificates { section.add("send_cert", "never") }
        if !requestsCertificates { section.add("send_certreq", "no") }
        if maximumClones > 0 { section.add("clones", maximumClones) }
        section.add("dpd_delay", deadPeerDelay)
        section.add("dpd_timeout", deadPeerTimeout)
        section.add("keyingtries", keyingTries)
        section.add("unique", unique.rawValue)
        section.add("reauth_time", reauthenticationTime)
        section.add("rekey_time", rekeyTime)
        section.add("over_time", overTime)
        section.add("rand_time", randomTime)
        for (index, round) in local.enumerated() {
            section.add(local.count == 1 ? "local" : "local-\(index + 1)", section: round.canonicalForm(isLocal: true))
        }
        for (index, round) in remote.enumerated() {
            section.add(
                remote.count == 1 ? "remote" : "remote-\(index + 1)", section: round.canonicalForm(isLocal: false))
        }
        section.add("children", section: children.map { .init(name: $0.name, node: $0.canonicalForm) })
        return .section(section.entries)
    }
}

extension AuthenticationRound {
    fileprivate func canonicalForm(isLocal: Bool) -> [CanonicalNode.Entry] {
        var section = CanonicalSection()
        section.add("auth", keyword)
        if method == .extendedAuthentication, isLocal {
            if let hostIdentity { section.add("id", IdentityPattern.exactly(hostIdentity).typedText) }
            if exactIdentity != nil { section.add("xauth_id", identity.typedText) }
            return section.entries
        }
        if exactIdentity != nil || !isLocal { section.add("id", identity.typedText) }
        if let userIdentity { section.add("eap_id", userIdentity.typedText) }
        if let serverIdentity {
            section.add("aaa_id", IdentityPattern.exactly(serverIdentity).typedText)
        }
        if !publicKeyFiles.isEmpty { section.add("pubkeys", list: publicKeyFiles) }
        if !certificates.certificateFiles.isEmpty { section.add("certs", list: certificates.certificateFiles) }
        if !certificates.authorityFiles.isEmpty { section.add("cacerts", list: certificates.authorityFiles) }
        if let authority = certificates.authorityIdentity { section.add("ca_id", authority.typedText) }
        if !certificates.policies.isEmpty { section.add("cert_policy", list: certificates.policies) }
        if !groups.isEmpty { section.add("groups", list: groups) }
        if asksBinding { section.add("peap_binding", "yes") }
        if certificates.revocation != .relaxed { section.add("revocation", certificates.revocation.rawValue) }
        return section.entries
    }
}

extension PrivateGroup {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        func hex(_ number: [UInt8]) -> String { "0x" + (number.isEmpty ? "00" : number.hex) }
        section.add("number", number.rawValue)
        switch form {
        case .modp(let group, _):
            section.add("type", "modp")
            section.add("prime", hex(group.prime))
            section.add("generator", hex(group.generator))
            if let order = group.order { section.add("order", hex(order)) }
        case .curve(let curve, _):
            switch curve.field {
            case .prime(let prime):
                section.add("type", "ecp")
                section.add("prime", hex(prime))
            case .binary(let polynomial):
                section.add("type", "ec2n")
                section.add("prime", hex(polynomial))
            }
            section.add("generator", hex(curve.x))
            if let y = curve.y { section.add("generator_y", hex(y)) }
            section.add("curve_a", hex(curve.a))
            section.add("curve_b", hex(curve.b))
            section.add("order", hex(curve.order))
        }
        return .section(section.entries)
    }
}

extension ChildPolicy {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        let esp = proposals.filter { $0.securityProtocol == .esp }
        let ah = proposals.filter { $0.securityProtocol == .ah }
        if !esp.isEmpty { section.add("esp_proposals", list: esp) }
        if !ah.isEmpty { section.add("ah_proposals", list: ah) }
        section.add("local_ts", list: localSelectors.map(\.configured))
        section.add("remote_ts", list: remoteSelectors.map(\.configured))
        switch action {
        case .bypass: section.add("mode", "pass")
        case .discard: section.add("mode", "drop")
        case .trap, nil: section.add("mode", aggregation == nil ? mode.rawValue : "iptfs")
        }
        section.add("rekey_time", rekeyTime)
        section.add("life_time", lifeTime)
        section.add("rand_time", randomTime)
        if let updown { section.add("updown", updown) }
        if opensHost { section.add("hostaccess", "yes") }
        if inactivity > .zero { section.add("inactivity", inactivity) }
        section.add("rekey_bytes", octetLifetime.rekey)
        section.add("life_bytes", octetLifetime.life)
        section.add("rand_bytes", octetLifetime.random)
        section.add("rekey_packets", packetLifetime.rekey)
        section.add("life_packets", packetLifetime.life)
        section.add("rand_packets", packetLifetime.random)
        switch treatment.padding {
        case .none: section.add("tfc_padding", 0)
        case .octets(let count): section.add("tfc_padding", count)
        case .mtu: section.add("tfc_padding", "mtu")
        }
        section.add("ipcomp", compresses ? "yes" : "no")
        section.add("copy_df", treatment.copiesDF ? "yes" : "no")
        section.add("copy_ecn", treatment.copiesECN ? "yes" : "no")
        section.add("copy_dscp", treatment.copiesDSCP.rawValue)
        section.add("priority", priority)
        section.add("start_action", trapsWhenStarted ? "trap|start" : startAction.rawValue)
        section.add("dpd_action", deadPeerAction.rawValue)
        section.add("close_action", closeAction.rawValue)
        section.add("replay_window", replayWindowPackets)
        section.add("sa_pairs", parallelPairs)
        if isBundle { section.add("bundle", "yes") }
        if usesResources { section.add("per_cpu_sas", "yes") }
        if carriesFragments { section.add("non_first_fragments", "yes") }
        if rehearsesRekeying { section.add("rehearse_rekey", "yes") }
        section.add("reqid", requestID)
        return .section(section.entries)
    }
}

extension DynamicSelector {
    /// As `swanctl.conf` writes it: ranges with a hyphen.
    fileprivate var configured: String {
        let address: String
        let ipProtocol: UInt8
        let ports: (first: UInt16, last: UInt16)
        switch self {
        case .fixed(let selector):
            address = selector.prefix.map(\.description) ?? "\(selector.first)-\(selector.last)"
            (ipProtocol, ports) = (selector.ipProtocol, (selector.firstPort, selector.lastPort))
        case .dynamicPorts(let number, let first, let last):
            address = "dynamic"
            (ipProtocol, ports) = (number, (first, last))
        }
        if ipProtocol == 0 && ports == (0, .max) { return address }
        if ports == (0, .max) { return "\(address)[\(ipProtocol)]" }
        return "\(address)[\(ipProtocol)/" + (ports == (.max, 0) ? "opaque" : "\(ports.first)-\(ports.last)") + "]"
    }
}

extension SharedKey {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        for (index, identity) in identities.enumerated() { section.add("id-\(index + 1)", identity.typedText) }
        return .section(section.entries)
    }
}

extension AddressPool {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        section.add("addrs", "\(first)-\(last)")
        func add(_ name: String, _ list: [some CustomStringConvertible]) {
            if !list.isEmpty { section.add(name, list: list) }
        }
        add("dns", information.nameServers)
        add("nbns", information.netBIOSNameServers)
        add("dhcp", information.addressServers)
        if let netmask = information.netmask { section.add("netmask", netmask) }
        add("subnet", information.subnets)
        add("split_include", information.splitInclude)
        add("split_exclude", information.splitExclude)
        if let banner = information.banner { section.add("28672", banner) }
        if let value = information.maySavePassword { section.add("28673", value ? "yes" : "no") }
        if let domain = information.defaultDomain { section.add("28674", domain) }
        add("28675", information.splitDomains)
        if let value = information.wantsForwardSecrecy { section.add("28679", value ? "yes" : "no") }
        add("28681", information.backupServers)
        for attribute in information.others { section.add("\(attribute.type)", "0x\(attribute.value.hex)") }
        return .section(section.entries)
    }
}

extension CertificateAuthority {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        section.add("cacert", certificateFile)
        section.add("crl_uris", list: revocationListURIs)
        section.add("ocsp_uris", list: responderURIs)
        if let certificateURIBase { section.add("cert_uri_base", certificateURIBase) }
        return .section(section.entries)
    }
}

extension KeyPassphrase {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        section.add("file", file)
        return .section(section.entries)
    }
}

extension Configuration.Settings {
    fileprivate var canonicalForm: CanonicalNode {
        var section = CanonicalSection()
        section.add("port", engine.port)
        section.add("port_nat_t", engine.natPort)
        if !streamPorts.isEmpty { section.add("tcp_ports", list: streamPorts) }
        section.add("retransmit_timeout", Double(engine.retransmitTimeout.wholeNanoseconds) / 1e9)
        section.add("retransmit_base", engine.retransmitBase)
        section.add("retransmit_tries", engine.retransmitTries)
        if let limit = engine.retransmitLimit { section.add("retransmit_limit", limit) }
        section.add("keep_alive", engine.keepaliveInterval)
        section.add("half_open_timeout", engine.halfOpenTimeout)
        section.add("replay_window", replayWindowPackets)
        section.add("fragment_size_v4", engine.fragmentOctetsV4)
        section.add("fragment_size_v6", engine.fragmentOctetsV6)
        section.add("cookie_threshold", engine.cookieThreshold)
        section.add("cookie_threshold_ip", engine.cookieThresholdPerSource)
        section.add("block_threshold", engine.blockThreshold)
        section.add("init_limit_half_open", engine.halfOpenLimit)
        section.add("ikesa_limit", engine.sessionLimit)
        section.add("initiator_only", engine.initiatesOnly ? "yes" : "no")
        if !engine.takesFurtherRounds { section.add("multiple_authentication", "no") }
        section.add("follow_redirects", engine.followsRedirects ? "yes" : "no")
        section.add("window_size", engine.window)
        if engine.messageOctets < 65_535 { section.add("max_packet", engine.messageOctets) }
        section.add("inactivity_close_ike", closesIdleSessions ? "yes" : "no")
        section.add("install_virtual_ip", installsAddresses ? "yes" : "no")
        section.add("install_routes", installsRoutes ? "yes" : "no")
        section.add("install_dns", nameServerFile ?? "no")
        section.add("hash_and_url", usesCertificateLocations ? "yes" : "no")
        if nameMatching != .strict { section.add("rdn_matching", nameMatching.rawValue) }
        section.add("rsa_pss", prefersPSS ? "yes" : "no")
        section.add("signature_authentication", signsDigitally ? "yes" : "no")
        section.add("signature_authentication_constraints", bindsMessages ? "yes" : "no")
        if tlsVersions != .v12 ... .v13 {
            var tls = CanonicalSection()
            tls.add("version_min", tlsVersions.lowerBound.rawValue)
            tls.add("version_max", tlsVersions.upperBound.rawValue)
            section.add("tls", section: tls.entries)
        }
        return .section(section.entries)
    }
}

extension Identity {
    /// Text that reads back as this identity, whatever its kind.
    fileprivate var typedText: String {
        if Identity(description) == self, !description.hasPrefix("%"), !description.hasPrefix("*") {
            return description
        }
        switch kind {
        case .fqdn: return "fqdn:#\(octets.hex)"
        case .emailAddress: return "email:#\(octets.hex)"
        case .keyID: return "keyid:#\(octets.hex)"
        default: return "{\(kind.rawValue)}:#\(octets.hex)"
        }
    }
}

extension IdentityPattern {
    fileprivate var typedText: String {
        switch self {
        case .any: "%any"
        case .exactly(let identity): identity.typedText
        case .suffix(.emailAddress, let suffix) where !suffix.contains("@"): "email:*\(suffix)"
        case .suffix(_, let suffix): "*\(suffix)"
        case .distinguishedName(let name, _): "asn1dn:#\(name.octets.hex)"
        }
    }
}

extension CanonicalNode {
    /// The node as `swanctl.conf` text that reads back as the same configuration.
    package var text: String {
        guard case .section(let entries) = self else { return "" }
        var text = ""
        CanonicalNode.write(entries, to: &text, indentation: "")
        return text
    }

    private static func write(_ entries: [Entry], to text: inout String, indentation: String) {
        for entry in entries {
            switch entry.node {
            case .text(let value): text += "\(indentation)\(name(entry.name)) = \(quoted(value))\n"
            case .list(let items):
                text += "\(indentation)\(name(entry.name)) = \(quoted(items.joined(separator: ", ")))\n"
            case .section(let inner):
                text += "\(indentation)\(name(entry.name)) {\n"
                write(inner, to: &text, indentation: indentation + "    ")
                text += "\(indentation)}\n"
            }
        }
    }

    private static func name(_ name: String) -> String {
        name.contains { " \t#{}:,=\"\\".contains($0) || $0.isNewline } || name.isEmpty ? quote(name) : name
    }

    private static func quoted(_ value: String) -> String {
        value.contains { "#}\"\\".contains($0) || $0.isNewline } || value.contains("  ") ? quote(value) : value
    }

    private static func quote(_ text: String) -> String {
        var result = "\""
        for character in text {
            switch character {
            case "\"", "\\": result += "\\\(character)"
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
        return result + "\""
    }
}
