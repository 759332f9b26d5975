import Cryptography
import IPsec
import Primitives

@testable import Certificates

extension Faults {
    static let names: [Fault] = {
        @Sendable func constrain(
            permitted: [NameSubtree] = [], excluded: [NameSubtree] = []
        ) -> @Sendable (inout Hierarchy) -> Void {
            {
                $0.middle.extensions.append(.nameConstraints(permitted: permitted, excluded: excluded))
            }
        }
        @Sendable func block(_ address: String, _ mask: String) -> NameSubtree {
            .addresses(IPAddress(address)!, mask: IPAddress(mask)!)
        }
        @Sendable func notPermitted(_ wanted: SubjectName) -> @Sendable (CertificateProblem) -> Bool {
            { $0 == .nameNotPermitted(wanted, by: Hierarchy.middleName) }
        }
        @Sendable func excluded(_ wanted: SubjectName) -> @Sendable (CertificateProblem) -> Bool {
            { if case .nameExcluded(wanted, _, Hierarchy.middleName) = $0 { true } else { false } }
        }
        let v6 = SubjectName.address(IPAddress("2001:db8::1")!)
        return [
            Fault(
                "DNS name outside", 0, .nameConstraints, constrain(permitted: [.dns("other.example")]),
                expect: notPermitted(.dns("gate.example"))),
            Fault(
                "DNS name that only ends alike", 0, .nameConstraints, constrain(permitted: [.dns("ate.example")]),
                expect: notPermitted(.dns("gate.example"))),
            Fault(
                "DNS name above the subtree", 0, .nameConstraints, constrain(permitted: [.dns("a.gate.example")]),
                expect: notPermitted(.dns("gate.example"))),
            Fault(
                "DNS name excluded", 0, .nameConstraints, constrain(excluded: [.dns("example")]),
                expect: excluded(.dns("gate.example"))),
            Fault(
                "permitted and excluded", 0, .nameConstraints,
                constrain(permitted: [.dns("example")], excluded: [.dns("GATE.example")]),
                expect: excluded(.dns("gate.example"))),
            Fault(
                "subject outside", 0, .nameConstraints, constrain(permitted: [.directory(name("C=CH, O=Other"))]),
                expect: notPermitted(.directory(Hierarchy.leafName))),
            Fault(
                "subject excluded", 0, .nameConstraints, constrain(excluded: [.directory(name("c=ch, o=PARLEY"))]),
                expect: excluded(.directory(Hierarchy.leafName))),
            Fault(
                "IPv4 address outside", 0, .nameConstraints,
                constrain(permitted: [block("192.0.2.128", "255.255.255.128"), block("::", "::")]),
                expect: notPermitted(.address(IPAddress("192.0.2.1")!))),
            Fault(
                "IPv4 address excluded", 0, .nameConstraints,
                constrain(excluded: [block("192.0.2.0", "255.255.255.0")]),
                expect: excluded(.address(IPAddress("192.0.2.1")!))),
            Fault(
                "IPv6 address outside", 0, .nameConstraints,
                constrain(permitted: [block("2001:db8:1::", "ffff:ffff:ffff::"), block("0.0.0.0", "0.0.0.0")]),
                expect: notPermitted(v6)),
            Fault(
                "IPv6 address where IPv4 alone is permitted", 0, .nameConstraints,
                constrain(permitted: [block("192.0.2.0", "255.255.255.0")]), expect: notPermitted(v6)),
            Fault(
                "mailbox on another host", 0, .nameConstraints, constrain(permitted: [.email("example.com")]),
                expect: notPermitted(.email("Gate@Example.org"))),
            Fault(
                "mailbox below a domain", 0, .nameConstraints, constrain(permitted: [.email(".example.org")]),
                expect: notPermitted(.email("Gate@Example.org"))),
            Fault(
                "another mailbox", 0, .nameConstraints, constrain(permitted: [.email("gate@example.org")]),
                expect: notPermitted(.email("Gate@Example.org"))),
            Fault(
                "mailbox excluded", 0, .nameConstraints, constrain(excluded: [.email("example.org")]),
                expect: excluded(.email("Gate@Example.org"))),
            Fault(
                "e-mail address in the subject", 0, .nameConstraints,
                {
                    $0.leaf.subject = name("CN=gate, E=gate@evil.example")
                    $0.leaf.extensions.replace(.names([.dns("gate.example")]))
                    constrain(permitted: [.email("example.org")])(&$0)
                }, expect: notPermitted(.email("gate@evil.example"))),
            Fault(
                "URI excluded", 0, .nameConstraints,
                {
                    $0.leaf.extensions.replace(.names([.dns("gate.example"), .uri("https://u@gate.example:80/x")]))
                    constrain(excluded: [.uri("gate.example")])(&$0)
                }, expect: excluded(.uri("https://u@gate.example:80/x"))),
            Fault(
                "a form that is not known", 0, .nameConstraints,
                {
                    $0.leaf.extensions.replace(.names([.dns("gate.example"), .other(0)]))
                    constrain(permitted: [.other(0)])(&$0)
                }, expect: notPermitted(.other(0))),
            Fault(
                "the root's constraint two steps up", 0, .nameConstraints,
                { $0.root.extensions.append(.nameConstraints(excluded: [.dns("gate.example")])) }
            ) { if case .nameExcluded(_, _, Hierarchy.rootName) = $0 { true } else { false } },
            Fault(
                "the intermediate's own name", 1, .nameConstraints,
                { $0.root.extensions.append(.nameConstraints(excluded: [.directory(Hierarchy.middleName)])) }
            ) { if case .nameExcluded(.directory(Hierarchy.middleName), _, _) = $0 { true } else { false } },
        ]
    }()

