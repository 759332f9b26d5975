import Foundation
import Testing

@testable import Configuration

/// Holds `Docs/configuration.md` against the tables of keys.
@Suite struct DocumentationTests {
    @Test func everySupportedKeyIsDocumented() throws {
        let root = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appendingPathComponent("Docs/configuration.md"), encoding: .utf8)
        let tables = [
            KnownKeys.connection, KnownKeys.authentication, KnownKeys.child, KnownKeys.sharedKey,
            KnownKeys.passphrase, KnownKeys.settings, KnownKeys.radius, KnownKeys.radiusServer, KnownKeys.authority,
            KnownKeys.certificate,
        ]
        var count = 0
        for (key, rule) in tables.flatMap({ $0 }) {
            guard case .supported = rule else { continue }
            count += 1
            #expect(text.contains("`\(key)`"), "\(key) is not in Docs/configuration.md")
        }
        #expect(count > 30)
    }
}
