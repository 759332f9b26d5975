import ArgumentParser
import Certificates
import Cryptography
import IPsec
import Platform
import Primitives

/// `parley pki key`: makes a private key.
struct PKIKeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "key", abstract: "Make a private key.")

    @OptionGroup var options: KeyOptions

    @Option(name: [.short, .customLong("output")], help: "The file to write (PKCS #8 in PEM).", completion: .file())
    var output: String

    func run() throws {
        try reporting("key") { try PKIFiles.write(try options.generate(), to: output) }
    }
}

/// `parley pki ca`: makes an authority, its own root or below another.
struct PKIAuthorityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ca", abstract: "Make a certification authority in a directory.")

    @Argument(help: "Its name, such as \"O=Example, CN=Example Root\".")
    var name: String

    @Option(name: [.short, .customLong("output")], help: "The directory to make.", completion: .directory)
    var output: String

    @OptionGroup var options: KeyOptions

    @Option(help: "The directory of an authority that issues it; without one it is a root.", completion: .directory)
    var parent: String?

    @Option(help: "How long it holds.")
    var days = 3650

    @Option(help: "How many authorities may follow below it.")
    var pathLength: Int?

    @Option(help: "A DNS domain below which alone it may issue; may be given several times.")
    var permit: [String] = []

    @Option(help: "A policy under which it issues, as dotted numbers; may be given several times.")
    var policy: [String] = []

    func validate() throws {
        try PKIFiles.check(policies: policy)
        guard (1...36_500).contains(days) else { throw ValidationError("--days is 1 to 36500.") }
        guard pathLength ?? 0 >= 0 else { throw ValidationError("--path-length is not negative.") }
    }

    func run() throws {
        try reporting("ca") {
            let subject = try PKIFiles.name(name)
            let key = try options.generate()
            guard let signer = Signer(key) else { throw PKIFailure("the key signs no certificates") }
            var limits = Authority.Limits(pathLength: pathLength, permitted: permit.map { .dns($0) })
            limits.policies = policy
            let validity = Authority.Validity(now: Clock.wallTime(), days: days)
            let information = key.publicKey.subjectPublicKeyInfo
            if let parent {
                let above = try AuthorityDirectory(parent)
                let certificate = try issued {
                    () throws(Signer.Failure) in
                    try above.authority.subordinate(
                        subject, subjectPublicKeyInfo: information, serialNumber: PKIFiles.serialNumber(),
                        validity: validity, limits: limits)
                }
                try AuthorityDirectory.write(output, key: key, chain: [certificate] + above.chain)
            } else {
                let root = try issued {
                    () throws(Signer.Failure) in
                    try Authority.root(
                        subject, subjectPublicKeyInfo: information, serialNumber: PKIFiles.serialNumber(),
                        validity: validity, limits: limits, signer: signer)
                }
                try AuthorityDirectory.write(output, key: key, chain: [root.certificate])
            }
            Console.print("\(output): \(subject)")
        }
    }
}