    static let identities: [Fault] = {
        @Sendable func wants(_ text: String) -> @Sendable (inout Hierarchy) -> Void { { $0.wanted = Identity(text) } }
        @Sendable func fault(_ name: String, _ spoil: @escaping @Sendable (inout Hierarchy) throws -> Void) -> Fault {
            Fault(name, 0, .identity, spoil) { $0 == .identityAbsent }
        }
        return [
            fault("another FQDN", wants("other.example")),
            fault("a FQDN with something in front", wants("my.gate.example")),
            fault("a FQDN's end", wants("ate.example")),
            fault("a FQDN with a dot behind", wants("gate.example.")),
            fault("a FQDN in the common name alone", wants("gate")),
            fault("another mailbox's owner", wants("gate@example.org")),
            fault("another mailbox's host", wants("Gate@example.com")),
            fault("a FQDN as a mailbox", wants("email:gate.example")),
            fault("another IPv4 address", wants("192.0.2.2")),
            fault("another IPv6 address", wants("2001:db8::2")),
            fault("an address as a name", wants("fqdn:192.0.2.1")),
            fault("another subject", wants("C=CH, O=Parley, CN=other")),
            fault("a subject with one part less", wants("O=Parley, CN=gate")),
            fault("a subject with one part more", wants("C=CH, O=Parley, OU=x, CN=gate")),
            fault("another key's identifier", wants("keyid:#0102030405")),
            fault("a wildcard in the certificate") {
                $0.leaf.extensions.replace(.names([.dns("*.example")]))
            },
            fault("a zero octet inside of the name") {
                $0.leaf.extensions.replace(.names([.dns("gate.example\u{0}.evil.example")]))
            },
            fault("no names at all") { $0.leaf.extensions.remove("2.5.29.17") },
        ]
    }()

