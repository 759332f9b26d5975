import Cryptography
import IPsec
import Primitives

@testable import Certificates

/// What a responder of the tests says of the end entity's certificate (RFC 6960 §4.2).
struct OCSPAnswer {
    enum Word { case good, revoked, unknown }

    var word: Word
    let issuer: Certificate
    var serialNumber: [UInt8] = [3]
    var hash = HashID.sha1
    var thisUpdate = WallTime(year: 2026, month: 4, day: 30)!
    var nextUpdate: WallTime? = WallTime(year: 2026, month: 7, day: 1)
    var signer = TestKey.middle.signer()
    var responder = Hierarchy.middleName
    var certificates: [Certificate] = []

    init(_ hierarchy: Hierarchy, _ word: Word) throws {
        self.word = word
        issuer = try hierarchy.presentsMiddle ? hierarchy.middleCertificate : hierarchy.rootCertificate
    }

    /// Lets another key answer, with a certificate of the issuing authority.
    mutating func delegate(
        to key: TestKey, in hierarchy: Hierarchy, purposes: [CertificateExtensions.Purpose]
    ) throws {
        var template = hierarchy.leaf
        template.serialNumber = [77]
        template.subject = name("CN=Responder")
        template.subjectPublicKeyInfo = key.subjectPublicKeyInfo
        template.extensions = [.purposes(purposes)]
        certificates = [try template.signed(by: TestKey.middle.signer())]
        responder = template.subject
        signer = key.signer()
    }

    func response() throws -> OCSPResponse {
        let hashName = try Digest.compute(hash, [.open(issuer.subject.octets)])
        let hashKey = try Digest.compute(hash, [.open(issuer.keyBits)])
        let dotted = hash == .sha1 ? "1.3.14.3.2.26" : "2.16.840.1.101.3.4.2.1"
        let id = Encoding.sequence(
            Encoding.sequence(Encoding.identifier(dotted), Encoding.null), Encoding.octets(hashName),
            Encoding.octets(hashKey), Encoding.integer(serialNumber))
        let status: [UInt8] =
            switch word {
            case .good: Encoding.primitive(0, [])
            case .revoked:
                Encoding.tagged(
                    1,
                    Encoding.generalizedTime(WallTime(year: 2026, month: 5, day: 1)!)
                        + Encoding.tagged(0, [0x0A, 1, 1]))
            case .unknown: Encoding.primitive(2, [])
            }
        let single = Encoding.sequence(
            id, status, Encoding.generalizedTime(thisUpdate),
            nextUpdate.map { Encoding.tagged(0, Encoding.generalizedTime($0)) } ?? [])
        let body = Encoding.sequence(
            Encoding.tagged(1, responder.octets), Encoding.generalizedTime(thisUpdate), Encoding.sequence(single))
        var basic = try signer.envelope(body)
        if !certificates.isEmpty {
            // The certificates stand behind the signature: the envelope is opened once more.
            let inner = Array(basic.dropFirst(basic[1] < 0x80 ? 2 : 2 + Int(basic[1] & 0x7F)))
            basic = Encoding.sequence(inner, Encoding.tagged(0, Encoding.sequence(of: certificates.map(\.octets))))
        }
        return try OCSPResponse(
            parsing: Encoding.sequence(
                [0x0A, 1, 0],
                Encoding.tagged(
                    0, Encoding.sequence(Encoding.identifier("1.3.6.1.5.5.7.48.1.1"), Encoding.octets(basic)))))
    }
}
