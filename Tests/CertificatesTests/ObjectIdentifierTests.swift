import IPsec
import Testing

@testable import Certificates

@Suite struct ObjectIdentifierTests {
    /// X.690 §8.19.5 has 2.999.3 as its example: below 2 the second number has no bound.
    @Test(
        arguments: [
            ("2.999.3", [0x88, 0x37, 3]), ("2.5.29.32.0", [0x55, 29, 32, 0]), ("2.47", [127]), ("2.48", [0x81, 0]),
            ("1.39", [79]), ("2.0", [80]), ("0.0", [0]), ("1.2.840.113549", [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D]),
            ("2.4294967295.4294967295", [0x90, 0x80, 0x80, 0x80, 0x4F, 0x8F, 0xFF, 0xFF, 0xFF, 0x7F]),
        ] as [(String, [UInt8])])
    func bothWays(_ dotted: String, _ content: [UInt8]) throws {
        #expect(ObjectIdentifierText(dotted: dotted)?.content == content)
        #expect(ObjectIdentifierText(content: content)?.dotted == dotted)
    }

    @Test(
        arguments: [
            [], [0x81], [0x55, 0x80, 1], [0x80, 1], [0x2A, 0x90, 0x80, 0x80, 0x80, 0], [UInt8](repeating: 1, count: 64),
        ] as [[UInt8]])
    func noIdentifiers(_ content: [UInt8]) {
        #expect(ObjectIdentifierText(content: content) == nil)
    }

    @Test(arguments: ["", "2", "3.1", "1.40", "0.40", "2.01", "2.-1", "2.1.", ".2.1", "2.4294967296", "a.b", "2.+1"])
    func noText(_ text: String) { #expect(!ObjectIdentifierText.isValid(text)) }

    /// A policy, a purpose and an extension of such a number.
    @Test func inACertificate() throws {
        var hierarchy = Hierarchy()
        hierarchy.policy.certificatePolicies = ["2.999.1"]
        hierarchy.middle.extensions.append(.policies(["2.48", "2.999.1"]))
        hierarchy.leaf.extensions += [
            .policies(["2.999.1", "2.999.2"]), .purposes([CertificatePurpose("2.999.4"), .ipsecIKE]),
        ]
        let leaf = try hierarchy.judge().get().certificates[0]
        #expect(leaf.extensions.policies == ["2.999.1", "2.999.2"])
        #expect(leaf.extensions.purposes?.first?.identifier == "2.999.4")
        // By the library's numbers 2.48 would be another's.
        hierarchy.policy.certificatePolicies = ["2.48"]
        #expect(try !hierarchy.judge().isSuccess)
        hierarchy.leaf.extensions.append(EncodedExtension("2.999.7", isCritical: true, value: [5, 0]))
        #expect(try hierarchy.leafCertificate.extensions.unknownCritical == ["2.999.7"])
    }
}
