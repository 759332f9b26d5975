import IPsec
import Testing

@testable import Configuration

/// `auth = null` (RFC 7619).
@Suite struct AnonymousRoundTests {
    private func read(_ local: String, _ remote: String, version: Int = 2) throws -> Connection {
        let text = "connections { a { version = \(version)\n local { \(local) }\n remote { \(remote) } } }"
        let configuration = try Configuration.read(SourceFile(name: "x", text: text))
        return try #require(configuration.connections.first)
    }

    @Test func eitherEnd() throws {
        let both = try read("auth = null", "auth = null")
        #expect(both.local[0].method == .null && both.local[0].exactIdentity == .null)
        #expect(both.remote[0].method == .null && both.remote[0].identity == .any)
        let one = try read("auth = null", "auth = psk")
        #expect(one.localMethod == .null && one.remoteMethod == .preSharedKey)
    }

    @Test(arguments: [
        ("auth = null\n id = me", "auth = psk", 2), ("auth = psk", "auth = null\n id = *", 2),
        ("auth = null", "auth = psk", 1), ("auth = null", "auth = eap-md5", 2),
        ("auth = eap-md5", "auth = null", 2), ("auth = psk", "auth = null\n revocation = strict", 2),
    ]) func whatDoesNotGoTogether(_ local: String, _ remote: String, _ version: Int) {
        #expect(throws: ConfigurationErrors.self) { try read(local, remote, version: version) }
    }
}
