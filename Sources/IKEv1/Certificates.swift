import Cryptography
import IPsec
import ISAKMP
import Primitives

// Certificates in phase 1 (RFC 2408 §3.9, §3.10, RFC 4945 §3): who signs shows the certificates that speak for its key, and
// says which authorities it trusts for the peer's.
extension IKEv1Session {
    /// X.509 Certificate - Signature (RFC 2408 §3.9).
    static let x509Signature: UInt8 = 4
    /// Certificates in a message; a message with more proves nothing, as nobody's path is that long.
    static let maximumCertificates = 16
    /// Requests that we send, and of the peer's those that are looked at.
    static let maximumRequests = 32

    /// CERTREQ payloads for the authorities that the peer's certificate may come from: none where the peer does not sign,
    /// or is to sign with a key that is known.
    func certificateRequests(_ negotiation: Negotiation) -> [Payload] {
        guard negotiation.method.signature(of: role.other) != nil else { return [] }
        var names: [[UInt8]] = []
        for connection in isInitiator ? connection.map({ [$0] }) ?? [] : negotiation.candidates {
            guard connection.requestsCertificates, let round = connection.remote.first, round.admittedKeys.isEmpty
            else { continue }
            for name in round.certificates.authorityNames where !names.contains(name) { names.append(name) }
        }
        return names.prefix(IKEv1Session.maximumRequests).map { name in
            Payload(
                .certificateRequest,
                body: EncodedCertificate(encoding: IKEv1Session.x509Signature, data: name).body)
        }
    }

    /// The names of the authorities that the peer asks for. Requests for other kinds of certificates, and for any
    /// authority, name none.
    func takeCertificateRequests(_ payloads: [Payload], _ negotiation: inout Negotiation) {
        let requests = payloads.filter { $0.type == .certificateRequest }.prefix(IKEv1Session.maximumRequests)
        negotiation.wantedAuthorities = requests.compactMap { payload in
            guard let request = try? EncodedCertificate(parsing: payload.body),
                request.encoding == IKEv1Session.x509Signature, !request.data.isEmpty
            else { return nil }
            return request.data
        }
    }

    /// The certificates in DER of a message that proves who its sender is; those in other encodings, such as lists of what
    /// was revoked, are left out.
    static func certificates(_ payloads: [Payload]) throws(Fault) -> [[UInt8]] {
        let sent = payloads.filter { $0.type == .certificate }
        guard sent.count <= maximumCertificates else { throw .dropped("more certificates than a path has") }
        var certificates: [[UInt8]] = []
        for payload in sent {
            let certificate = try Attempt.parsing { () throws(ParseError) in
                try EncodedCertificate(parsing: payload.body)
            }
            if certificate.encoding == x509Signature { certificates.append(certificate.data) }
        }
        return certificates
    }

    static func certificatePayloads(_ certificates: [[UInt8]]) -> [Payload] {
        certificates.map { Payload(.certificate, body: EncodedCertificate(encoding: x509Signature, data: $0).body) }
    }

    /// The question that makes our signature: by a key that a certificate speaks for, or that the peer knows.
    func signing(_ digest: [UInt8], _ scheme: SignatureScheme, _ connection: Connection, _ negotiation: Negotiation)
        -> Question
    {
        guard let round = connection.local.first, !round.certificates.certificates.isEmpty else {
            return .sign(scheme, keys: connection.local.first?.admittedKeys ?? [], digest: digest)
        }
        return .signDigest(
            DigestSigning(
                scheme: scheme, round: round, digest: digest, authorityNames: negotiation.wantedAuthorities))
    }

    /// The question whether the peer's signature holds: by a key that the connection names, else by a certificate.
    func verification(
        _ digest: [UInt8], _ scheme: SignatureScheme, of peer: Identity, _ connection: Connection,
        _ payloads: [Payload]
    ) throws(Fault) -> Question {
        let signature = payloads.first { $0.type == .signature }?.body ?? []
        let keys = connection.remote.first?.admittedKeys ?? []
        guard let round = connection.remote.first, keys.isEmpty else {
            return .verifySignature(scheme, remote: peer, keys: keys, digest: digest, signature: signature)
        }
        return .verifyDigest(
            DigestVerification(
                scheme: scheme, round: round, identity: peer, digest: digest,
                proof: DigestProof(
                    signature: signature, certificates: try IKEv1Session.certificates(payloads))))
    }

    /// The peer has signed what only who has the keys of phase 1 can sign, and its certificate is none to rely on. Nobody
    /// else spoke for it, but in Aggressive Mode's message 2: whoever saw message 1 can make one with its own keys.
    mutating func distrust(
        _ received: Negotiation.Received, _ report: ChainReport, _ negotiation: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var received = received
        received.judgement = .certificate(report)
        if negotiation.isAggressive, isInitiator {
            try suspect(received, negotiation, &context)
            return
        }
        trace(received.datagram, received.payloads, isProtected: received.chain != nil, &context)
        if let keys = negotiation.keys, let chain = received.chain {
            sendProtectedNotification(
                NotificationType.authenticationFailed, keys: keys, lastBlock: chain.iv, &context)
        } else {
            sendClear(NotificationType.authenticationFailed, &context)
        }
        failPhaseOne(.certificate(report), &context)
    }
}
