import IPsec
import ISAKMP
import Primitives

/// SUPPORTED_AUTH_METHODS (RFC 9593 §3.2): how the sender lets the receiver prove itself. The data is a list of
///
///     length, method                                   (2 octets)
///     length, method, CA                               (3 octets)
///     length, method, CA, AlgorithmIdentifier in DER   (more)
///
/// where CA counts from 1 through the sender's CERTREQ payloads, and 0 is none of them.
enum AuthenticationAnnouncement {
    /// Of one list; what is beyond is not looked at.
    static let maximumCount = 64
    /// AlgorithmIdentifiers in DER of the digital signatures that we announce. PSS comes with one set of parameters, since each takes
    /// some seventy octets.
    private static let algorithms: [[UInt8]] = [
        // RSASSA-PSS with SHA-256, its mask by SHA-256, and 32 octets of salt (RFC 7427 Appendix A.4.3).
        [
            0x30, 0x41, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A, 0x30, 0x34, 0xA0, 0x0F, 0x30,
            0x0D, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xA1, 0x1C, 0x30, 0x1A,
            0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x08, 0x30, 0x0D, 0x06, 0x09, 0x60, 0x86, 0x48,
            0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0xA2, 0x03, 0x02, 0x01, 0x20,
        ],
        // sha256WithRSAEncryption, sha384WithRSAEncryption, sha512WithRSAEncryption (Appendix A.1).
        [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0B, 0x05, 0x00],
        [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0C, 0x05, 0x00],
        [0x30, 0x0D, 0x06, 0x09, 0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0D, 0x05, 0x00],
        // ecdsa-with-SHA256, ecdsa-with-SHA384, ecdsa-with-SHA512 (Appendix A.3).
        [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x02],
        [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03],
        [0x30, 0x0A, 0x06, 0x08, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x04],
        // id-Ed25519, id-Ed448 (RFC 8420 Appendix A).
        [0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x70],
        [0x30, 0x05, 0x06, 0x03, 0x2B, 0x65, 0x71],
    ]

    /// What a peer of these rounds may prove itself with.
    static func data(_ rounds: [AuthenticationRound]) -> [UInt8] {
        var data: [UInt8] = []
        if rounds.contains(where: { $0.method == .preSharedKey }) { data += [2, AuthenticationPayload.sharedKey] }
        if rounds.contains(where: { $0.method == .null }) { data += [2, SignatureMethod.null.rawValue] }
        guard rounds.contains(where: { $0.method.usesPublicKeys }) else { return data }
        for identifier in algorithms {
            data += [UInt8(3 + identifier.count), SignatureMethod.digitalSignature.rawValue, 0] + identifier
        }
        for method in [SignatureMethod.rsa, .ecdsa256, .ecdsa384, .ecdsa521] { data += [3, method.rawValue, 0] }
        return data
    }

    /// What a peer announces; `nil` where the list breaks its own lengths, which then says nothing.
    static func parse(_ data: [UInt8]) -> [AnnouncedMethod]? {
        var reader = ByteReader(data[...])
        var methods: [AnnouncedMethod] = []
        do throws(ParseError) {
            while !reader.isAtEnd {
                let length = Int(try reader.readUInt8())
                guard length >= 2 else { return nil }
                let method = SignatureMethod(rawValue: try reader.readUInt8())
                let rest = Array(try reader.read(length - 2))
                guard methods.count < maximumCount else { continue }
                methods.append(AnnouncedMethod(method: method, algorithmIdentifier: Array(rest.dropFirst())))
            }
        } catch {
            return nil
        }
        return methods
    }
}

extension Connection {
    /// SUPPORTED_AUTH_METHODS, where the connection wants it said.
    var announcementPayloads: [Payload] {
        guard announcesMethods else { return [] }
        let data = AuthenticationAnnouncement.data(remote)
        return data.isEmpty ? [] : [NotifyPayload(.supportedAuthenticationMethods, data: data).payload]
    }
}
