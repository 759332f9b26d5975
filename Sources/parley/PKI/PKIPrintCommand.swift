import ArgumentParser
import Certificates
import Cryptography
import Explain
import IPsec
import Primitives

/// `parley pki print`: shows what a file holds.
struct PKIPrintCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print", abstract: "Print certificates, requests, revocation lists and keys.")

    @Argument(help: "Files in PEM or DER.", completion: .file())
    var files: [String]

    @Option(help: "A file whose first line opens an encrypted key or PKCS #12.", completion: .file())
    var passphraseFile: String?

    func run() throws {
        try reporting("print") {
            for file in files {
                for line in try lines(file) { Console.print(line) }
            }
        }
    }

    private func lines(_ path: String) throws -> [String] {
        let octets = try PKIFiles.read(path)
        if let certificates = try? Certificate.read(file: octets) {
            return certificates.flatMap { ["\(path): certificate"] + CertificateText.lines($0) }
        }
        if let lists = try? RevocationList.read(file: octets) {
            return lists.flatMap { ["\(path): revocation list"] + CertificateText.lines($0) }
        }
        if let request = try? CertificateRequest.read(file: octets) {
            return ["\(path): request"] + CertificateText.lines(request)
        }
        if let key = try? PublicKey(parsing: octets) { return ["\(path): public key"] + CertificateText.lines(key) }
        if let file = try? passphraseFile.map({ try PKIFiles.passphrase($0) }),
            let opened = try? PKCS12(parsing: octets, passphrase: file)
        {
            let certificates = try opened.certificates.map { try Certificate(parsing: $0) }
            return ["\(path): PKCS #12"] + CertificateText.lines(opened.key.publicKey)
                + certificates.flatMap { CertificateText.lines($0) }
        }
        let key = try PKIFiles.key(path, phraseFile: passphraseFile)
        return ["\(path): private key"] + CertificateText.lines(key.publicKey)
    }
}
