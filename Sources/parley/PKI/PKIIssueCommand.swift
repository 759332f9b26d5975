import ArgumentParser
import Certificates
import Cryptography
import IPsec
import Platform
import Primitives

/// `parley pki issue`: a certificate for an end entity, with a new key or for a request.
struct PKIIssueCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "issue", abstract: "Issue a certificate, with its key and authorities, into a swanctl directory.")

    @Argument(help: "A name for the certificate's subjectAltName: domain, e-mail or IP address; may be several.")
    var names: [String]

    @Option(help: "The directory of the authority.", completion: .directory)
    var ca: String

    @Option(name: [.short, .customLong("output")], help: "The swanctl directory to fill.", completion: .directory)
    var output: String

    @Option(help: "The subject; by default O of the authority and CN of the first name.")
    var subject: String?

    @Option(help: "A request (PKCS #10) whose key is to be certified, instead of a new key.", completion: .file())
    var request: String?

    @OptionGroup var options: KeyOptions

    @Option(help: "How long it holds.")
    var days = 825

    @Option(help: "Where revocation lists will be: a URI; may be given several times.")
    var crl: [String] = []

    @Option(help: "Where OCSP will answer: a URI; may be given several times.")
    var ocsp: [String] = []

    @Option(help: "A policy under which it is issued, as dotted numbers; may be given several times.")
    var policy: [String] = []

    func validate() throws {
        guard !names.isEmpty else { throw ValidationError("A certificate needs a name.") }
        try PKIFiles.check(policies: policy)
        guard (1...36_500).contains(days) else { throw ValidationError("--days is 1 to 36500.") }
    }

    func run() throws {
        try reporting("issue") {
            let directory = try AuthorityDirectory(ca)
            let alternatives = try names.map { try PKIFiles.subjectName($0) }
            let name =
                try subject.map { try PKIFiles.name($0) }
                ?? EndEntityName.derive(from: directory.authority.certificate, names[0])
            let key = request == nil ? try options.generate() : nil
            let information = try request.map { try requestedKey($0) } ?? key?.publicKey.subjectPublicKeyInfo ?? []
            let file = EndEntityName.file(names[0])
            var subject = Authority.Subject(
                name: name, alternativeNames: alternatives, subjectPublicKeyInfo: information)
            subject.policies = policy
            let certificate = try directory.equip(
                output, file: file, subject: subject,
                key: key, days: days, locations: (crl, ocsp))
            Console.print("\(output)/x509/\(file).pem: \(certificate.subject)")
        }
    }

    /// The key of a request, whose owner has shown to have its private half.
    private func requestedKey(_ path: String) throws -> [UInt8] {
        let octets = try PKIFiles.read(path)
        guard let request = try? CertificateRequest.read(file: octets) else {
            throw PKIFailure("\(path): there is no request in it")
        }
        guard request.provesPossession else { throw PKIFailure("\(path): the request's signature does not hold") }
        return request.subjectPublicKeyInfo
    }
}

/// What an end entity is called where nobody says it.
enum EndEntityName {
    /// The organisation of the authority, and the first name as common name.
    static func derive(from authority: Certificate, _ name: String) -> DistinguishedName {
        let kept: [[UInt8]] = [[0x55, 4, 6], [0x55, 4, 10]]
        let parts = authority.subject.relativeNames.filter { part in
            part.count == 1 && part.allSatisfy { kept.contains($0.type) }
        }
        return DistinguishedName(relativeNames: parts + [[.init(type: [0x55, 4, 3], text: name)]])
    }

    /// A file's name without the characters that mean something to a file system or to swanctl.
    static func file(_ name: String) -> String {
        let file = String(name.map { $0.isLetter || $0.isNumber || ".-_@".contains($0) ? $0 : "_" })
        return file.hasPrefix(".") ? "_" + file : file
    }
}

/// `parley pki request`: a request for a certificate.
struct PKIRequestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "request", abstract: "Make a request (PKCS #10) that an authority can sign.")

    @Argument(help: "A name for the certificate's subjectAltName; may be several.")
    var names: [String]

    @Option(help: "The private key.", completion: .file())
    var key: String

    @Option(help: "A file whose first line is the key's passphrase.", completion: .file())
    var passphraseFile: String?

    @Option(help: "The subject, such as \"O=Example, CN=gate\".")
    var subject: String

    @Option(
        name: [.short, .customLong("output")], help: "The file to write; else standard output.", completion: .file())
    var output: String?

    func run() throws {
        try reporting("request") {
            let key = try PKIFiles.key(self.key, phraseFile: passphraseFile)
            guard let signer = Signer(key) else { throw PKIFailure("the key signs no requests") }
            let names = try names.map { try PKIFiles.subjectName($0) }
            let subject = try PKIFiles.name(subject)
            let request = try issued {
                () throws(Signer.Failure) in
                try CertificateRequest.make(
                    subject: subject, subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo,
                    extensions: names.isEmpty ? [] : [.names(names)], signer: signer)
            }
            try PKIFiles.put(request.pem, to: output)
        }
    }
}

/// `parley pki revoke`: the authority's revocation list, with more certificates on it.
struct PKIRevokeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "revoke", abstract: "Renew an authority's revocation list, and put certificates on it.")

    @Argument(help: "Certificates to revoke; none renews the list.", completion: .file())
    var certificates: [String] = []

    @Option(help: "The directory of the authority, where the list is kept.", completion: .directory)
    var ca: String

    @Option(help: "How long the list holds.")
    var days = 30

    @Flag(help: "Suspend them instead: certificateHold.")
    var hold = false

    func validate() throws {
        guard (1...3650).contains(days) else { throw ValidationError("--days is 1 to 3650.") }
    }

    func run() throws {
        try reporting("revoke") {
            let directory = try AuthorityDirectory(ca)
            let now = Clock.wallTime()
            var entries: [[UInt8]: RevocationList.Entry] = [:]
            for path in certificates {
                for certificate in try PKIFiles.certificates(path) {
                    guard certificate.issuer.isSame(as: directory.authority.certificate.subject) else {
                        throw PKIFailure("\(path): issued by \(certificate.issuer), not by this authority")
                    }
                    entries[certificate.serialNumber] = RevocationList.Entry(
                        date: now, reason: hold ? .certificateHold : .unspecified)
                }
            }
            let list = try issued {
                () throws(Signer.Failure) in
                try directory.authority.revocationList(
                    adding: entries, to: directory.list, validity: Authority.Validity(now: now, days: days), now: now)
            }
            let file = AuthorityDirectory.listFile(ca)
            try PKIFiles.write(list.pem, to: file)
            Console.print("\(file): \(list.entries.count) revoked, good until \(list.nextUpdate ?? now)")
        }
    }
}
