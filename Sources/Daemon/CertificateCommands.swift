import Certificates
import Control
import Credentials
import Cryptography
import IPsec

/// vici's commands about certificates and revocation lists.
enum CertificateCommands {
    private static let types = ["X509", "X509_AC", "X509_CRL", "OCSP_RESPONSE", "PUBKEY", "ANY"]
    private static let flags = ["NONE", "CA", "AA", "OCSP", "ANY"]

    // MARK: load-cert

    /// Takes a certificate, list or public key in; what is wrong with it comes back.
    static func load(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let type = message.text("type") else { return "certificate type missing" }
        let kind = type.uppercased()
        guard ["X509", "X509_AC", "X509_CRL", "PUBKEY"].contains(kind) else {
            return "invalid certificate type '\(type)'"
        }
        let flag = message.text("flag") ?? "NONE"
        guard flags.dropLast().contains(flag.uppercased()) else { return "invalid certificate flag '\(flag)'" }
        guard case .value(let data) = message.element("data"), !data.isEmpty else { return "certificate data missing" }
        switch (kind, flag.uppercased()) {
        case ("X509_AC", _): return "attribute certificates are not supported by this version"
        case ("X509", "AA"): return "authorities of attribute certificates are not supported by this version"
        case ("X509", "OCSP"):
            return "responders' certificates are not loaded: a responder brings its own, issued by the authority"
        case ("X509_CRL", _):
            return reading("X509_CRL") { () throws(CertificateDefect) in
                for list in try RevocationList.read(file: data).prefix(1) {
                    loop.load(list)
                    loop.note(.configuration, "loaded revocation list of \(list.issuer)")
                }
            }
        case ("PUBKEY", _):
            guard let key = try? PublicKey(parsing: data) else { return "parsing PUBKEY certificate failed" }
            loop.load(key)
            return nil
        case (_, let flag):
            var problem: String?
            let unreadable = reading("X509") { () throws(CertificateDefect) in
                guard let certificate = try Certificate.read(file: data).first else { return }
                if flag == "CA", !certificate.isAuthority {
                    problem = "ca certificate lacks CA basic constraint, rejected"
                    return
                }
                loop.load(certificate, asAuthority: flag == "CA")
                loop.note(.configuration, "loaded certificate \(certificate.subject)")
            }
            return unreadable ?? problem
        }
    }

    private static func reading(_ type: String, _ body: () throws(CertificateDefect) -> Void) -> String? {
        do throws(CertificateDefect) {
            try body()
            return nil
        } catch {
            return "parsing \(type) certificate failed: \(error)"
        }
    }

    // MARK: list-certs

    /// One that is listed.
    private struct Listed {
        var type: String
        var flag: String?
        var hasPrivateKey = false
        var octets: [UInt8]
        var names: (Identity) -> Bool = { _ in false }
    }

    static func list(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping ViciCommands.Reply
    ) {
        let type = message.text("type")?.uppercased() ?? "ANY"
        let flag = message.text("flag")?.uppercased() ?? "ANY"
        let subject = message.text("subject").map { Identity($0) }
        var listed = all(loop).filter { one in
            (type == "ANY" || type == one.type) && (flag == "ANY" || one.flag == nil || flag == one.flag)
                && (subject.map { $0.map(one.names) ?? false } ?? true)
        }[...]
        if !types.contains(type) || !flags.contains(flag) { listed = [] }
        client.stream("list-cert") {
            guard let one = listed.popFirst() else { return nil }
            var event = ViciMessage()
            event.add("type", one.type)
            event.add("flag", optional: one.flag)
            if one.hasPrivateKey { event.add("has_privkey", flag: true) }
            event.entries.append(.init("data", .value(one.octets)))
            return event
        } end: {
            reply(ViciMessage())
        }
    }

    private static func all(_ loop: ControlLoop) -> [Listed] {
        let store = loop.certificates
        let own = Set(loop.keyFiles.privateKeys.map(\.publicKey.subjectPublicKeyInfo))
        let rounds = loop.manager.policies.connections.flatMap { $0.local + $0.remote }
        let inline = rounds.flatMap { $0.certificates.certificates + $0.certificates.authorities }
            .compactMap { try? Certificate(parsing: $0) }
        var seen: Set<Certificate> = []
        let certificates = ((store.entities + store.authorities).map(\.certificate) + inline)
            .filter { seen.insert($0).inserted }
        var keys: Set<PublicKey> = []
        let publicKeys = (loop.keyFiles.publicKeys + rounds.filter { !$0.publicKeyFiles.isEmpty }.flatMap(\.publicKeys))
            .filter { keys.insert($0).inserted }
        return certificates.map { certificate in
            let isResponder = certificate.extensions.purposes?.contains(.ocspSigning) == true
            return Listed(
                type: "X509", flag: certificate.isAuthority ? "CA" : isResponder ? "OCSP" : "NONE",
                hasPrivateKey: own.contains(certificate.subjectPublicKeyInfo), octets: certificate.octets,
                names: { certificate.names($0) })
        }
            + store.lists.map { list in
                Listed(type: "X509_CRL", octets: list.octets, names: { $0 == Identity(list.issuer) })
            }
            + publicKeys.map {
                Listed(
                    type: "PUBKEY", hasPrivateKey: own.contains($0.subjectPublicKeyInfo),
                    octets: $0.subjectPublicKeyInfo)
            }
    }

    // MARK: flush-certs

    /// Forgets what was fetched.
    static func flush(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        let type = message.text("type") ?? "ANY"
        guard types.contains(type.uppercased()) else { return "invalid certificate type '\(type)'" }
        if ["ANY", "X509_CRL", "OCSP_RESPONSE"].contains(type.uppercased()) { loop.revocation.flush() }
        return nil
    }
}
