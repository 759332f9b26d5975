import IPsec
import Primitives
import Testing

@Suite struct DistinguishedNameTests {
    @Test func readsAndWritesText() throws {
        let name = try #require(DistinguishedName("C=CH, O=Parley, CN=gate"))
        #expect(
            name.octets.hex
                == "302d310b3009060355040613024348310f300d060355040a13065061726c6579310d300b0603550403130467617465")
        #expect(name.description == "C=CH, O=Parley, CN=gate")
        #expect(DistinguishedName("/C=CH/O=Parley/CN=gate") == name)
        #expect(DistinguishedName("C=CH,O = Parley ,  cn=gate") == name)
        #expect(DistinguishedName("2.5.4.6=CH, O=\"Parley\", commonname=gate") == nil)
        #expect(DistinguishedName("2.5.4.6=CH, O=\"Parley\", 2.5.4.3=gate") == name)
        #expect(try DistinguishedName(parsing: name.octets[...]) == name)
    }

    @Test(arguments: [
        "CN=a\\, b", "CN=\\ a\\ ", "CN=\\#a", "CN=a+E=b@c", "CN=Grüße", "DC=org, DC=example, UID=x", "1.2.3.4=x",
        "CN=a\\\\b", "CN=a\\\"b\\\"", "CN=#1e0400410042", "CN=*", "CN=a=b/c", "E=a@b.c, SN=1, S=x, ST=y, STREET=z",
    ]) func readsBackWhatItWrites(_ text: String) throws {
        let name = try #require(DistinguishedName(text))
        let again = try #require(DistinguishedName(name.description))
        #expect(again.isSame(as: name))
        #expect(try DistinguishedName(parsing: name.octets[...]).isSame(as: name))
    }

    @Test(arguments: [
        "", "=", "CN", "CN=", "CN=a,", ",CN=a", "X=a", "CN=\"a", "CN=\"a\"b", "CN=a\"b", "CN=a\\", "CN=#zz",
        "CN=#0500x",
        "CN=a++CN=b", "1=a", "1.2=a", "9.9.9=a", "1.40.1=a", "CN=#", "CN=\\ff",
    ]) func refuses(_ text: String) { #expect(DistinguishedName(text) == nil) }

    @Test func comparesTextAndNotItsForm() throws {
        let printable = try #require(DistinguishedName("O=Example  Inc, CN=a"))
        let utf8 = DistinguishedName(relativeNames: [
            [.init(type: [0x55, 4, 10], tag: 12, value: Array(" example inc ".utf8))],
            [.init(type: [0x55, 4, 3], tag: 30, value: [0, 0x41])],
        ])
        #expect(printable.isSame(as: utf8))
        #expect(printable != utf8)
        #expect(!printable.isSame(as: try #require(DistinguishedName("CN=a, O=Example Inc"))))
        #expect(!printable.isSame(as: try #require(DistinguishedName("O=Example Inc"))))
        // Attributes of one part are a set.
        let one = try #require(DistinguishedName("CN=a+O=b"))
        #expect(one.isSame(as: try #require(DistinguishedName("O=b+CN=a"))))
        #expect(!one.isSame(as: try #require(DistinguishedName("CN=a, O=b"))))
    }

    @Test func wildcardsFitAnyValue() throws {
        let name = try #require(DistinguishedName("C=CH, O=Parley, CN=gate"))
        #expect(name.matches(try #require(DistinguishedName("C=CH, O=Parley, CN=*"))))
        #expect(name.matches(try #require(DistinguishedName("C=*, O=parley, CN=*"))))
        #expect(!name.matches(try #require(DistinguishedName("C=CH, O=Parley"))))
        #expect(!name.matches(try #require(DistinguishedName("C=CH, O=*, OU=*, CN=*"))))
        #expect(!name.matches(try #require(DistinguishedName("C=DE, O=*, CN=*"))))
        #expect(!name.isSame(as: try #require(DistinguishedName("C=CH, O=Parley, CN=*"))))
        #expect(name.isWithin(try #require(DistinguishedName("C=CH, O=parley"))))
        #expect(!name.isWithin(try #require(DistinguishedName("O=Parley"))))
    }

    /// charon's three ways of matching parts.
    @Test(
        arguments: [
            ("C=CH, O=Parley, OU=a, OU=b, CN=gate", DistinguishedName.Matching.strict),
            ("O=Parley, OU=b, CN=gate, OU=a, C=CH", .reordered), ("CN=*, OU=*, OU=b, O=*, C=CH", .reordered),
            ("OU=*, OU=a, CN=gate, O=Parley, C=CH", .reordered), ("CN=gate", .relaxed), ("OU=b, C=*", .relaxed),
            ("OU=a, OU=*", .relaxed), ("CN=door", nil), ("OU=a, OU=a", nil),
            ("C=CH, C=CH, O=Parley, OU=a, CN=gate", nil),
            ("C=CH, O=Parley, OU=a, OU=b, CN=gate, CN=*", nil), ("CN=gate+O=Parley", nil), ("OU=*, OU=*, OU=*", nil),
        ] as [(String, DistinguishedName.Matching?)])
    func partsInAnotherOrder(_ text: String, _ least: DistinguishedName.Matching?) throws {
        let name = try #require(DistinguishedName("C=CH, O=Parley, OU=a, OU=b, CN=gate"))
        let pattern = try #require(DistinguishedName(text))
        let fitting = DistinguishedName.Matching.allCases.filter { name.matches(pattern, $0) }
        #expect(fitting == Array(DistinguishedName.Matching.allCases.drop { $0 != least }))
    }

    @Test func patternsWhoseOrderDoesNotCount() throws {
        let seen = try #require(Identity("C=CH, O=Parley, CN=gate"))
        let written = try #require(Identity("CN=gate, O=Parley, C=CH"))
        let short = try #require(Identity("CN=gate"))
        for matching in DistinguishedName.Matching.allCases {
            let pattern = IdentityPattern.exactly(written).matching(matching)
            #expect(pattern.matches(seen) == (matching != .strict))
            // It is still one identity that can be asked for.
            #expect(pattern.identity == written)
            #expect(IdentityPattern.exactly(short).matching(matching).matches(seen) == (matching == .relaxed))
        }
        let host = try #require(Identity("gate.example"))
        #expect(IdentityPattern.exactly(host).matching(.relaxed) == .exactly(host))
        #expect(IdentityPattern.any.matching(.relaxed) == .any && IdentityPattern.any.identity == nil)
        let open = IdentityPattern.distinguishedName(try #require(DistinguishedName("CN=*"))).matching(.relaxed)
        #expect(open.matches(seen) && open.identity == nil)
    }

    /// An authority by its subject or subjectAltName.
    @Test func authoritiesByThePartsOfTheirNames() throws {
        var hierarchy = Hierarchy()
        hierarchy.policy.authorityIdentity = .distinguishedName(
            try #require(DistinguishedName("CN=Issuing, C=CH")), .relaxed)
        _ = try hierarchy.judge().get()
        hierarchy.policy.authorityIdentity = .distinguishedName(
            try #require(DistinguishedName("CN=Issuing, C=CH")), .reordered)
        #expect(try !hierarchy.judge().isSuccess)
    }

    @Test func identitiesOfNames() throws {
        let identity = try #require(Identity("C=CH, O=Parley, CN=gate"))
        #expect(identity.kind == .distinguishedName)
        #expect(identity.description == "C=CH, O=Parley, CN=gate")
        #expect(Identity("asn1dn:#" + identity.octets.hex) == identity)
        #expect(Identity("asn1dn:gate") == nil)
        #expect(Identity("a=b") == nil)
        #expect(IdentityPattern.exactly(identity).matches(try #require(Identity("c=ch, o=PARLEY, cn=Gate"))))
        let pattern = IdentityPattern.distinguishedName(try #require(DistinguishedName("C=CH, O=*, CN=*")))
        #expect(pattern.matches(identity))
        #expect(!pattern.matches(try #require(Identity("gate.example"))))
        #expect(pattern.specificity(for: identity) < IdentityPattern.exactly(identity).specificity(for: identity))
    }

    @Test func octetsFromOutside() throws {
        let octets = try #require(DistinguishedName("C=CH, O=Parley, CN=gate")).octets
        for count in 0..<octets.count {
            #expect(throws: ParseError.self) { try DistinguishedName(parsing: octets.prefix(count)) }
        }
        for index in octets.indices {
            for bit in 0..<8 {
                var changed = octets
                changed[index] ^= 1 << UInt8(bit)
                // Whatever is read can be written, shown and compared.
                guard let name = try? DistinguishedName(parsing: changed[...]) else { continue }
                #expect(name.isSame(as: name))
                #expect(!name.description.isEmpty)
            }
        }
        let many = DistinguishedName(
            relativeNames: Array(repeating: [.init(type: [0x55, 4, 3], text: "a")], count: 65))
        #expect(throws: ParseError.self) { try DistinguishedName(parsing: many.octets[...]) }
    }

    @Test func whatATerminalMustNotShow() {
        let name = DistinguishedName(
            relativeNames: [[.init(type: [0x55, 4, 3], tag: 12, value: Array("a\u{1B}[2J\u{202E}".utf8))]])
        #expect(name.description.unicodeScalars.allSatisfy { $0.value < 0x7F && $0.value >= 0x20 })
    }
}
