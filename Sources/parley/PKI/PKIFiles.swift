import ArgumentParser
import Certificates
import Cryptography
import IPsec
import Platform
import Primitives

/// Why a command of `parley pki` cannot go on, in words.
struct PKIFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Runs a command and says why it failed.
func reporting(_ command: String, _ body: () throws -> Void) throws {
    do {
        try body()
    } catch let failure as PKIFailure {
        ConsoleError.print("parley: pki \(command): \(failure.description)")
        throw EndCode.failure.exitCode
    }
}

/// The files that `parley pki` reads and writes.
enum PKIFiles {
    /// What `--policy` was given.
    static func check(policies: [String]) throws(ValidationError) {
        guard policies.allSatisfy(ObjectIdentifierText.isValid) else {
            throw ValidationError("--policy is dotted numbers, such as 1.3.6.1.4.1.99999.1.")
        }
    }

    static func read(_ path: String) throws(PKIFailure) -> [UInt8] {
        do throws(PlatformError) {
            return try FileContents.read(path)
        } catch {
            throw PKIFailure("\(path): \(error)")
        }
    }

    static func write(_ octets: [UInt8], to path: String, isPrivate: Bool = false) throws(PKIFailure) {
        do throws(PlatformError) {
            try NewFile.write(octets, to: path, isPrivate: isPrivate)
        } catch {
            throw PKIFailure("\(path): \(error)")
        }
    }

    static func write(_ text: String, to path: String) throws(PKIFailure) { try write(Array(text.utf8), to: path) }

    static func makeDirectory(_ path: String, isPrivate: Bool = false) throws(PKIFailure) {
        do throws(PlatformError) {
            try NewFile.makeDirectory(path, isPrivate: isPrivate)
        } catch {
            throw PKIFailure("\(path): \(error)")
        }
    }

    /// Writes to a file, or to standard output where there is none.
    static func put(_ text: String, to path: String?) throws(PKIFailure) {
        guard let path else {
            Console.print(String(text.drop { $0 == "\n" }).trimmingSuffix("\n"))
            return
        }
        try write(text, to: path)
    }

    /// - Parameter phraseFile: a file that holds the passphrase in its first line.
    static func key(_ path: String, phraseFile: String? = nil) throws -> PrivateKey {
        let octets = Secret(try read(path))
        let phrase = try phraseFile.map { try passphrase($0) }
        do throws(KeyDefect) {
            return try PrivateKey(parsing: octets, passphrase: phrase)
        } catch {
            switch error {
            case .passphrase: throw PKIFailure("\(path): the key is encrypted, and the passphrase is missing or wrong")
            case .unreadable: throw PKIFailure("\(path): there is no private key in it")
            case .unsupported(let what): throw PKIFailure("\(path): \(what) is not supported")
            }
        }
    }

    static func passphrase(_ path: String) throws(PKIFailure) -> Secret {
        let line = try read(path).prefix { $0 != 0x0A && $0 != 0x0D }
        if line.isEmpty { throw PKIFailure("\(path): the first line is empty") }
        return Secret(Array(line))
    }

    static func write(_ key: PrivateKey, to path: String) throws {
        guard let pem = try? key.pem() else { throw PKIFailure("\(path): the key cannot be written") }
        try write(pem.exposed, to: path, isPrivate: true)
    }

    static func certificates(_ path: String) throws(PKIFailure) -> [Certificate] {
        let octets = try read(path)
        do throws(CertificateDefect) {
            return try Certificate.read(file: octets)
        } catch {
            throw PKIFailure("\(path): no certificate: \(error)")
        }
    }

    static func lists(_ path: String) throws(PKIFailure) -> [RevocationList] {
        let octets = try read(path)
        do throws(CertificateDefect) {
            return try RevocationList.read(file: octets)
        } catch {
            throw PKIFailure("\(path): no revocation list: \(error)")
        }
    }

    static func name(_ text: String) throws(PKIFailure) -> DistinguishedName {
        guard let name = DistinguishedName(text) else {
            throw PKIFailure("'\(text)' is no name such as \"C=CH, O=Example, CN=gate\"")
        }
        return name
    }

    static func subjectName(_ text: String) throws(PKIFailure) -> SubjectName {
        guard let identity = Identity(text), let name = SubjectName(identity) else {
            throw PKIFailure("'\(text)' is no domain name, e-mail address, address or distinguished name")
        }
        return name
    }

    static func randomOctets(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// A serial number that nobody foresees (RFC 5280 §4.1.2.2: positive, 20 octets at most).
    static func serialNumber() -> [UInt8] {
        var octets = randomOctets(16)
        octets[0] = octets[0] & 0x7F | 0x40
        return octets
    }
}

/// What kinds of keys are made: `--type`.
enum KeyTypeArgument: String, ExpressibleByArgument, CaseIterable {
    case rsa, ecdsa, ed25519, ed448

    func generate(bits: Int?) throws -> PrivateKey {
        let kind: KeyGenerationKind
        switch self {
        case .rsa: kind = .rsa(bits ?? 3072)
        case .ecdsa:
            guard let curve = SignatureCurve(rawValue: bits ?? 256) else {
                throw PKIFailure("ECDSA keys have 256, 384 or 521 bits")
            }
            kind = .ecdsa(curve)
        case .ed25519, .ed448:
            if bits != nil { throw PKIFailure("\(rawValue) keys have one size") }
            kind = self == .ed25519 ? .ed25519 : .ed448
        }
        do throws(CryptographyError) {
            return try PrivateKey.make(kind)
        } catch {
            throw PKIFailure("the key cannot be made: \(error)")
        }
    }
}

/// The kind of key that a command makes.
struct KeyOptions: ParsableArguments {
    @Option(help: "The kind of key: rsa, ecdsa, ed25519 or ed448.")
    var type = KeyTypeArgument.ecdsa

    @Option(help: "Its bits: 2048 to 8192 for rsa (3072), 256, 384 or 521 for ecdsa (256).")
    var bits: Int?

    func generate() throws -> PrivateKey { try type.generate(bits: bits) }
}

extension String {
    fileprivate func trimmingSuffix(_ suffix: Character) -> String {
        var text = self
        while text.last == suffix { text.removeLast() }
        return text
    }
}
