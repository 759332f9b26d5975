package import IPsec
import Primitives

// `pools.NAME`.
extension ConfigurationChecker {
    func pool(_ section: SettingsSection) -> AddressPool? {
        let name = section.name.text
        let reader = SectionReader(section: section, path: "pools.\(name)", log: log)
        for setting in section.settings where KnownKeys.pool[setting.name] == nil {
            if ConfigurationChecker.attributeNumber(setting.name) != nil { continue }
            log.report(
                "unknown key '\(setting.name.excerpt)' in \(reader.path)", at: setting.key.position,
                suggestion: NearestName.find(setting.name, in: KnownKeys.pool.keys.sorted()))
        }
        reader.check(
            keys: KnownKeys.pool, numbered: section.settings.map(\.name).filter { KnownKeys.pool[$0] == nil }
        ) { _ in false }
        guard let setting = reader.setting("addrs") else {
            log.report("\(reader.path) has no 'addrs': write addrs = 10.3.0.0/24", at: section.name.position)
            return nil
        }
        guard var pool = ConfigurationChecker.addresses(setting.value.text, name: name) else {
            reader.wrong(setting, expected: "one block such as 10.3.0.0/24, or one range such as 10.3.0.10-10.3.0.99")
            return nil
        }
        information(&pool.information, reader)
        return pool
    }

    private static func addresses(_ text: String, name: String) -> AddressPool? {
        let text = ValueGrammar.trimmed(text)
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        if parts.count == 2, let address = IPAddress(parts[0]), let length = Int(parts[1]) {
            return AddressPool(name: name, address, length: length)
        }
        return ValueGrammar.addressRange(text).flatMap { AddressPool(name: name, first: $0.first, last: $0.last) }
    }

    private func information(_ information: inout NetworkInformation, _ reader: SectionReader) {
        func addresses(_ key: String) -> [IPAddress] { reader.list(key, expected: "addresses") { IPAddress($0) } ?? [] }
        func networks(_ key: String) -> [Prefix] { reader.list(key, expected: "networks") { Prefix($0) } ?? [] }
        information.nameServers = addresses("dns")
        information.netBIOSNameServers = addresses("nbns")
        information.addressServers = addresses("dhcp")
        information.netmask = reader.value("netmask", expected: "a mask such as 255.255.255.0") { text in
            IPAddress(text).flatMap { $0.family == .v4 ? $0 : nil }
        }
        information.subnets = networks("subnet")
        information.splitInclude = networks("split_include")
        information.splitExclude = networks("split_exclude")
        // By family: INTERNAL_IP4_SERVER and its twin, P_CSCF_IP4_ADDRESS and its twin (RFC 7651 §3).
        for (key, v4, v6) in [("server", UInt16(23_456), UInt16(23_457)), ("p_cscf", 20, 21)] {
            for address in addresses(key) {
                information.others.append(
                    NetworkInformation.NumberedAttribute(
                        type: address.family == .v4 ? v4 : v6, value: address.octets))
            }
        }
        for setting in reader.section.settings {
            guard let number = ConfigurationChecker.attributeNumber(setting.name), !setting.value.text.isEmpty else {
                continue
            }
            numbered(number, setting, &information, reader)
        }
    }

    /// An attribute type by number: 15 bits.
    private static func attributeNumber(_ text: String) -> UInt16? {
        UInt16(text).flatMap { (1...0x7FFF).contains($0) ? $0 : nil }
    }

    /// Cisco's attributes have forms of their own; any other is text, or octets behind `0x`.
    private func numbered(
        _ number: UInt16, _ setting: Setting, _ information: inout NetworkInformation, _ reader: SectionReader
    ) {
        let text = setting.value.text
        func boolean() -> Bool? {
            if let value = ValueGrammar.boolean(text) { return value }
            reader.wrong(setting, expected: "yes or no")
            return nil
        }
        switch number {
        case 28_672: information.banner = text
        case 28_673: information.maySavePassword = boolean()
        case 28_674: information.defaultDomain = text
        case 28_675: information.splitDomains = ValueGrammar.list(text)
        case 28_679: information.wantsForwardSecrecy = boolean()
        case 28_681:
            information.backupServers = reader.list(setting.name, expected: "addresses") { IPAddress($0) } ?? []
        default:
            let octets = text.lowercased().hasPrefix("0x") ? [UInt8](hex: text.dropFirst(2)) : Array(text.utf8)
            guard let octets, (1...1024).contains(octets.count) else {
                reader.wrong(setting, expected: "text, or 0x and hexadecimal")
                return
            }
            information.others.append(NetworkInformation.NumberedAttribute(type: number, value: octets))
        }
    }

    /// Names that connections give and no section has.
    func checkPools(of section: SettingsSection?, _ pools: [AddressPool]) {
        for connection in section?.sections ?? [] {
            guard let setting = connection.setting("pools") else { continue }
            let reader = SectionReader(section: connection, path: "connections.\(connection.name.text)", log: log)
            for name in ValueGrammar.list(setting.value.text)
            where name != UserGrant.poolName && !pools.contains(where: { $0.name == name }) {
                log.report(
                    "no pool is named '\(name.excerpt)' (pools in \(reader.path))",
                    at: reader.position(of: name, in: setting),
                    suggestion: NearestName.find(name, in: pools.map(\.name)))
            }
        }
    }
}

extension AddressPool {
    /// Reads one pool as a `pools.NAME` section has it, from keys and values that came another way.
    ///
    /// - Throws: what is wrong with it, all at once.
    package static func read(
        _ name: String, _ values: [(key: String, value: String)]
    ) throws(ConfigurationErrors) -> AddressPool {
        let position = SourcePosition(file: "pools.\(name)", line: 1, column: 1)
        var section = SettingsSection(name: SpannedText(name, at: position))
        for (key, value) in values {
            section.settings.append(
                Setting(key: SpannedText(key, at: position), value: SpannedText(value, at: position)))
        }
        let checker = ConfigurationChecker()
        let pool = checker.pool(section)
        guard let pool, checker.log.diagnostics.isEmpty else { throw ConfigurationErrors(checker.log.diagnostics) }
        return pool
    }
}
