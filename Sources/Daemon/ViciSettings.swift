import Configuration
import Control
import Primitives

/// vici messages as sections of `swanctl.conf`, so that one checker judges both. Values that are no text come as `0x` and
/// hexadecimal digits, as the file has them.
enum ViciSettings {
    /// A tree whose section `top` holds what the message holds.
    static func tree(_ top: String, _ message: ViciMessage, from command: String) -> SettingsSection {
        let place = SourcePosition(file: command, line: 1, column: 1)
        var root = SettingsSection(name: SpannedText("", at: place))
        root.sections = [section(top, message, place, depth: 0)]
        return root
    }

    /// swanctl.conf needs five levels; a message may nest deeper, and is cut off where the files' limit lies.
    private static func section(
        _ name: String, _ message: ViciMessage, _ place: SourcePosition, depth: Int
    ) -> SettingsSection {
        var section = SettingsSection(name: SpannedText(name, at: place))
        guard depth < SettingsSection.maximumDepth else { return section }
        for entry in message.entries {
            let key = SpannedText(entry.name, at: place)
            switch entry.element {
            case .value(let octets):
                let text = blobs.contains(entry.name) ? blob(octets) : text(octets)
                section.set(Setting(key: key, value: SpannedText(text, at: place)))
            case .list(let items):
                let joined = items.map(blobs.contains(entry.name) ? blob : text).joined(separator: ", ")
                section.set(Setting(key: key, value: SpannedText(joined, at: place)))
            case .section(let inner):
                section.merge(self.section(entry.name, inner, place, depth: depth + 1))
            }
        }
        return section
    }

    /// Keys whose values are certificates and public keys, in DER or PEM.
    private static let blobs: Set<String> = ["certs", "cacerts", "cacert", "pubkeys"]

    /// Such a value in hexadecimal; a short word is the name of one of the daemon's own files.
    private static func blob(_ octets: [UInt8]) -> String {
        let isName = octets.count < 256 && octets.allSatisfy { (0x21...0x7E).contains($0) && $0 != 0x2C }
        return isName ? text(octets) : "0x" + octets.hex
    }

    private static func text(_ octets: [UInt8]) -> String {
        String(validating: octets, as: UTF8.self) ?? "0x" + octets.hex
    }

    /// A shared key as a section of `secrets`.
    ///
    /// - Parameter prefix: what the section's name must start with for its kind.
    static func secret(_ prefix: String, data: [UInt8], owners: [String]) -> SettingsSection {
        var section = ViciMessage()
        section.add("secret", "0x" + data.hex)
        for (index, owner) in owners.enumerated() { section.add("id-\(index + 1)", owner) }
        var secrets = ViciMessage()
        secrets.add(prefix, section: section)
        return tree("secrets", secrets, from: "load-shared")
    }
}
