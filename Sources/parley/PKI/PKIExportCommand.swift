import ArgumentParser
import Certificates
import Cryptography
import IPsec
import Platform
import Primitives

/// `parley pki export`: an end entity's key and certificate in the form that a client takes.
struct PKIExportCommand: ParsableCommand {
    enum Form: String, ExpressibleByArgument, CaseIterable {
        case pkcs12, mobileconfig, powershell, sswan
    }

    static let configuration = CommandConfiguration(
        commandName: "export",
        abstract: "Export a key and its certificate for another program: PKCS #12, or a client's whole profile.",
        discussion:
            "Forms: pkcs12, mobileconfig (iOS, macOS), powershell (Windows), sswan (the strongSwan app on Android).")

    @Argument(help: "The swanctl directory that `issue` filled.", completion: .directory)
    var directory: String

    @Argument(help: "The name that the certificate was issued for.")
    var name: String

    @Option(help: "pkcs12, mobileconfig, powershell or sswan.")
    var form = Form.pkcs12

    @Option(help: "A file whose first line is the passphrase that will protect the key.", completion: .file())
    var passphraseFile: String

    @Option(name: [.short, .customLong("output")], help: "The file to write.", completion: .file())
    var output: String

    @Option(help: "Where clients find the gateway: its address or name.")
    var gateway: String?

    @Option(help: "The gateway's identity; by default what --gateway says.")
    var gatewayIdentity: String?

    @Option(help: "What the client shows.")
    var title: String?

    func validate() throws {
        guard form == .pkcs12 || gateway != nil else { throw ValidationError("A profile needs --gateway.") }
    }

    func run() throws {
        try reporting("export") {
            let file = EndEntityName.file(name)
            let key = try PKIFiles.key("\(directory)/private/\(file).pem")
            let own = try PKIFiles.certificates("\(directory)/x509/\(file).pem")
            let authorities = try NewFile.names(in: directory + "/x509ca").flatMap {
                try PKIFiles.certificates("\(directory)/x509ca/\($0)")
            }
            guard own[0].subjectPublicKeyInfo == key.publicKey.subjectPublicKeyInfo else {
                throw PKIFailure("\(file): key and certificate do not belong together")
            }
            guard let authority = authorities.first(where: \.isSelfIssued) else {
                throw PKIFailure("\(directory)/x509ca holds no root")
            }
            let phrase = try PKIFiles.passphrase(passphraseFile)
            let pkcs12 = PKCS12(key: key, certificates: (own + authorities).map(\.octets))
            guard let octets = try? pkcs12.octets(passphrase: phrase, name: name) else {
                throw PKIFailure("PKCS #12 cannot be made")
            }
            guard let gateway, form != .pkcs12 else { return try PKIFiles.write(octets, to: output, isPrivate: true) }
            let profile = ClientProfile(
                title: title ?? gateway, gateway: gateway, gatewayIdentity: gatewayIdentity ?? gateway,
                clientIdentity: name, pkcs12: octets, passphrase: String(decoding: phrase.exposed, as: UTF8.self),
                authority: authority, identifiers: (0..<4).map { _ in PKIFiles.randomOctets(16) })
            let text =
                switch form {
                case .mobileconfig: profile.mobileConfiguration
                case .powershell: profile.windowsScript
                case .sswan, .pkcs12: profile.androidProfile
                }
            // Each holds the private key, and two of them its passphrase.
            try PKIFiles.write(Array(text.utf8), to: output, isPrivate: true)
        }
    }
}
