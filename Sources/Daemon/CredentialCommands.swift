import Certificates
import Configuration
import Control
import Cryptography
import IPsec
import Primitives

/// vici's commands about secrets, keys and authorities, and all that is in force of them.
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
        case "load-key": reply(loadKey(message, loop))
        case "load-token":
            reply(
                ViciCommands.outcome(
                    message.text("handle") == nil
                        ? "keyid missing" : "there are no tokens here: keys come from files and over this socket"))
        case "unload-key": reply(ViciCommands.outcome(unloadKey(message, loop)))
        case "get-keys": reply(ViciCommands.names("keys", loop.keyFiles.privateKeys.map(\.publicKey.viciName)))
        case "load-cert": reply(ViciCommands.outcome(CertificateCommands.load(message, loop)))
        case "list-certs": CertificateCommands.list(message, client, loop, reply)
        case "flush-certs": reply(ViciCommands.outcome(CertificateCommands.flush(message, loop)))
        case "clear-creds":
            loop.change { ($0.secrets, $0.users) = ([], []) }
            loop.changeCredentials { $0 = KeyFiles.Found() }
            reply(ViciCommands.outcome(nil))
        case "load-authority": reply(ViciCommands.outcome(loadAuthority(message, loop)))
        case "unload-authority": reply(ViciCommands.outcome(unloadAuthority(message, loop)))
        case "get-authorities": reply(ViciCommands.names("authorities", loop.running.authorities.map(\.name)))
        case "list-authorities": listAuthorities(message, client, loop, reply)
        default: return false
        }
        return true
    }

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

    // MARK: Private keys

    private static func loadKey(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        guard let type = message.text("type") else { return ViciCommands.outcome("key type missing") }
        guard ["rsa", "ecdsa", "ed25519", "ed448", "any"].contains(type.lowercased()) else {
            return ViciCommands.outcome("invalid key type: \(type)")
        }
        guard case .value(let data) = message.element("data"), !data.isEmpty else {
            return ViciCommands.outcome("key data missing")
        }
        do throws(KeyDefect) {
            let key = try PrivateKey(parsing: Secret(data))
            guard key.kind.isCalled(type.lowercased()) else {
                return ViciCommands.outcome("parsing \(type) private key failed: it is \(key.kind)")
            }
            loop.load(key)
            loop.note(.configuration, "loaded \(key.kind) private key \(key.publicKey.viciName)")
            var answer = ViciCommands.outcome(nil)
            answer.add("id", key.publicKey.viciName)
            return answer
        } catch {
            return ViciCommands.outcome("parsing \(type) private key failed: \(KeyFiles.text(error, false))")
        }
    }

    private static func unloadKey(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let id = message.text("id") else { return "key id missing" }
        guard loop.keyFiles.privateKeys.contains(where: { $0.publicKey.viciName == id.lowercased() }) else {
            return "key not found"
        }
        loop.changeCredentials { $0.privateKeys.removeAll { $0.publicKey.viciName == id.lowercased() } }
        loop.note(.configuration, "unloaded private key \(id)")
        return nil
    }

    // MARK: Authorities

    /// A section of `authorities`, judged by the same checker as `swanctl.conf`'s.
    private static func loadAuthority(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        switch loop.check(ViciSettings.tree("authorities", message, from: "load-authority")) {
        case .failure(let refused): return refused.reason
        case .success(let part):
            for authority in part.authorities where authorityCertificate(authority, loop) == nil {
                return "no CA certificate that can be read: \(authority.name)"
            }
            loop.changeCredentials { _ in loop.running.absorb(part) }
            for authority in part.authorities { loop.note(.configuration, "added authority '\(authority.name)'") }
            for text in part.notes { loop.note(.configuration, text) }
            return nil
        }
    }

    private static func unloadAuthority(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let name = message.text("name") else { return "unload: missing authority name" }
        guard loop.running.authorities.contains(where: { $0.name == name }) else {
            return "unload: authority '\(name)' not found"
        }
        loop.changeCredentials { _ in loop.running.authorities.removeAll { $0.name == name } }
        loop.note(.configuration, "removed authority '\(name)'")
        return nil
    }

    private static func authorityCertificate(_ authority: CertificateAuthority, _ loop: ControlLoop) -> Certificate? {
        let store = loop.keyFiles.store(PolicyDatabase(), [authority])
        return store.named(authority.certificateFile, in: store.authorities).first
    }

    private static func listAuthorities(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        let name = message.text("name")
        var authorities = loop.running.authorities.filter { name == nil || name == $0.name }[...]
        client.stream("list-authority") {
            guard let authority = authorities.popFirst() else { return nil }
            var section = ViciMessage()
            section.add("cacert", optional: authorityCertificate(authority, loop).map { "\($0.subject)" })
            section.add("crl_uris", list: authority.revocationListURIs)
            section.add("ocsp_uris", list: authority.responderURIs)
            section.add("cert_uri_base", optional: authority.certificateURIBase)
            var message = ViciMessage()
            message.add(authority.name, section: section)
            return message
        } end: {
            reply(ViciMessage())
        }
    }
}

extension KeyKind {
    /// Whether it is of vici's type of that name.
    fileprivate func isCalled(_ type: String) -> Bool {
        switch self {
        case .rsa: type == "rsa" || type == "any"
        case .ecdsa: type == "ecdsa" || type == "any"
        case .ed25519: type == "ed25519" || type == "any"
        case .ed448: type == "ed448" || type == "any"
        case .dsa: type == "any"
        }
    }
}
