import IPsec
import Testing

@testable import Certificates

/// Sections 4.8 to 4.12 of NIST's suite with the settings of the initial policies that its document gives each case, besides the
/// default ones, which ``PKITSTests`` has.
@Suite(.enabled(if: PKITS.folder != nil, "the suite is not there: scripts/install fetches it"))
struct PKITSPolicyTests {
    struct Setting: Sendable, CustomTestStringConvertible {
        var name: String
        /// Numbers of NIST's test policies; `nil`: any.
        var acceptable: [Int]?
        var isExplicit = false
        var inhibitsMapping = false
        var inhibitsAny = false
        var holds: Bool

        init(
            _ name: String, _ acceptable: [Int]? = nil, explicit: Bool = false, inhibitsMapping: Bool = false,
            inhibitsAny: Bool = false, holds: Bool
        ) {
            self.name = name
            self.acceptable = acceptable
            isExplicit = explicit
            self.inhibitsMapping = inhibitsMapping
            self.inhibitsAny = inhibitsAny
            self.holds = holds
        }

        var testDescription: String {
            "\(name) \(acceptable ?? []) \(isExplicit) \(inhibitsMapping) \(inhibitsAny): \(holds)"
        }
    }

    private static func policy(_ number: Int) -> String { "2.16.840.1.101.3.2.1.48.\(number)" }

    static let settings: [Setting] = [
        // 4.8
        Setting("ValidCertificatePathTest1", explicit: true, holds: true),
        Setting("ValidCertificatePathTest1", [1], explicit: true, holds: true),
        Setting("ValidCertificatePathTest1", [2], explicit: true, holds: false),
        Setting("ValidCertificatePathTest1", [1, 2], explicit: true, holds: true),
        Setting("AllCertificatesNoPoliciesTest2", explicit: true, holds: false),
        Setting("DifferentPoliciesTest3", explicit: true, holds: false),
        Setting("DifferentPoliciesTest3", [1, 2], explicit: true, holds: false),
        Setting("OverlappingPoliciesTest6", [1], holds: true),
        Setting("OverlappingPoliciesTest6", [2], holds: false),
        Setting("AllCertificatesSamePoliciesTest10", [1], holds: true),
        Setting("AllCertificatesSamePoliciesTest10", [2], holds: true),
        Setting("AllCertificatesanyPolicyTest11", [1], holds: true),
        Setting("AllCertificatesSamePoliciesTest13", [1], holds: true),
        Setting("AllCertificatesSamePoliciesTest13", [2], holds: true),
        Setting("AllCertificatesSamePoliciesTest13", [3], holds: true),
        Setting("AnyPolicyTest14", [1], holds: true),
        Setting("AnyPolicyTest14", [2], holds: false),
        Setting("UserNoticeQualifierTest18", [1], holds: true),
        Setting("UserNoticeQualifierTest18", [2], holds: true),
        Setting("CPSPointerQualifierTest20", [1], explicit: true, holds: true),
        // 4.10
        Setting("ValidPolicyMappingTest1", [1], holds: true),
        Setting("ValidPolicyMappingTest1", [2], holds: false),
        Setting("ValidPolicyMappingTest1", inhibitsMapping: true, holds: false),
        Setting("InvalidPolicyMappingTest2", inhibitsMapping: true, holds: false),
        Setting("ValidPolicyMappingTest3", [1], holds: false),
        Setting("ValidPolicyMappingTest3", [2], holds: true),
        Setting("ValidPolicyMappingTest5", [1], holds: true),
        Setting("ValidPolicyMappingTest5", [6], holds: false),
        Setting("ValidPolicyMappingTest6", [1], holds: true),
        Setting("ValidPolicyMappingTest6", [6], holds: false),
        Setting("ValidPolicyMappingTest12", [1], holds: true),
        Setting("ValidPolicyMappingTest12", [2], holds: true),
        Setting("ValidPolicyMappingTest13", [1, 2], holds: true),
        Setting("ValidPolicyMappingTest13", [2], holds: false),
        // 4.12
        Setting("inhibitAnyPolicyTest3", inhibitsAny: true, holds: false),
    ]

    @Test func everySetting() throws {
        let (loaded, cases) = try PKITS.load()
        for setting in Self.settings {
            let octets = try #require(cases.first { $0.name == setting.name + "EE" }, "\(setting.name)").octets
            var builder = loaded
            builder.policy.initialPolicies.acceptable = setting.acceptable.map { Set($0.map(Self.policy)) }
            builder.policy.initialPolicies.areExplicit = setting.isExplicit
            builder.policy.initialPolicies.inhibitsMapping = setting.inhibitsMapping
            builder.policy.initialPolicies.inhibitsAnyPolicy = setting.inhibitsAny
            let certificate = try Certificate(parsing: octets)
            switch builder.path(for: certificate, identity: nil, now: PKITS.now) {
            case .success: #expect(setting.holds, "accepted: \(setting.testDescription)")
            case .failure(let report):
                #expect(!setting.holds, "refused: \(setting.testDescription): \(report.problems)")
                #expect(report.problems.allSatisfy { $0.problem == .policyMissing }, "\(report.problems)")
            }
        }
    }

    /// What a connection's `cert_policy` names is looked for by the same rules: in the words of the trusted authority, whatever
    /// the certificates below call it.
    @Test(arguments: [
        ("ValidPolicyMappingTest1", [1], true), ("ValidPolicyMappingTest1", [2], false),
        ("ValidPolicyMappingTest12", [1, 2], true), ("AllCertificatesSamePoliciesTest10", [1, 2], true),
        ("AllCertificatesSamePoliciesTest10", [1, 3], false), ("AllCertificatesNoPoliciesTest2", [1], false),
        ("AllCertificatesanyPolicyTest11", [1, 2, 3], true),
    ])
    func everyPolicyThatAConnectionNames(_ name: String, _ policies: [Int], _ holds: Bool) throws {
        var (builder, cases) = try PKITS.load()
        let octets = try #require(cases.first { $0.name == name + "EE" }).octets
        builder.policy.certificatePolicies = policies.map(Self.policy)
        let result = builder.path(for: try Certificate(parsing: octets), identity: nil, now: PKITS.now)
        #expect(result.isSuccess == holds)
        guard case .failure(let report) = result else { return }
        let isNamed = report.problems.contains { if case .policiesAbsent = $0.problem { true } else { false } }
        #expect(isNamed, "\(report.problems)")
    }
}
