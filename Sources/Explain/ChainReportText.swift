package import IPsec
import Primitives

/// Reports on certificates in words.
package enum ChainReportText {
    /// One line: the first thing that is wrong.
    package static func summary(_ report: ChainReport) -> String {
        if let message = report.message { return words(message) }
        guard let (index, _, problem) = report.problems.first else { return "the certificate is good" }
        let subject = report.links[index].subject
        return "the certificate of '\(subject)' is refused: \(words(problem, report))"
    }

    /// Each certificate with each check, and the identity that was wanted beside the names that are there.
    package static func lines(_ report: ChainReport) -> [String] {
        var lines: [String] = []
        for (index, link) in report.links.enumerated() {
            lines.append("\(index): \(link.subject)")
            lines.append("   issued by \(link.issuer), serial \(link.serialNumber.hex)")
            let passed = link.findings.filter { $0.outcome == .passed }.map { name($0.check) }
            if !passed.isEmpty { lines.append("   good: \(passed.joined(separator: ", "))") }
            for finding in link.findings {
                guard case .failed(let problem) = finding.outcome else { continue }
                lines.append("   BAD \(name(finding.check)): \(words(problem, report))")
            }
        }
        if let message = report.message { lines.append("BAD signature in AUTH: \(words(message))") }
        if let wanted = report.wanted {
            lines.append("wanted: \(wanted)")
            lines.append("present: \(report.present.map(\.description).joined(separator: "; "))")
        }
        return lines
    }

    package static func name(_ check: CertificateCheck) -> String {
        switch check {
        case .key: "key"
        case .issuer: "issuer"
        case .signature: "signature"
        case .validity: "validity"
        case .criticalExtensions: "critical extensions"
        case .authority: "authority"
        case .pathLength: "path length"
        case .keyUsage: "key usage"
        case .purpose: "purpose"
        case .nameConstraints: "name constraints"
        case .policies: "policies"
        case .revocation: "revocation"
        case .identity: "identity"
        case .trust: "trust"
        }
    }

    private static func words(_ problem: CertificateProblem, _ report: ChainReport) -> String {
        switch problem {
        case .unknownKey: "its key is of a kind that signs nothing here"
        case .weakKey(let key): "its key is too weak: \(key)"
        case .keyNotAdmitted(let key, let wanted): "its key is \(key), and 'auth = \(wanted)' wants another"
        case .algorithmNotAdmitted(let algorithm, let wanted):
            "it is signed with \(algorithm), and 'auth = \(wanted)' wants another"
        case .issuerMissing(let name): "no certificate of its issuer '\(name)' is known"
        case .otherIssuerKey(let wanted, let found):
            "it names another key of its issuer: \(wanted.hex), where the issuer's is \(found.hex)"
        case .unknownAlgorithm: "it is signed with an algorithm that is not known here"
        case .weakAlgorithm(let algorithm): "it is signed with \(algorithm), which can be forged"
        case .badSignature: "its issuer's key did not make its signature"
        case .notYetValid(let from, let now): "it is valid from \(from) on, and it is \(now)"
        case .expired(let until, let now): "it expired at \(until), and it is \(now)"
        case .unknownCriticalExtensions(let identifiers):
            "it has critical extensions that are not known here: \(identifiers.joined(separator: ", "))"
        case .notAuthority: "it is not an authority's, and issued another"
        case .pathTooLong(let allowed, let found):
            "it lets \(allowed) authorities follow, and \(found) do"
        case .keyUsageLacks(let usage): "its key usage lacks \(usage)"
        case .purposes(let purposes): "it is for \(purposes.map(\.description).joined(separator: ", ")), not for IKE"
        case .nameNotPermitted(let name, let authority): "'\(authority)' may not certify the name '\(name)'"
        case .nameExcluded(let name, let subtree, let authority):
            "'\(authority)' may not certify the name '\(name)', which lies within '\(subtree)'"
        case .revoked(let date, let reason): "it was revoked at \(date): \(reason)"
        case .revocationUnknown(let gap): "whether it was revoked is not known: \(words(gap))"
        case .identityAbsent:
            "it does not name '\(report.wanted.map(\.description) ?? "")', but "
                + (report.present.isEmpty
                    ? "nobody" : report.present.map { "'\($0)'" }.joined(separator: ", "))
        case .untrusted: "no trusted authority stands behind it"
        case .authorityNotNamed: "none of the authorities that the connection names stands behind it"
        case .authorityIdentityAbsent(let wanted): "no authority behind it is called '\(wanted)', as 'ca_id' wants"
        case .policiesAbsent(let policies):
            "it was not issued under \(policies.joined(separator: ", ")), as 'cert_policy' wants"
        case .policyMissing:
            "an authority above it wants a policy of the whole path, and with it there is none"
        }
    }

    private static func words(_ defect: MessageDefect) -> String {
        "the peer signed with \(defect.algorithm), and 'auth = \(defect.wanted)' wants another signature"
    }

    private static func words(_ gap: RevocationGap) -> String {
        switch gap {
        case .noInformation: "there is no revocation list and no OCSP response"
        case .stale(let next): "what is known is out of date" + (next.map { " since \($0)" } ?? "")
        case .badSignature: "the signature of what is there does not hold"
        case .issuerMayNotSign: "who signed what is there may not"
        case .unknownCriticalExtensions(let identifiers):
            "what is there has critical extensions that are not known: \(identifiers.joined(separator: ", "))"
        case .responderDoesNotKnow: "the responder does not know it"
        case .someReasons: "the lists that are there speak of some reasons alone"
        case .weakAlgorithm(let algorithm): "what is there is signed with \(algorithm), which can be forged"
        }
    }
}
