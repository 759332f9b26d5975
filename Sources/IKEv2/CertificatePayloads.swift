import Cryptography
import IPsec
import ISAKMP
import Primitives

/// CERT (RFC 7296 §3.6).
enum CertificatePayload {
    /// X.509 Certificate - Signature.
    static let x509Signature: UInt8 = 4
    /// Hash and URL of X.509 certificate, and of X.509 bundle.
    static let location: UInt8 = 12
    static let bundleLocation: UInt8 = 13
    private static let hashOctets = 20
    /// A longer URI is none that anybody meant.
    private static let maximumURIOctets = 1024
    /// Places that a message may name; what is beyond is not looked at.
    static let maximumLocations = 4
    /// OCSP Content (RFC 4806 §3).
    static let ocspContent: UInt8 = 14
    /// Raw Public Key: a SubjectPublicKeyInfo (RFC 7670 §3).
    static let rawPublicKey: UInt8 = 15
    /// Certificates in a message; more are refused, as nobody's path is that long.
    static let maximumCount = 16

    /// What a payload holds, in DER.
    enum Content: Sendable {
        case certificate([UInt8])
        case status([UInt8])
        case location(CertificateLocation)
        case publicKey([UInt8])
    }

    static func payload(_ certificate: [UInt8]) -> Payload {
        Payload(.certificateV2, body: [x509Signature] + certificate)
    }

    static func statusPayload(_ response: [UInt8]) -> Payload {
        Payload(.certificateV2, body: [ocspContent] + response)
    }

    static func publicKeyPayload(_ subjectPublicKeyInfo: [UInt8]) -> Payload {
        Payload(.certificateV2, body: [rawPublicKey] + subjectPublicKeyInfo)
    }

    static func payload(_ location: CertificateLocation) -> Payload {
        Payload(
            .certificateV2,
            body: [location.isBundle ? bundleLocation : self.location] + location.hash + Array(location.uri.utf8))
    }

