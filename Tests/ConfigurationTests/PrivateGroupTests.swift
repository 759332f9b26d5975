import Cryptography
import IPsec
import Primitives
import Testing

@testable import Configuration

/// `connections.NAME.groups`.
@Suite struct PrivateGroupTests {
    private static let prime =
        "0xbe0b1d3f0a1c003652159ab99da5c2e46623db7dea06c9740247f8e0957c0f8fe94c11cabf3e1cc76e1be77e3564e47d"
        + "c9333639408e3fe16d5c0d561c48b8407d05d62b51a4cd0a55d0b8d1935c3fd06711f34e98dda5c88fd609daf48457c6"
        + "aa46e3ca67842a02c477308b24d155c528b7d0f8ce7b0d5077f02f41bc116157"

    private static func text(_ group: String, esp: String = "aes128gcm16-group40000", more: String = "") -> String {
        """
        connections {
            old {
                version = 1
                remote_addrs = 192.0.2.1
                proposals = aes128-sha256-modp2048
                \(more)
                local { auth = psk }
                remote { auth = psk }
                groups { ours { \(group.split(separator: ",").joined(separator: "\n")) } }
                children { net { esp_proposals = \(esp) } }
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
        } catch {
            return error.diagnostics.map(\.message)
        }
    }

    @Test func aGroupIsReadCheckedAndWrittenBack() throws {
        let configuration = try read(Self.text("number = 40000, prime = \(Self.prime), generator = 2"))
        let connection = try #require(configuration.connections.first)
        let group = try #require(connection.privateGroups.first)
        #expect(group.number.rawValue == 40_000 && connection.privateGroups.count == 1 && !connection.acceptsNewGroups)
        guard case .modp(let parameters, _) = group.form else {
            Issue.record("not a MODP group")
            return
        }
        #expect(parameters.prime.count == 128 && parameters.generator == [2] && parameters.order == nil)
        #expect(connection.children.first?.proposals.first?.keyExchange == [group.number])
        let again = try read(configuration.canonicalForm.text)
        #expect(again.connections == configuration.connections)
    }

    @Test func aCurveIsReadAndWrittenBack() throws {
        let curve = try #require(EllipticCurve.find(.brainpool256)?.parameters)
        guard case .prime(let prime) = curve.field else { return }
        let y = try #require(curve.y)
        let configuration = try read(
            Self.text(
                "number = 65535, type = ecp, prime = 0x\(prime.hex), generator = 0x\(curve.x.hex), "
                    + "generator_y = 0x\(y.hex), curve_a = 0x\(curve.a.hex), curve_b = 0x\(curve.b.hex), "
                    + "order = 0x\(curve.order.hex)", esp: "aes128gcm16-group65535"))
        #expect(configuration.connections.first?.privateGroups.count == 1)
        #expect(try read(configuration.canonicalForm.text).connections == configuration.connections)
    }

    @Test(arguments: [
        ("number = 14, prime = 0x17, generator = 2", "wrong value '14' for 'number'"),
        ("number = 40000, generator = 2", "needs 'prime'"),
        ("number = 40000, prime = \(prime), generator = 1", "is no sound group: generatorOrder"),
        (
            "number = 40000, prime = 0x\(String(repeating: "f", count: 256)), generator = 2",
            "is no sound group: notPrime"
        ),
        ("number = 40000, prime = zwei, generator = 2", "wrong value 'zwei' for 'prime'"),
        ("number = 40000, typ = modp, prime = \(prime), generator = 2", "unknown key 'typ'"),
        ("number = 40001, prime = \(prime), generator = 2", "is no group of connection 'old'"),
    ])
    func whatIsWrongIsNamed(group: String, message: String) {
        let found = messages(Self.text(group))
        #expect(found.contains { $0.contains(message) }, "\(found)")
    }

    @Test func peersGroupsNeedNoDescription() {
        #expect(
            messages(Self.text("number = 40001, prime = \(Self.prime), generator = 2", more: "accept_groups = yes"))
                == [])
    }

    @Test func versionTwoHasNone() {
        let text = Self.text("number = 40000, prime = \(Self.prime), generator = 2")
            .replacing("version = 1", with: "version = 2")
        #expect(messages(text).contains { $0.contains("group of IKE version 1 alone") })
    }
}
