import IPsec
import Testing

@testable import Configuration

/// `label_domain`, `label_secrecy` and `label_integrity` of a connection.
@Suite struct LabelTests {
    private func text(_ keys: String, version: Int = 1) -> String {
        """
        connections {
            home {
                version = \(version)
                remote_addrs = 192.0.2.1
                \(keys)
                local { auth = psk }
                remote { auth = psk }
                children { net { } }
            }
        }
        """
    }

    private func read(_ text: String) throws(ConfigurationErrors) -> Configuration {
        try Configuration.read(SourceFile(name: "swanctl.conf", text: text))
    }

    private func messages(_ text: String) -> [String] {
        do throws(ConfigurationErrors) {
            _ = try read(text)
            return []
        } catch { return error.diagnostics.map(\.message) }
    }

    @Test func labelsBecomeASituation() throws {
        let connection = try #require(
            try read(
                text(
                    """
                    label_domain = 7
                    label_secrecy = 03:1,5
                    label_integrity = 0a0b
                    """)
            ).connections.first)
        #expect(
            connection.situation
                == SecuritySituation(
                    labelledDomain: 7, secrecy: SecurityLabel(level: [3], categories: [1, 5]),
                    integrity: SecurityLabel(level: [10, 11], categories: [])))
        #expect(try read(text("")).connections.first?.situation == .identityOnly)
    }

    @Test(arguments: [
        ("label_secrecy = 3", "label_secrecy"), ("label_secrecy = 03:2048", "label_secrecy"),
        ("label_integrity = xy", "label_integrity"), ("label_domain = -1", "label_domain"),
        ("label_domain = 1", "says nothing without"),
    ])
    func whatIsWrongIsNamed(_ keys: String, _ message: String) {
        let found = messages(text(keys))
        #expect(found.contains { $0.contains(message) }, "\(found)")
    }

    @Test(arguments: [0, 2]) func versionTwoHasNoSituation(version: Int) {
        #expect(messages(text("label_secrecy = 03", version: version)).contains { $0.contains("need 'version = 1'") })
    }
}

/// `exchange` of a connection, and swanctl's `aggressive` beside it.
@Suite struct PhaseOneExchangeTests {
    private func text(_ keys: String, version: Int = 1) -> String {
        """
        connections {
            home {
                version = \(version)
                remote_addrs = 192.0.2.1
                \(keys)
                local { auth = psk }
                remote { auth = psk }
                children { net { } }
            }
        }
        """
    }

    private func read(_ text: String) throws(ConfigurationErrors) -> Configuration {
        try Configuration.read(SourceFile(name: "swanctl.conf", text: text))
    }

    private func messages(_ text: String) -> [String] {
        do throws(ConfigurationErrors) {
            _ = try read(text)
            return []
        } catch { return error.diagnostics.map(\.message) }
    }

    @Test(arguments: [
        ("", false, false), ("exchange = main", false, false), ("exchange = base", false, true),
        ("exchange = aggressive", true, false), ("aggressive = yes", true, false),
        ("aggressive = no\n exchange = base", false, true),
    ])
    func theKeySaysWhatPhaseOneIs(_ keys: String, _ isAggressive: Bool, _ isBase: Bool) throws {
        let connection = try #require(try read(text(keys)).connections.first)
        #expect(connection.isAggressive == isAggressive && connection.isBase == isBase)
    }

    @Test func contradictionsAreNamed() {
        #expect(messages(text("aggressive = yes\n exchange = base")).contains { $0.contains("two things") })
        #expect(messages(text("exchange = base", version: 2)).contains { $0.contains("version 1 alone") })
        #expect(messages(text("exchange = quick")).contains { $0.contains("'exchange'") })
    }
}
