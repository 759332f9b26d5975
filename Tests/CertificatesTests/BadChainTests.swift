import Certificates
import Cryptography
import IPsec
import Primitives
import Testing

/// A way to spoil a hierarchy, and what must be found: the problem of one check at one place of the path.
struct Fault: Sendable, CustomTestStringConvertible {
    let name: String
    let link: Int
    let check: CertificateCheck
    /// Further findings that follow from the same fault.
    let besides: [String]
    let spoil: @Sendable (inout Hierarchy) throws -> Void
    let isExpected: @Sendable (CertificateProblem) -> Bool

    init(
        _ name: String, _ link: Int, _ check: CertificateCheck, besides: [String] = [],
        _ spoil: @escaping @Sendable (inout Hierarchy) throws -> Void,
        expect isExpected: @escaping @Sendable (CertificateProblem) -> Bool
    ) {
        self.name = name
        self.link = link
        self.check = check
        self.besides = besides
        self.spoil = spoil
        self.isExpected = isExpected
    }

    var testDescription: String { name }
}

@Suite struct BadChainTests {
    @Test(arguments: Faults.all) func isRefusedForItsReason(_ fault: Fault) throws {
        var hierarchy = Hierarchy()
        try fault.spoil(&hierarchy)
        guard case .failure(let report) = try hierarchy.judge() else {
            Issue.record("accepted")
            return
        }
        let problems = report.problems
        #expect(
            problems.contains { $0.link == fault.link && $0.check == fault.check && fault.isExpected($0.problem) },
            "\(problems)")
        let others = problems.filter { !($0.link == fault.link && $0.check == fault.check) }
        #expect(others.map { "\($0.link) \($0.check)" } == fault.besides, "\(others)")
        #expect(report.wanted == hierarchy.wanted)
    }

    @Test func theFaultsAreMany() {
        #expect(Faults.all.count >= 60)
        #expect(Set(Faults.all.map(\.name)).count == Faults.all.count)
        let checks = Set(Faults.all.map(\.check))
        #expect(checks == Set(CertificateCheck.allCases))
    }

    @Test func theUnspoiltHierarchyIsGood() throws {
        let path = try Hierarchy().judge().get()
        #expect(path.certificates.count == 3)
        #expect(path.report.links.allSatisfy { $0.findings.count == CertificateCheck.allCases.count })
        #expect(path.expiry == WallTime(year: 2027, month: 1, day: 1))
    }
}

extension BadChainTests {
    @Test func whatIsDemandedMayBeThere() throws {
        for policies in [["1.2.3", "1.3.6.1.4.1.99999.7"], [CertificateExtensions.anyPolicy]] {
            var hierarchy = Hierarchy()
            hierarchy.middle.extensions.append(.policies(policies))
            hierarchy.leaf.extensions.append(.policies(["1.3.6.1.4.1.99999.7"]))
            hierarchy.policy.certificatePolicies = ["1.3.6.1.4.1.99999.7"]
            for name in [Hierarchy.middleName, Hierarchy.rootName] {
                hierarchy.policy.authorityIdentity = .exactly(Identity(name))
                let path = try hierarchy.judge().get()
                #expect(path.certificates[0].extensions.policies == ["1.3.6.1.4.1.99999.7"])
                #expect(path.certificates[1].extensions.policies == Set(policies))
            }
            hierarchy.policy.authorityIdentity = .distinguishedName(DistinguishedName("C=CH, O=Parley, CN=*")!)
            #expect((try? hierarchy.judge().get()) != nil)
        }
        // The same policy twice, and none, are no such list.
        for policies in [["1.2.3", "1.2.3"], []] {
            var hierarchy = Hierarchy()
            hierarchy.leaf.extensions.append(.policies(policies))
            #expect(throws: (any Error).self) { _ = try hierarchy.leafCertificate }
        }
    }
}

/// Public keys that no chain may rest on.
enum Keys {
    static let rsa1024 = [UInt8](
        hex:
            "30819f300d06092a864886f70d010101050003818d0030818902818100d0d6d347641893c1883235ad3529efdde6916fa62d3a51a2"
            + "1753c2c70cd82cef01d7eed98703a2b211c4bac9da525af87b18a2ba8137fd1844dc66f7dbd61f0b33dd12f2e36ad76e723a9bad"
            + "dc134caf5ecade8199f186695e2463a2d51bd9959217e2d37403cab1bbd8631d4d998528b5b98da644abfae18b67d30924cb5dad"
            + "0203010001")!
    static let p192 = [UInt8](
        hex:
            "3049301306072a8648ce3d020106082a8648ce3d03010103320004718cb43c0d5496aef1e1f81beb4fc1086f922b362f84cf1b5be56c"
            + "fc278d12223bd9e646f375fbc44d3dc0e03d9d7010")!
    static let x25519 = [UInt8](
        hex: "302a300506032b656e03210015519771220628a06535a5dac885d215a986a34a08102863b3e47ab118ad3d08")!
    /// P-256 with its curve in full instead of its name.
    static let explicitCurve = [UInt8](
        hex:
            "3082014b3082010306072a8648ce3d02013081f7020101302c06072a8648ce3d0101022100ffffffff00000001000000000000000000"
            + "000000ffffffffffffffffffffffff305b0420ffffffff00000001000000000000000000000000fffffffffffffffffffffffc04"
            + "205ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604b031500c49d360886e704936a6678e1139d26b7"
            + "819f7e900441046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c2964fe342e2fe1a7f9b8ee7eb4a7c"
            + "0f9e162bce33576b315ececbb6406837bf51f5022100ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63"
            + "2551020101034200046397cbe25b4d47a2692e6d12e57cc0567cfa8ebf478c226b1e22bf49913b954d7df210e7eaf4ba7d754d09"
            + "8c87345c4f74158952624735fd1d9c9b51f59e3853")!
}
