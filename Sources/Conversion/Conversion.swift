/// A configuration of another daemon, rewritten as `swanctl.conf`.
package struct Conversion: Hashable, Sendable {
    /// Whose configuration it is.
    package enum Dialect: String, Hashable, Sendable, CaseIterable {
        /// strongSwan's `ipsec.conf`, for its starter.
        case strongswan
        /// Libreswan's `ipsec.conf`.
        case libreswan
        /// OpenBSD's `iked.conf`.
        case iked
        /// KAME's `racoon.conf`.
        case racoon
    }

    /// Something that the old configuration says and the new one does not, or not in the same way.
    package struct Loss: Hashable, Sendable, CustomStringConvertible {
        package var line: Int
        package var what: String
        package var why: String

        /// `line 12: rightca: …`.
        package var description: String { "line \(line): \(what): \(why)" }
    }

    /// The new configuration as text.
    package var text: String
    package var losses: [Loss]

    /// Reads a configuration, and the secrets that lie in a file beside it (`ipsec.secrets`, `psk.txt`).
    package static func convert(_ text: String, secrets: String = "", from dialect: Dialect) -> Conversion {
        var document = SwanctlDocument()
        var losses: [Loss] = []
        switch dialect {
        case .strongswan, .libreswan:
            var reader = IPsecConfReader(isLibreswan: dialect == .libreswan)
            reader.read(text, into: &document)
            losses = reader.losses
            SecretsReader.readIPsecSecrets(secrets, into: &document, &losses)
        case .iked:
            var reader = IkedReader()
            reader.read(text, into: &document)
            losses = reader.losses
        case .racoon:
            var reader = RacoonReader()
            reader.read(text, into: &document)
            losses = reader.losses
            SecretsReader.readRacoonKeys(secrets, into: &document)
        }
        return Conversion(text: document.text, losses: losses)
    }

    /// Whose configuration a text most likely is; `nil` where nothing tells.
    package static func guess(_ text: String) -> Dialect? {
        let lines = text.split(separator: "\n").map { $0.drop(while: \.isWhitespace) }
        func any(_ prefixes: [String]) -> Bool { lines.contains { line in prefixes.contains { line.hasPrefix($0) } } }
        if any(["ikev2 ", "ikev2\t"]) { return .iked }
        if any(["remote ", "sainfo "]), text.contains("{") { return .racoon }
        guard any(["conn ", "config setup", "ca "]) else { return nil }
        let libreswan = ["authby=secret", "ikev2=", "phase2alg", "dpddelay=", "logfile=", "virtual-private="]
        let strongswan = ["keyexchange=", "charondebug", "uniqueids=", "leftauth", "rightsourceip=%", "mobike="]
        let squeezed = text.filter { $0 != " " && $0 != "\t" }
        let votes = libreswan.count { squeezed.contains($0) } - strongswan.count { squeezed.contains($0) }
        return votes > 0 ? .libreswan : .strongswan
    }
}

/// A `swanctl.conf` being written: sections in the order in which they come.
struct SwanctlDocument {
    final class Section {
        let name: String
        var settings: [(key: String, value: String)] = []
        var sections: [Section] = []

        init(_ name: String) { self.name = name }

        func set(_ key: String, _ value: String) {
            if let index = settings.firstIndex(where: { $0.key == key }) {
                settings[index].value = value
            } else {
                settings.append((key, value))
            }
        }

        func section(_ name: String) -> Section {
            if let found = sections.first(where: { $0.name == name }) { return found }
            let section = Section(name)
            sections.append(section)
            return section
        }
    }

    let connections = Section("connections")
    let secrets = Section("secrets")
    let pools = Section("pools")
    let authorities = Section("authorities")

    var text: String {
        var text = ""
        for section in [connections, secrets, pools, authorities] where !section.sections.isEmpty {
            SwanctlDocument.write(section, "", &text)
        }
        return text
    }

    private static func write(_ section: Section, _ indentation: String, _ text: inout String) {
        text += "\(indentation)\(section.name) {\n"
        for setting in section.settings { text += "\(indentation)    \(setting.key) = \(quoted(setting.value))\n" }
        for inner in section.sections { write(inner, indentation + "    ", &text) }
        text += "\(indentation)}\n"
    }

    private static func quoted(_ value: String) -> String {
        guard value.isEmpty || value.contains(where: { "#{}\"\\".contains($0) }) || value.contains("  ") else {
            return value
        }
        var result = "\""
        for character in value {
            if character == "\"" || character == "\\" { result.append("\\") }
            result.append(character)
        }
        return result + "\""
    }

    /// A name that a section may have: what other daemons allow beyond that becomes `-`.
    static func sectionName(_ text: String) -> String {
        String(text.map { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" ? $0 : "-" })
    }
}
