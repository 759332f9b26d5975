import Certificates
import Configuration
import Credentials
import Cryptography
import Glibc
import IPsec

/// Reads keys from swanctl's directories beside `swanctl.conf`.
enum KeyFiles {
    /// Files larger than this hold no key.
    static let maximumOctets = 64 * 1024
    private static let maximumPKCS12Octets = 1024 * 1024
    /// Files of one directory.
    private static let maximumFiles = 1000

    struct Found: Sendable {
        var privateKeys: [PrivateKey] = []
        /// Of `pubkey`.
        var publicKeys: [PublicKey] = []
        /// Of `x509`, `x509ca` and `x509crl`.
        var certificates = CertificateStore()
        /// What could not be used, in words.
        var problems: [String] = []

        /// What could not be used, and what the policies and authorities name and nobody has.
        func problems(with policies: PolicyDatabase, _ authorities: [CertificateAuthority]) -> [String] {
            let store = store(policies, authorities)
            let missing = authorities.filter { store.named($0.certificateFile, in: store.authorities).isEmpty }
            return problems + store.missingFiles(policies)
                + missing.map { "authority \($0.name) has no certificate that can be read" }
        }

        /// The policies with the keys that our own rounds can use.
        func completing(_ policies: PolicyDatabase, _ authorities: [CertificateAuthority]) -> PolicyDatabase {
            CredentialStore(privateKeys: privateKeys, certificates: store(policies, authorities)).completing(policies)
        }

        /// The certificates of the directories with those that policies name by their paths, and those of the authorities
        /// that are described.
        func store(_ policies: PolicyDatabase, _ described: [CertificateAuthority]) -> CertificateStore {
            var store = certificates
            let named = policies.connections.flatMap { $0.local + $0.remote }.map(\.certificates)
            let names = named.flatMap { $0.certificateFiles + $0.authorityFiles } + described.map(\.certificateFile)
            for path in Set(names.filter { $0.hasPrefix("/") })
            where store.named(path, in: store.entities + store.authorities).isEmpty {
                guard case .success(let octets) = KeyFiles.octets(path),
                    let read = try? Certificate.read(file: octets)
                else { continue }
                store.elsewhere += read.prefix(1).map { .init(file: path, path: path, certificate: $0) }
            }
            for authority in described {
                for certificate in store.named(authority.certificateFile, in: store.authorities)
                where !store.authorities.contains(where: { $0.certificate == certificate }) {
                    store.authorities.append(.init(file: "", path: "", certificate: certificate))
                }
                for certificate in store.named(authority.certificateFile, in: store.authorities) {
                    store.locations[certificate.keyHash] = RevocationLocations(
                        lists: authority.revocationListURIs, responders: authority.responderURIs)
                    store.uriBases[certificate.keyHash] = authority.certificateURIBase
                }
            }
            return store
        }
    }

    /// Everything that the directories hold; what cannot be used is told and passed over, as swanctl does.
    static func load(beside path: String, _ passphrases: [KeyPassphrase]) -> Found {
        let base = ConfigurationFiles.directory(of: ConfigurationFiles.file(path))
        var found = Found()
        for name in ["private", "rsa", "ecdsa", "pkcs8"] {
            let directory = ConfigurationFiles.joined(base, name)
            for file in files(in: directory) {
                let path = ConfigurationFiles.joined(directory, file)
                let passphrase = KeyFiles.passphrase(of: file, in: name, path, passphrases)
                do throws(KeyDefect) {
                    guard let octets = secret(path) else { throw .unreadable }
                    let key = try PrivateKey(parsing: octets, passphrase: passphrase?.secret)
                    if !found.privateKeys.contains(where: { $0.publicKey == key.publicKey }) {
                        found.privateKeys.append(key)
                    }
                } catch {
                    found.problems.append("private key \(path): \(text(error, passphrase != nil))")
                }
            }
        }
        let directory = ConfigurationFiles.joined(base, "pubkey")
        for file in files(in: directory) {
            let path = ConfigurationFiles.joined(directory, file)
            do throws(KeyDefect) {
                guard case .success(let octets) = octets(path) else { throw .unreadable }
                found.publicKeys.append(try PublicKey(parsing: octets))
            } catch {
                found.problems.append("public key \(path): \(text(error, false))")
            }
        }
        load(pkcs12: ConfigurationFiles.joined(base, "pkcs12"), passphrases, into: &found)
        load(certificates: base, into: &found)
        return found
    }

