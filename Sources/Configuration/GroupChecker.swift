import Cryptography
import IPsec
import Primitives

// `connections.NAME.groups.NAME`: private groups (RFC 2409 §5.6). No key of swanctl's: charon has no New Group Mode.
extension ConfigurationChecker {
    /// More than this a session does not keep.
    private static let maximumGroups = 8

    func privateGroups(_ reader: SectionReader) -> [PrivateGroup] {
        guard let section = reader.section.section("groups") else { return [] }
        for setting in section.settings {
            log.report(
                "unknown key '\(setting.name.excerpt)' in \(reader.path).groups, which holds one section for each group",
                at: setting.key.position)
        }
        var groups: [PrivateGroup] = []
        for inner in section.sections {
            guard let group = privateGroup(inner, of: reader.path) else { continue }
            if groups.contains(where: { $0.number == group.number }) {
                log.report(
                    "two groups of \(reader.path) have the number \(group.number.rawValue)", at: inner.name.position)
            }
            groups.append(group)
        }
        if groups.count > ConfigurationChecker.maximumGroups {
            log.report(
                "\(reader.path) has more than \(ConfigurationChecker.maximumGroups) groups", at: section.name.position)
        }
        return groups
    }

    private func privateGroup(_ section: SettingsSection, of parent: String) -> PrivateGroup? {
        let reader = SectionReader(section: section, path: "\(parent).groups.\(section.name.text)", log: log)
        reader.check(keys: KnownKeys.group) { _ in false }
        let range = UInt64(PrivateGroup.numbers.lowerBound)...UInt64(PrivateGroup.numbers.upperBound)
        guard let number = reader.unsigned("number", range) else {
            missing("number", reader)
            return nil
        }
        let id = KeyExchangeID(rawValue: UInt16(number))
        enum Kind { case modp, ecp, ec2n }
        let kind: Kind = reader.word("type", [("modp", .modp), ("ecp", .ecp), ("ec2n", .ec2n)]) ?? .modp
        guard let prime = needed("prime", reader), let generator = needed("generator", reader) else { return nil }
        let order = numeral("order", reader)
        // The checks draw bases; which ones decides nothing here.
        var randomness = Randomness.system
        do throws(GroupDefect) {
            switch kind {
            case .modp:
                return try PrivateGroup(
                    id, checking: PrimeGroup.Parameters(prime: prime, generator: generator, order: order),
                    .authenticated, &randomness)
            case .ecp, .ec2n:
                guard let a = needed("curve_a", reader), let b = needed("curve_b", reader),
                    let order = needed("order", reader)
                else { return nil }
                let parameters = EllipticCurve.Parameters(
                    field: kind == .ecp ? .prime(prime) : .binary(prime), a: a, b: b, x: generator,
                    y: numeral("generator_y", reader), order: order)
                return try PrivateGroup(id, checking: parameters, .authenticated, &randomness)
            }
        } catch {
            log.report("\(reader.path) is no sound group: \(error)", at: section.name.position)
            return nil
        }
    }

    /// A number in hexadecimal behind `0x`, or a small decimal one; most significant octet first, without zeros in front.
    private func numeral(_ key: String, _ reader: SectionReader) -> [UInt8]? {
        reader.value(key, expected: "a number: 0x and hexadecimal digits, or a small decimal one") { text in
            guard text.lowercased().hasPrefix("0x") else {
                return ValueGrammar.unsigned(text).map { value in
                    Array((0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }.drop { $0 == 0 })
                }
            }
            let digits = text.dropFirst(2).filter { $0 != "_" && !$0.isWhitespace }
            return [UInt8](hex: digits.count.isMultiple(of: 2) ? digits : "0" + digits)
                .map { Array($0.drop { $0 == 0 }) }
        }
    }

    private func needed(_ key: String, _ reader: SectionReader) -> [UInt8]? {
        if reader.setting(key) == nil { missing(key, reader) }
        return numeral(key, reader)
    }

    private func missing(_ key: String, _ reader: SectionReader) {
        guard reader.setting(key) == nil else { return }
        log.report("\(reader.path) needs '\(key)'", at: reader.section.name.position)
    }

    /// Every private number that a proposal names must stand for something.
    func checkPrivateNumbers(
        _ proposals: [Proposal], _ key: String, _ reader: SectionReader, of connection: Connection
    ) {
        guard !connection.acceptsNewGroups else { return }
        for group in Set(proposals.flatMap(\.keyExchange)) where group.isPrivate {
            if connection.privateGroups.contains(where: { $0.number == group }) { continue }
            log.report(
                "'\(group.name.keyword)' in \(key) of \(reader.path) is no group of connection '\(connection.name)'",
                at: reader.setting(key)?.value.position ?? reader.section.name.position)
        }
    }
}
