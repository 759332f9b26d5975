import Cryptography
import Primitives
import RADIUS

// `radius`: what charon has in `charon.plugins.eap-radius`.
extension ConfigurationChecker {
    func radius(_ section: SettingsSection) -> RADIUSSettings {
        let reader = SectionReader(section: section, path: "radius", log: log)
        reader.check(keys: KnownKeys.radius, sections: ["servers", "dae"]) { inner in
            ["servers", "dae"].contains(inner.name.text)
        }
        var settings = RADIUSSettings()
        let identifier = reader.setting("nas_identifier")?.value.text
        if let servers = section.section("servers") {
            for setting in servers.settings {
                log.report(
                    "unknown key '\(setting.name.excerpt)' in radius.servers, which holds one section for each server",
                    at: setting.key.position)
            }
            settings.servers = servers.sections.compactMap { server($0, identifier) }
        }
        // Of equal preference, the first in the file comes first.
        settings.servers = settings.servers.enumerated().sorted {
            ($1.element.preference, $0.offset) < ($0.element.preference, $1.offset)
        }.map(\.element)
        settings.accounts = reader.boolean("accounting") ?? false
        settings.takesClassGroups = reader.boolean("class_group") ?? false
        settings.takesFilterGroups = reader.boolean("filter_id") ?? false
        settings.interimInterval = reader.time("accounting_interval") ?? .zero
        settings.retransmitTimeout =
            reader.value("retransmit_timeout", expected: "seconds, such as 2.0") { text in
                Double(text).flatMap { (0.1...60).contains($0) ? Duration.seconds($0) : nil }
            } ?? settings.retransmitTimeout
        settings.retransmitBase =
            reader.value("retransmit_base", expected: "a factor from 1 to 10, such as 1.4") { text in
                Double(text).flatMap { (1...10).contains($0) ? $0 : nil }
            } ?? settings.retransmitBase
        settings.retransmitTries =
            reader.unsigned("retransmit_tries", 1...20).map { Int($0) } ?? settings.retransmitTries
        settings.dynamicAuthorization = section.section("dae").flatMap { dynamicAuthorization($0) }
        return settings
    }

    private func server(_ section: SettingsSection, _ identifier: String?) -> RADIUSSettings.Server? {
        let reader = SectionReader(section: section, path: "radius.servers.\(section.name.text)", log: log)
        reader.check(keys: KnownKeys.radiusServer) { _ in false }
        let address = reader.value("address", expected: "an address such as 192.0.2.1") { IPAddress($0) }
        if reader.setting("address") == nil {
            log.report("\(reader.path) has no 'address'", at: section.name.position)
        }
        guard let secret = secret(reader), let address else { return nil }
        var server = RADIUSSettings.Server(name: section.name.text, address: address, secret: secret)
        func port(_ key: String) -> UInt16? { reader.unsigned(key, 1...65_535).map { UInt16($0) } }
        server.accessPort = port("auth_port") ?? server.accessPort
        server.accountingPort = port("acct_port") ?? server.accountingPort
        server.identifier = reader.setting("nas_identifier")?.value.text ?? identifier ?? server.identifier
        server.needsMessageAuthenticator = reader.boolean("require_message_authenticator") ?? true
        server.preference = reader.unsigned("preference", 0...1000).map { Int($0) } ?? 0
        return server
    }

    private func dynamicAuthorization(_ section: SettingsSection) -> RADIUSSettings.DynamicAuthorization? {
        let reader = SectionReader(section: section, path: "radius.dae", log: log)
        reader.check(keys: KnownKeys.radiusAuthorization) { _ in false }
        guard reader.boolean("enable") ?? false, let secret = secret(reader) else { return nil }
        var authorization = RADIUSSettings.DynamicAuthorization(secret: secret)
        authorization.address =
            reader.value("listen", expected: "an address such as 0.0.0.0") { IPAddress($0) } ?? authorization.address
        authorization.port = reader.unsigned("port", 1...65_535).map { UInt16($0) } ?? authorization.port
        return authorization
    }
}