    private static func readLocation(_ reader: inout ByteReader, isBundle: Bool) throws(ParseError) -> Content? {
        let hash = Array(try reader.read(hashOctets))
        let uri = Array(reader.readRest())
        // Printable ASCII alone (RFC 3986 §2): a log and a line of HTTP can have it.
        guard (1...maximumURIOctets).contains(uri.count), uri.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            return nil
        }
        return .location(
            CertificateLocation(hash: hash, uri: String(decoding: uri, as: UTF8.self), isBundle: isBundle))
    }

    /// `nil` for an encoding that is not used here.
    static func parse(_ payload: Payload) throws(ParseError) -> Content? {
        var reader = ByteReader(payload.body)
        switch try reader.readUInt8() {
        case x509Signature: return .certificate(Array(reader.readRest()))
        case ocspContent: return .status(Array(reader.readRest()))
        case rawPublicKey: return .publicKey(Array(reader.readRest()))
        case location: return try readLocation(&reader, isBundle: false)
        case bundleLocation: return try readLocation(&reader, isBundle: true)
        default: return nil
        }
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

    /// The same for OCSP: each authority may answer for its own certificates (RFC 4806 §4.1).
    static func statusPayload(_ hashes: [[UInt8]]) -> Payload {
        Payload(
            .certificateRequestV2, body: [CertificatePayload.ocspContent] + hashes.prefix(maximumCount).flatMap { $0 })
    }

    /// Raw public keys have no authorities (RFC 7670 §3).
    static var publicKeyPayload: Payload {
        Payload(.certificateRequestV2, body: [CertificatePayload.rawPublicKey])
    }

    static func asksForPublicKey(_ payload: Payload) -> Bool { payload.body.first == CertificatePayload.rawPublicKey }

    /// Whether it asks for OCSP answers, whoever they are of.
    static func asksForStatuses(_ payload: Payload) -> Bool { payload.body.first == CertificatePayload.ocspContent }

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
    /// It wants OCSP answers beside certificates.
    var wantsStatuses = false
    /// It takes a raw public key.
    var wantsPublicKey = false
    /// It fetches certificates where it hears where they are.
    var takesLocations = false
    /// How it lets us prove ourselves; `nil`: it said nothing.
    var announced: [AnnouncedMethod]?

    init(_ content: MessageContent) {
        announced = content.announced
        wantsStatuses = content.wantsStatuses
        wantsPublicKey = content.wantsPublicKey
        takesLocations = content.takesLocations
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

    /// Whether to tell the peer the hashes that we know (RFC 7427 §4).
    var offersHashes: Bool { usesSignatures && signsDigitally }

    /// The authorities that the peer's certificate may come from.
    var requestedAuthorities: [[UInt8]] {
        guard requestsCertificates else { return [] }
        return remote.filter { $0.method.usesPublicKeys }.flatMap(\.certificates.authorityHashes)
    }

    /// Whether we know the peer by its key alone.
    var asksForPublicKey: Bool {
        requestsCertificates && remote.contains { $0.method.usesPublicKeys && !$0.publicKeyFiles.isEmpty }
    }

    /// HTTP_CERT_LOOKUP_SUPPORTED, where we fetch certificates.
    var lookupPayloads: [Payload] {
        usesCertificateLocations && requestsCertificates && remote.contains { $0.method.usesPublicKeys }
            ? [NotifyPayload(.certificateLookupSupported).payload] : []
    }

    /// Whether the peer shall bring OCSP answers along.
    var asksForStatuses: Bool { statusUse.requests && remote.contains { $0.method.usesPublicKeys } }
}

extension IKESession {
    /// Our own AUTH out of an answer, without certificates where the connection shows none.
    func ownProof(in answer: Answer) -> OwnProof? {
        var proof = answer.ownProof
        if connection?.showsCertificates == false { proof?.certificates = [] }
        return proof
    }

    /// The question that makes our own AUTH.
    func ownProof(
        _ round: AuthenticationRound, _ prf: PRFID, identity: Identity, remote: Identity, _ octets: [UInt8],
        _ support: SignatureSupport
    ) -> Question {
        guard let connection, round.method.usesPublicKeys else {
            return .prove(prf, local: identity, remote: remote, octets: octets)
        }
        var signing = MessageSigning(
            round: round, identity: identity, octets: octets, hashes: connection.signsDigitally ? support.hashes : nil,
            authorityHashes: support.authorityHashes,
            wantsStatuses: support.wantsStatuses && connection.statusUse.replies,
            saysLocations: support.takesLocations && connection.usesCertificateLocations)
        signing.announced = support.announced
        signing.saysPublicKey = support.wantsPublicKey
        return .signMessage(signing)
    }

    /// Why the peer's AUTH will not do whatever it holds: it is of another method than the round has. `nil`: it is of the right one, or
    /// there is none.
    func methodFault(
        _ round: AuthenticationRound, _ identity: Identity, _ authentication: AuthenticationPayload?
    ) -> Fault? {
        guard let authentication else { return nil }
        let isSignature = authentication.method != AuthenticationPayload.sharedKey && !authentication.isNull
        let isWanted =
            switch round.method {
            case .preSharedKey, .extendedAuthentication: authentication.method == AuthenticationPayload.sharedKey
            case .null: authentication.isNull
            // A responder may show that it is one besides, by a signature (RFC 5998 §3).
            case .extensible: isInitiator && isSignature
            case .publicKey, .publicKeyEncryption, .revisedPublicKeyEncryption: isSignature
            }
        if isWanted { return nil }
        let other: AuthenticationMethod = authentication.isNull ? .null : .preSharedKey
        let seen = isSignature ? .publicKey(KeyConstraint()) : other
        return .method(identity, wanted: round.method.keyword, seen: seen.keyword)
    }

    /// The question whether the peer's AUTH holds, which is of the round's method.
    ///
    /// - Parameter other: the proof that counts, where it is not AUTH's but the one beside it (RFC 8784 §3).
    /// - Throws: `method` where the peer proves itself in another way than the connection wants, `authentication` where it does not.
    func peerProof(
        _ round: AuthenticationRound, _ prf: PRFID, identity: Identity, local: Identity, _ octets: [UInt8],
        _ content: MessageContent, _ other: [UInt8]? = nil
    ) throws(Fault) -> Question {
        if let fault = methodFault(round, identity, content.authentication) { throw fault }
        var round = round
        // Whoever is to come as a user over EAP proves nothing by another key; a responder that does not do without its own proof
        // shows that it is one besides (RFC 5998 §3).
        if round.method.userMethod != nil, isInitiator { round.method = .publicKey(KeyConstraint()) }
        guard let connection, let authentication = content.authentication, round.method.userMethod == nil else {
            throw .authentication(identity)
        }
        let proof = other ?? authentication.proof
        guard round.method.usesPublicKeys else {
            return .verify(prf, local: local, remote: identity, octets: octets, proof: proof)
        }
        var message = MessageProof(
            method: SignatureMethod(rawValue: authentication.method), data: proof, certificates: content.certificates,
            statuses: content.statuses)
        message.publicKeys = content.publicKeys
        // Nobody is let choose where we go who was not told that he may.
        if connection.usesCertificateLocations { message.locations = content.locations }
        return .verifyMessage(
            MessageVerification(round: round, identity: identity, octets: octets, proof: message))
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
                certificates: proof.locations.map { CertificatePayload.payload($0) }
                    + proof.certificates.map { CertificatePayload.payload($0) }
                    + proof.publicKeys.map { CertificatePayload.publicKeyPayload($0) }
                    + proof.statuses.map { CertificatePayload.statusPayload($0) })
        default: nil
        }
    }
}