    /// The passphrase of a file that `secrets` names by its path, or by its name in its directory.
    private static func passphrase(
        of file: String, in directory: String, _ path: String, _ passphrases: [KeyPassphrase]
    ) -> KeyPassphrase? {
        passphrases.first { $0.file == path || ($0.directory == directory && $0.file == file) }
    }

    /// Files with a key, its certificate and those above it (RFC 7292).
    private static func load(pkcs12 directory: String, _ passphrases: [KeyPassphrase], into found: inout Found) {
        for file in files(in: directory) {
            let path = ConfigurationFiles.joined(directory, file)
            let passphrase = KeyFiles.passphrase(of: file, in: "pkcs12", path, passphrases)
            do throws(KeyDefect) {
                guard case .success(let octets) = octets(path, maximum: maximumPKCS12Octets) else { throw .unreadable }
                let opened = try PKCS12(parsing: octets, passphrase: passphrase?.secret ?? Secret([UInt8]()))
                let filed = opened.certificates.compactMap { try? Certificate(parsing: $0) }.map {
                    CertificateStore.Filed(file: file, path: path, certificate: $0)
                }
                found.privateKeys.append(opened.key)
                found.certificates.entities += filed.prefix(1)
                found.certificates.authorities += filed.dropFirst()
            } catch {
                found.problems.append("PKCS #12 file \(path): \(text(error, passphrase != nil))")
            }
        }
    }

    private static func load(certificates base: String, into found: inout Found) {
        for name in ["x509", "x509ca", "x509crl"] {
            let directory = ConfigurationFiles.joined(base, name)
            for file in files(in: directory) {
                let path = ConfigurationFiles.joined(directory, file)
                do throws(CertificateDefect) {
                    let maximum = name == "x509crl" ? RevocationList.maximumOctets : maximumOctets
                    guard case .success(let octets) = octets(path, maximum: maximum) else {
                        throw .malformed("it cannot be read")
                    }
                    if name == "x509crl" {
                        found.certificates.lists += try RevocationList.read(file: octets)
                        continue
                    }
                    let filed = try Certificate.read(file: octets).map {
                        CertificateStore.Filed(file: file, path: path, certificate: $0)
                    }
                    if name == "x509" {
                        found.certificates.entities += filed.prefix(1)
                        // What stands behind an end entity's certificate in its file may stand in between.
                        found.certificates.authorities += filed.dropFirst().filter { !$0.certificate.isSelfIssued }
                    } else {
                        found.certificates.authorities += filed
                    }
                } catch {
                    found.problems.append("certificates in \(path): \(error)")
                }
            }
        }
    }

    static func text(_ defect: KeyDefect, _ hasPassphrase: Bool) -> String {
        switch defect {
        case .unreadable: "it cannot be read as a key"
        case .passphrase:
            hasPassphrase ? "its passphrase is another" : "it is encrypted, and 'secrets' has no passphrase"
        case .unsupported(let what): "\(what) is not used here"
        }
    }

    /// The names of a directory's files, sorted; none where there is no such directory.
    private static func files(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream), names.count < maximumFiles {
            // SAFETY: the entry and its terminated name are valid until the next readdir of this stream.
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            var status = stat()
            guard !name.hasPrefix("."), stat(ConfigurationFiles.joined(directory, name), &status) == 0,
                status.st_mode & S_IFMT == S_IFREG
            else { continue }
            names.append(name)
        }
        return names.sorted()
    }

    /// A file's octets, straight into memory that is wiped; `nil` where it cannot be read.
    private static func secret(_ path: String) -> Secret? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var count = 0
        let whole = Secret(count: maximumOctets + 1) { target in
            while count < target.count {
                // SAFETY: the read stays within what is left of the target.
                let got = Glibc.read(descriptor, target.baseAddress.map { $0 + count }, target.count - count)
                if got < 0, errno == EINTR { continue }
                guard got > 0 else { break }
                count += got
            }
        }
        return (1...maximumOctets).contains(count) ? whole[0..<count] : nil
    }

    /// A file's octets.
    static func octets(_ path: String, maximum: Int = maximumOctets) -> Result<[UInt8], IncludeFailure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(IncludeFailure(String(cString: strerror(errno)))) }
        defer { close(descriptor) }
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while octets.count <= maximum {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return .failure(IncludeFailure(String(cString: strerror(errno)))) }
            if count == 0 { return .success(octets) }
            octets += buffer[..<count]
        }
        return .failure(IncludeFailure("it is larger than \(maximum) octets"))
    }
}
