import Cryptography
import IPsec
import ISAKMP
import Primitives

/// CERT (RFC 7296 §3.6).
enum CertificatePayload {
    /// X.509 Certificate - Signature.
    static let x509Signature: UInt8 = 4
    /// Certificates in a message; more are refused, as nobody's path is that long.
    static let maximumCount = 16

    static func payload(_ certificate: [UInt8]) -> Payload {
        Payload(.certificateV2, body: [x509Signature] + certificate)
    }

    /// The certificate in DER; `nil` for an encoding that is not used here, such as a URL.
    static func parse(_ payload: Payload) throws(ParseError) -> [UInt8]? {
        var reader = ByteReader(payload.body)
        let encoding = try reader.readUInt8()
        return encoding == x509Signature ? Array(reader.readRest()) : nil
    }
}

/// CERTREQ (RFC 7296 §3.7): the authorities that the sender trusts.
enum CertificateRequestPayload {
    static let hashOctets = 20
    /// Authorities in all requests of a message; what is beyond is not looked at.
    static let maximumCount = 256
    /// Authorities that IKE_SA_INIT's response names: anybody can ask for one in another's name, so it stays small.
    static let initialMaximumCount = 16

    static func payload(_ hashes: [[UInt8]]) -> Payload {
        Payload(
            .certificateRequestV2, body: [CertificatePayload.x509Signature] + hashes.prefix(maximumCount).flatMap { $0 }
        )
    }

    static func parse(_ payload: Payload) throws(ParseError) -> [[UInt8]] {
        var reader = ByteReader(payload.body)
        guard try reader.readUInt8() == CertificatePayload.x509Signature else { return [] }
        guard reader.remaining.isMultiple(of: hashOctets) else {
            throw .invalid(offset: payload.bodyOffset + 1, rule: "a CERTREQ lists hashes of 20 octets")
        }
        var hashes: [[UInt8]] = []
        while !reader.isAtEnd, hashes.count < maximumCount { hashes.append(Array(try reader.read(hashOctets))) }
        return hashes
    }
}

/// What an end said of signatures in its IKE_SA_INIT.
struct SignatureSupport: Sendable {
    /// `nil`: it knows no digital signatures.
    var hashes: [SignatureHash]?
    var authorityHashes: [[UInt8]] = []

    init(_ content: MessageContent) {
        hashes = content.notification(.signatureHashAlgorithms).map { SignatureSupport.hashes($0.data) }
        authorityHashes = content.certificateRequests
    }

    /// RFC 7427 §4: a list of numbers of two octets each.
    private static func hashes(_ data: [UInt8]) -> [SignatureHash] {
        stride(from: 0, to: data.count - 1, by: 2).prefix(64).map { index in
            SignatureHash(rawValue: UInt16(data[index]) << 8 | UInt16(data[index + 1]))
        }
    }

    /// SIGNATURE_HASH_ALGORITHMS with what we take.
    static var notification: NotifyPayload {
        var data: [UInt8] = []
        for hash in SignatureHash.supported { data.append(bigEndian: hash.rawValue) }
        return NotifyPayload(.signatureHashAlgorithms, data: data)
    }
}

extension Connection {
    /// Whether an end proves itself with a signature.
    var usesSignatures: Bool { (local + remote).contains { $0.method.usesPublicKeys } }

    /// The authorities that the peer's certificate may come from.
    var requestedAuthorities: [[UInt8]] {
        remote.filter { $0.method.usesPublicKeys }.flatMap(\.certificates.authorityHashes)
    }
}

extension IKESession {
    /// The question that makes our own AUTH.
    func ownProof(
        _ connection: Connection, _ prf: PRFID, identity: Identity, remote: Identity, _ octets: [UInt8],
        _ support: SignatureSupport
    ) -> Question {
        guard let round = connection.local.first, round.method.usesPublicKeys else {
            return .prove(prf, local: identity, remote: remote, octets: octets)
        }
        return .signMessage(
            MessageSigning(
                round: round, identity: identity, octets: octets, hashes: support.hashes,
                authorityHashes: support.authorityHashes))
    }

    /// The question whether the peer's AUTH holds.
    ///
    /// - Parameter other: the proof that counts, where it is not AUTH's but the one beside it (RFC 8784 §3).
    /// - Throws: `authentication` where the peer proves itself in another way than the connection wants.
    func peerProof(
        _ connection: Connection, _ prf: PRFID, identity: Identity, local: Identity, _ octets: [UInt8],
        _ content: MessageContent, _ other: [UInt8]? = nil
    ) throws(Fault) -> Question {
        // Whoever is to come as a user over EAP proves nothing by another key.
        guard let authentication = content.authentication, connection.remoteUserMethod == nil else {
            throw .authentication(identity)
        }
        let proof = other ?? authentication.proof
        guard let round = connection.remote.first, round.method.usesPublicKeys else {
            guard authentication.method == AuthenticationPayload.sharedKey else { throw .authentication(identity) }
            return .verify(prf, local: local, remote: identity, octets: octets, proof: proof)
        }
        guard authentication.method != AuthenticationPayload.sharedKey else { throw .authentication(identity) }
        return .verifyMessage(
            MessageVerification(
                round: round, identity: identity, octets: octets,
                proof: MessageProof(
                    method: SignatureMethod(rawValue: authentication.method), data: proof,
                    certificates: content.certificates)))
    }
}

/// Our own AUTH with the CERT payloads that belong before it.
struct OwnProof: Sendable {
    var authentication: AuthenticationPayload
    var certificates: [Payload] = []
}

extension Answer {
    var ownProof: OwnProof? {
        switch self {
        case .proof(let proof): OwnProof(authentication: AuthenticationPayload(proof: proof))
        case .signedMessage(let proof):
            OwnProof(
                authentication: AuthenticationPayload(method: proof.method.rawValue, proof: proof.data),
                certificates: proof.certificates.map { CertificatePayload.payload($0) })
        default: nil
        }
    }
}
