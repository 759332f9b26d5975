import Certificates
import Cryptography
import IPsec
import Platform
import Primitives

/// A directory that holds an authority: its key, its certificate, those above it, and its revocation list.
struct AuthorityDirectory {
    let path: String
    let authority: Authority
    /// The certificates above it, the root last; none for a root.
    let issuers: [Certificate]
    let list: RevocationList?

    static func keyFile(_ path: String) -> String { path + "/ca.key.pem" }
    static func certificateFile(_ path: String) -> String { path + "/ca.cert.pem" }
    static func listFile(_ path: String) -> String { path + "/ca.crl.pem" }

    init(_ path: String) throws {
        self.path = path
        let certificates = try PKIFiles.certificates(AuthorityDirectory.certificateFile(path))
        let key = try PKIFiles.key(AuthorityDirectory.keyFile(path))
        guard let signer = Signer(key), let certificate = certificates.first else {
            throw PKIFailure("\(path): the authority's key signs no certificates")
        }
        guard certificate.subjectPublicKeyInfo == key.publicKey.subjectPublicKeyInfo else {
            throw PKIFailure("\(path): the authority's key and certificate do not belong together")
        }
        authority = Authority(certificate: certificate, signer: signer)
        issuers = Array(certificates.dropFirst())
        let file = AuthorityDirectory.listFile(path)
        list = NewFile.exists(file) ? try PKIFiles.lists(file).first : nil
    }

    /// The authority and those above it.
    var chain: [Certificate] { [authority.certificate] + issuers }

    /// Writes a new authority.
    static func write(_ path: String, key: PrivateKey, chain: [Certificate]) throws {
        if NewFile.exists(keyFile(path)) { throw PKIFailure("\(path) holds an authority already") }
        try PKIFiles.makeDirectory(path, isPrivate: true)
        try PKIFiles.write(key, to: keyFile(path))
        try PKIFiles.write(chain.map(\.pem).joined(), to: certificateFile(path))
    }

    /// Puts the authorities, and the list where there is one, into a swanctl directory.
    func writeTrust(to directory: String) throws {
        for folder in ["x509ca", "x509crl"] { try PKIFiles.makeDirectory("\(directory)/\(folder)") }
        for (index, certificate) in chain.enumerated() {
            try PKIFiles.write(certificate.pem, to: "\(directory)/x509ca/\(AuthorityDirectory.trustFile(index))")
        }
        if let list { try PKIFiles.write(list.pem, to: "\(directory)/x509crl/ca.pem") }
    }

    /// The file of the authority itself in `x509ca`, and those of the ones above it.
    static func trustFile(_ index: Int) -> String { index == 0 ? "ca.pem" : "ca-above-\(index).pem" }

    /// Makes a key and a certificate for an end entity and puts both, with the authorities, into a swanctl directory.
    func equip(
        _ directory: String, file: String, subject: Authority.Subject, key: PrivateKey?, days: Int,
        locations: (lists: [String], responders: [String]) = ([], [])
    ) throws -> Certificate {
        let certificate = try issued {
            () throws(Signer.Failure) in
            try authority.issue(
                subject, serialNumber: PKIFiles.serialNumber(),
                validity: Authority.Validity(now: Clock.wallTime(), days: days), locations: locations)
        }
        try PKIFiles.makeDirectory("\(directory)/x509")
        try PKIFiles.makeDirectory("\(directory)/private", isPrivate: true)
        if let key { try PKIFiles.write(key, to: "\(directory)/private/\(file).pem") }
        try PKIFiles.write(certificate.pem, to: "\(directory)/x509/\(file).pem")
        try writeTrust(to: directory)
        return certificate
    }
}

/// Runs what signs and puts its failure into words.
func issued<Value>(_ body: () throws(Signer.Failure) -> Value) throws(PKIFailure) -> Value {
    do throws(Signer.Failure) {
        return try body()
    } catch {
        switch error {
        case .key: throw PKIFailure("the key did not sign")
        case .unreadable(let defect): throw PKIFailure("what was to be issued breaks the form: \(defect)")
        }
    }
}
