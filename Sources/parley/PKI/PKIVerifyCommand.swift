import ArgumentParser
import Certificates
import Explain
import IPsec
import Platform
import Primitives

/// `parley pki verify`: judges a certificate as the daemon would, and says why.
struct PKIVerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Judge a certificate as the daemon would, and print each check.")

    @Argument(
        help: "The certificate; further ones in the file may stand between it and the authority.", completion: .file())
    var certificate: String

    @Option(help: "A trusted authority; may be given several times.", completion: .file())
    var ca: [String]

    @Option(help: "A revocation list; may be given several times.", completion: .file())
    var crl: [String] = []

    @Option(help: "Whom the certificate must name.")
    var identity: String?

    @Option(help: "What follows where nothing is known of revocation: relaxed, ifuri or strict.")
    var revocation = "relaxed"

    func validate() throws {
        guard CertificatePolicy.Revocation(rawValue: revocation) != nil else {
            throw ValidationError("--revocation is relaxed, ifuri or strict.")
        }
    }

    func run() throws {
        try reporting("verify") {
            let all = try PKIFiles.certificates(certificate)
            let authorities = try ca.flatMap { try PKIFiles.certificates($0) }
            var builder = PathBuilder(
                anchors: authorities.filter(\.isSelfIssued), intermediates: authorities.filter { !$0.isSelfIssued })
            builder.revocation.lists = try crl.flatMap { try PKIFiles.lists($0) }
            builder.policy.revocation = CertificatePolicy.Revocation(rawValue: revocation) ?? .relaxed
            let wanted = try identity.map { text in
                guard let identity = Identity(text) else { throw PKIFailure("'\(text)' is no identity") }
                return identity
            }
            let result = builder.path(
                for: all[0], presented: Array(all.dropFirst()), identity: wanted, now: Clock.wallTime())
            switch result {
            case .success(let path):
                ChainReportText.lines(path.report).forEach { Console.print($0) }
                Console.print("\(certificate): good until \(path.expiry)")
            case .failure(let report):
                ChainReportText.lines(report).forEach { Console.print($0) }
                throw PKIFailure("\(certificate): \(ChainReportText.summary(report))")
            }
        }
    }
}
