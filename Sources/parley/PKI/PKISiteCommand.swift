import ArgumentParser
import Certificates
import Cryptography
import IPsec
import Primitives

/// `parley pki site`: everything that the two ends of a tunnel need, in two directories.
struct PKISiteCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "site",
        abstract: "Make keys, certificates and swanctl.conf for both ends of a tunnel between two networks.",
        discussion:
            "An end is IDENTITY=ADDRESS=NETWORK[,NETWORK], such as left.example=192.0.2.1=10.1.0.0/24. Its directory "
            + "has its identity for a name.")

    @Argument(help: "One end.")
    var left: String

    @Argument(help: "The other end.")
    var right: String

    @Option(help: "The directory of the authority.", completion: .directory)
    var ca: String

    @Option(name: [.short, .customLong("output")], help: "Where to make the two directories.", completion: .directory)
    var output = "."

    @OptionGroup var options: KeyOptions

    @Option(help: "How long the certificates hold.")
    var days = 825

    func validate() throws {
        guard (1...36_500).contains(days) else { throw ValidationError("--days is 1 to 36500.") }
    }

    func run() throws {
        try reporting("site") {
            let directory = try AuthorityDirectory(ca)
            let ends = try [left, right].map { text in
                guard let end = SiteEnd(text) else {
                    throw PKIFailure(
                        "'\(text)' is not IDENTITY=ADDRESS=NETWORK, such as left.example=192.0.2.1=10.1.0.0/24")
                }
                return end
            }
            guard ends[0].identity != ends[1].identity else { throw PKIFailure("both ends have the same identity") }
            for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
                let file = EndEntityName.file(end.identity)
                let target = "\(output)/\(file)"
                let key = try options.generate()
                let certificate = try directory.equip(
                    target, file: file,
                    subject: Authority.Subject(
                        name: EndEntityName.derive(from: directory.authority.certificate, end.identity),
                        alternativeNames: [try PKIFiles.subjectName(end.identity)],
                        subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo),
                    key: key, days: days)
                try PKIFiles.write(
                    end.configuration(
                        towards: other, certificate: "\(file).pem", authority: AuthorityDirectory.trustFile(0)),
                    to: "\(target)/swanctl.conf")
                Console.print("\(target): \(certificate.subject)")
            }
        }
    }
}
