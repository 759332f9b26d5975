import Foundation
import IPsec
import Primitives
import Testing

@testable import Certificates

/// Where the suite's files are; `nil`: nowhere.
enum PKITS {
    static let folder: URL? = {
        var root = URL(fileURLWithPath: #filePath)
        for _ in 0..<3 { root.deleteLastPathComponent() }
        let folder = root.appendingPathComponent(".build/peers/pkits")
        return FileManager.default.fileExists(atPath: folder.path) ? folder : nil
    }()
    /// Within the time that its certificates are valid for.
    static let now = WallTime(year: 2020, month: 6, day: 1)!

    static func files(_ kind: String) throws -> [(name: String, octets: [UInt8])] {
        let folder = try #require(folder).appendingPathComponent(kind)
        return try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .sorted { $0.path < $1.path }
            .map { ($0.deletingPathExtension().lastPathComponent, [UInt8](try Data(contentsOf: $0))) }
    }

    /// All authorities and lists, and the end entities' certificates.
    static func load() throws -> (builder: PathBuilder, cases: [(name: String, octets: [UInt8])]) {
        var builder = PathBuilder()
        var cases: [(name: String, octets: [UInt8])] = []
        for (name, octets) in try files("certs") {
            if name.hasSuffix("EE") {
                cases.append((name, octets))
            } else if name == "TrustAnchorRootCertificate" {
                builder.anchors = [try Certificate(parsing: octets)]
            } else {
                // One of them has a signature that is none.
                do { builder.intermediates.append(try Certificate(parsing: octets)) } catch {
                    #expect(name == "BadSignedCACert")
                }
            }
        }
        for (name, octets) in try files("crls") {
            do { builder.revocation.lists.append(try RevocationList(parsing: octets)) } catch {
                #expect(name == "BadCRLSignatureCACRL")
            }
        }
        builder.policy.revocation = .strict
        return (builder, cases)
    }
}

/// NIST's Public Key Interoperability Test Suite: an end entity's certificate for each case, whose path must be found among all
/// its authorities' certificates and hold with all its lists, or must not. scripts/install fetches it.
@Suite(.enabled(if: PKITS.folder != nil, "the suite is not there: scripts/install fetches it")) struct PKITSTests {
    /// Cases of section 4.8 that must fail where any policy will do; the others of their kind hold.
    private static let failing: Set<String> = Set(
        [4, 5, 7, 8, 9, 12].map { "DifferentPoliciesTest\($0)EE" })
    /// What a name says about the fault, in this order.
    private static let faults: [(part: String, checks: Set<CertificateCheck>)] = [
        ("CRLSignature", [.revocation]), ("DSASignature", [.signature]), ("Signature", [.signature, .issuer]),
        ("notAfterDate", [.validity]), ("notBeforeDate", [.validity]), ("NameChaining", [.issuer]),
        ("UnknownCriticalCertificate", [.criticalExtensions]), ("basicConstraints", [.authority]),
        ("cAFalse", [.authority]), ("SigningKeyTest8", [.authority]), ("athLenConstraint", [.pathLength]),
        ("keyCertSign", [.keyUsage]), ("nameConstraints", [.nameConstraints]), ("Policy", [.policies]),
        ("", [.revocation]),
    ]

    @Test func everyCase() throws {
        let (builder, cases) = try PKITS.load()
        var counts = (held: 0, refused: 0)
        for (name, octets) in cases {
            let mustFail = name.hasPrefix("Invalid") || Self.failing.contains(name)
            guard let certificate = try? Certificate(parsing: octets) else {
                #expect(name == "InvalidDSASignatureTest6EE")
                counts.refused += 1
                continue
            }
            var builder = builder
            if name.contains("DSA") {
                // The suite's keys of DSA have 1024 bits, its signatures SHA-1: neither is good enough otherwise.
                #expect(!builder.path(for: certificate, identity: nil, now: PKITS.now).isSuccess, "accepted: \(name)")
                builder.policy.minimumModulusBits = 1024
                builder.policy.allowsWeakHashes = true
                builder.policy.admitsDSAEntities = true
            }
            switch builder.path(for: certificate, identity: nil, now: PKITS.now) {
            case .success:
                #expect(!mustFail, "accepted: \(name)")
                counts.held += 1
            case .failure(let report):
                #expect(mustFail, "refused: \(name): \(report.problems)")
                let wanted = Self.failing.contains(name) ? [.policies] : Self.checks(name)
                #expect(report.problems.contains { wanted.contains($0.check) }, "\(name): \(report.problems)")
                counts.refused += 1
            }
        }
        #expect(counts.held == 102 && counts.refused == 121, "\(counts)")
        print("PKITS: \(counts.held) held, \(counts.refused) refused, as the suite has it")
    }

    private static func checks(_ name: String) -> Set<CertificateCheck> {
        faults.first { $0.part.isEmpty || name.contains($0.part) }?.checks ?? []
    }
}