    static let revocations: [Fault] = {
        @Sendable func revoked(_ problem: CertificateProblem) -> Bool {
            if case .revoked(may, .keyCompromise) = problem { true } else { false }
        }
        @Sendable func strict(_ spoil: @escaping @Sendable (inout Hierarchy) throws -> Void)
            -> @Sendable (inout Hierarchy) throws -> Void
        {
            {
                // The intermediate is the root's business, which has no list here: it counts as trusted itself.
                $0.policy.revocation = .strict
                $0.middle.issuer = Hierarchy.middleName
                $0.middleSigner = TestKey.middle.signer()
                $0.middle.extensions.remove("2.5.29.35")
                $0.root = $0.middle
                $0.rootSigner = $0.middleSigner
                $0.presentsMiddle = false
                try spoil(&$0)
            }
        }
        @Sendable func gap(_ wanted: RevocationGap) -> @Sendable (CertificateProblem) -> Bool {
            { $0 == .revocationUnknown(wanted) }
        }
        return [
            Fault("on the list", 0, .revocation, { $0.lists = [Hierarchy.list([9, 3])] }, expect: revoked),
            Fault(
                "intermediate on the root's list", 1, .revocation,
                {
                    $0.lists = [Hierarchy.list([2], issuer: Hierarchy.rootName)]
                    $0.listSigner = TestKey.root.signer()
                }, expect: revoked),
            Fault(
                "on the changes to the list", 0, .revocation,
                { $0.lists = [Hierarchy.list([]), Hierarchy.list([3], number: 8, base: 7)] }, expect: revoked),
            Fault("on hold", 0, .revocation, { $0.lists = [Hierarchy.list([3], reason: .certificateHold)] }) {
                $0 == .revoked(may, .certificateHold)
            },
            Fault(
                "on a list that is out of date", 0, .revocation,
                {
                    $0.lists = [Hierarchy.list([3])]
                    $0.lists[0].nextUpdate = WallTime(year: 2026, month: 5, day: 31)
                }, expect: revoked),
            Fault(
                "on the newer of two lists", 0, .revocation,
                { $0.lists = [Hierarchy.list([3], number: 300), Hierarchy.list([], number: 299)] }, expect: revoked),
            Fault("no list where one must be", 0, .revocation, strict { _ in }, expect: gap(.noInformation)),
            Fault(
                "no list where the certificate names one", 0, .revocation,
                {
                    $0.policy.revocation = .ifURI
                    $0.leaf.extensions.append(.revocationLists(["http://example/list.crl"]))
                }, expect: gap(.noInformation)),
            Fault(
                "a list out of date", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.lists[0].nextUpdate = may
                }, expect: gap(.stale(nextUpdate: may))),
            Fault(
                "a list of a stranger", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.listSigner = TestKey.stranger.signer()
                }, expect: gap(.badSignature)),
            Fault(
                "a list from who may not sign any", 0, .revocation,
                strict {
                    $0.root.extensions.replace(.keyUsage([.certificateSigning]))
                    $0.lists = [Hierarchy.list([])]
                }, expect: gap(.issuerMayNotSign)),
            Fault(
                "a list that is not understood", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.lists[0].extensions = [EncodedExtension("1.2.3.4", isCritical: true, value: [5, 0])]
                }, expect: gap(.unknownCriticalExtensions(["1.2.3.4"]))),
            Fault(
                "a list about authorities alone", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.lists[0].extensions = [
                        EncodedExtension("2.5.29.28", isCritical: true, value: [0x30, 3, 0x82, 1, 0xFF])
                    ]
                }, expect: gap(.noInformation)),
            Fault(
                "changes without the list", 0, .revocation,
                strict { $0.lists = [Hierarchy.list([], number: 8, base: 7)] }, expect: gap(.noInformation)),
            Fault(
                "revoked, says OCSP", 0, .revocation, { $0.responses = [try OCSPAnswer($0, .revoked).response()] },
                expect: revoked),
            Fault(
                "unknown, says OCSP", 0, .revocation,
                strict { $0.responses = [try OCSPAnswer($0, .unknown).response()] }, expect: gap(.responderDoesNotKnow)),
            Fault(
                "a stranger's OCSP response", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    answer.signer = TestKey.stranger.signer()
                    $0.responses = [try answer.response()]
                }, expect: gap(.badSignature)),
            Fault(
                "an OCSP response of long ago", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    answer.nextUpdate = may
                    $0.responses = [try answer.response()]
                }, expect: gap(.stale(nextUpdate: may))),
            Fault(
                "an OCSP response for another certificate", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    answer.serialNumber = [4]
                    $0.responses = [try answer.response()]
                }, expect: gap(.noInformation)),
            Fault(
                "a responder whom the authority did not name", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    try answer.delegate(to: .stranger, in: $0, purposes: [.serverAuthentication])
                    $0.responses = [try answer.response()]
                }, expect: gap(.issuerMayNotSign)),
            Fault(
                "an OCSP response from the future", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    answer.thisUpdate = WallTime(seconds: Hierarchy.now.seconds + 3600)
                    $0.responses = [try answer.response()]
                }, expect: gap(.stale(nextUpdate: july))),
            Fault(
                "an OCSP response without an end, of the day before yesterday", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    answer.thisUpdate = WallTime(seconds: Hierarchy.now.seconds - 2 * 86_400)
                    answer.nextUpdate = nil
                    $0.responses = [try answer.response()]
                }, expect: gap(.stale(nextUpdate: nil))),
            Fault(
                "an OCSP response for another issuer's certificate of the number", 0, .revocation,
                strict {
                    var other = $0
                    other.root.subjectPublicKeyInfo = TestKey.leaf.subjectPublicKeyInfo
                    let answer = try OCSPAnswer(other, .good)
                    $0.responses = [try answer.response()]
                }, expect: gap(.noInformation)),
            Fault(
                "an OCSP response in another's name", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    answer.responder = Hierarchy.leafName
                    $0.responses = [try answer.response()]
                }, expect: gap(.issuerMayNotSign)),
            Fault(
                "a responder without purposes", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    try answer.delegate(to: .stranger, in: $0, purposes: [.any])
                    $0.responses = [try answer.response()]
                }, expect: gap(.issuerMayNotSign)),
            Fault(
                "a responder that was revoked", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    try answer.delegate(to: .stranger, in: $0, purposes: [.ocspSigning])
                    $0.responses = [try answer.response()]
                    // The list has the responder, and says nothing that holds of the others any more.
                    $0.lists = [Hierarchy.list([77])]
                    $0.lists[0].nextUpdate = may
                }, expect: gap(.stale(nextUpdate: may))),
            Fault(
                "a responder whose certificate a stranger made", 0, .revocation,
                strict {
                    var answer = try OCSPAnswer($0, .good)
                    try answer.delegate(to: .stranger, in: $0, purposes: [.ocspSigning])
                    var template = $0.leaf
                    template.subject = answer.responder
                    template.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
                    template.extensions = [.purposes([.ocspSigning])]
                    answer.certificates = [try template.signed(by: TestKey.stranger.signer())]
                    $0.responses = [try answer.response()]
                }, expect: gap(.issuerMayNotSign)),
            Fault(
                "a list from the future", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.lists[0].thisUpdate = WallTime(seconds: Hierarchy.now.seconds + 3600)
                }, expect: gap(.noInformation)),
            Fault(
                "a list without an end", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.lists[0].nextUpdate = nil
                }, expect: gap(.stale(nextUpdate: nil))),
            Fault(
                "a list of another point", 0, .revocation,
                strict {
                    $0.leaf.extensions.append(.revocationLists(["http://example/list.crl"]))
                    $0.lists = [Hierarchy.list([])]
                    let other = Encoding.tagged(0, Encoding.tagged(0, SubjectName.uri("http://example/2.crl").octets))
                    $0.lists[0].extensions = [
                        EncodedExtension("2.5.29.28", isCritical: true, value: Encoding.sequence(other))
                    ]
                }, expect: gap(.noInformation)),
            Fault(
                "a list about attribute certificates", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([])]
                    $0.lists[0].extensions = [
                        EncodedExtension("2.5.29.28", isCritical: true, value: [0x30, 3, 0x85, 1, 0xFF])
                    ]
                }, expect: gap(.unknownCriticalExtensions(["issuingDistributionPoint: attribute certificates"]))),
            Fault(
                "changes by another key than the list's", 0, .revocation,
                strict {
                    $0.lists = [Hierarchy.list([]), Hierarchy.list([], number: 8, base: 7)]
                    $0.lists[0].nextUpdate = may
                    $0.lists[1].authorityKeyIdentifier = TestKey.stranger.identifier
                }, expect: gap(.stale(nextUpdate: may))),
            Fault(
                "an OCSP response good, the list not", 0, .revocation,
                {
                    $0.responses = [try OCSPAnswer($0, .good).response()]
                    $0.lists = [Hierarchy.list([3])]
                }, expect: revoked),
        ]
    }()
}
