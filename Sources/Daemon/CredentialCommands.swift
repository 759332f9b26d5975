import Configuration
import Control
import IPsec
import Primitives

/// vici's commands about secrets, certificates, keys and authorities. What this version has no use for yet is refused
/// by name, after the message itself was judged as charon judges it.
enum CredentialCommands {
    typealias Reply = ViciCommands.Reply

    /// `false`: the command is none of these.
    static func perform(
        _ command: String, _ message: ViciMessage, client: ViciClient, loop: ControlLoop, reply: @escaping Reply
    ) -> Bool {
        switch command {
        case "load-shared": reply(ViciCommands.outcome(loadShared(message, loop)))
        case "unload-shared": reply(ViciCommands.outcome(unloadShared(message, loop)))
        case "get-shared": reply(ViciCommands.names("keys", sharedNames(loop)))
        case "load-key": reply(ViciCommands.outcome(loadKey(message)))
        case "load-token":
            reply(ViciCommands.outcome(message.text("handle") == nil ? "keyid missing" : unsupported("tokens")))
        case "unload-key":
            reply(ViciCommands.outcome(message.text("id") == nil ? "key id missing" : "key not found"))
        case "get-keys": reply(ViciCommands.names("keys", []))
        case "load-cert": reply(ViciCommands.outcome(loadCertificate(message)))
        case "list-certs": client.stream("list-cert", { nil }, end: { reply(ViciMessage()) })
        case "flush-certs":
            let type = message.text("type")
            let isKnown = type.map { certificateTypes.contains($0.uppercased()) } ?? true
            reply(ViciCommands.outcome(isKnown ? nil : "invalid certificate type '\(type ?? "")'"))
        case "clear-creds":
            loop.change { ($0.secrets, $0.users) = ([], []) }
            reply(ViciCommands.outcome(nil))
        case "load-authority": reply(loadPart("authorities", message, loop))
        case "unload-authority":
            reply(
                ViciCommands.outcome(
                    message.text("name").map { "unload: authority '\($0)' not found" }
                        ?? "unload: missing authority name"))
        case "get-authorities": reply(ViciCommands.names("authorities", []))
        case "list-authorities": client.stream("list-authority", { nil }, end: { reply(ViciMessage()) })
        default: return false
        }
        return true
    }

    private static func unsupported(_ what: String) -> String { "\(what) are not supported by this version" }

    // MARK: Secrets

    /// charon's kinds of shared keys, with the beginning of their sections' names in `swanctl.conf`.
    private static let sharedKinds = ["IKE": "ike", "EAP": "eap", "XAUTH": "xauth", "NTLM": "ntlm", "PPK": "ppk"]

    private static func loadShared(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let type = message.text("type") else { return "shared key type missing" }
        guard let prefix = sharedKinds[type.uppercased()] else { return "invalid shared key type: \(type)" }
        guard case .value(let data) = message.element("data"), !data.isEmpty else { return "shared key data missing" }
        switch loop.check(ViciSettings.secret(prefix, data: data, owners: message.list("owners"))) {
        case .failure(let refused): return refused.reason
        case .success(var part):
            for index in part.secrets.indices { part.secrets[index].name = message.text("id") ?? "" }
            for index in part.users.indices { part.users[index].name = message.text("id") ?? "" }
            loop.change { $0.absorb(part) }
            return nil
        }
    }

    private static func sharedNames(_ loop: ControlLoop) -> [String] {
        (loop.running.secrets + loop.running.users).map(\.name).filter { !$0.isEmpty }
    }

    private static func unloadShared(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let id = message.text("id") else { return "unique identifier missing" }
        // An unknown one is no failure to charon either: it is not there afterwards.
        loop.change { configuration in
            configuration.secrets.removeAll { $0.name == id }
            configuration.users.removeAll { $0.name == id }
        }
        return nil
    }

    // MARK: Keys and certificates

    private static let certificateTypes = ["X509", "X509_AC", "X509_CRL", "OCSP_RESPONSE", "PUBKEY", "ANY"]

    private static func loadKey(_ message: ViciMessage) -> String? {
        guard let type = message.text("type") else { return "key type missing" }
        guard ["rsa", "ecdsa", "ed25519", "ed448", "any"].contains(type.lowercased()) else {
            return "invalid key type: \(type)"
        }
        guard case .value(let data) = message.element("data"), !data.isEmpty else { return "key data missing" }
        return unsupported("private keys")
    }

    private static func loadCertificate(_ message: ViciMessage) -> String? {
        guard let type = message.text("type") else { return "certificate type missing" }
        guard ["X509", "X509_AC", "X509_CRL"].contains(type.uppercased()) else {
            return "invalid certificate type '\(type)'"
        }
        if let flag = message.text("flag"), !["NONE", "CA", "AA", "OCSP"].contains(flag.uppercased()) {
            return "invalid certificate flag '\(flag)'"
        }
        guard case .value(let data) = message.element("data"), !data.isEmpty else { return "certificate data missing" }
        return unsupported("certificates")
    }

    // MARK: Sections

    /// A section of `swanctl.conf` that comes alone: judged by the same checker, and taken over.
    private static func loadPart(_ section: String, _ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        switch loop.check(ViciSettings.tree(section, message, from: "load-\(section)")) {
        case .failure(let refused): return ViciCommands.outcome(refused.reason)
        case .success(let part):
            loop.change { $0.absorb(part) }
            return ViciCommands.outcome(nil)
        }
    }
}
