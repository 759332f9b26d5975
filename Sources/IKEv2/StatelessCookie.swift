package import Cryptography
package import IPsec
import ISAKMP
import Primitives

/// Cookies against floods of IKE_SA_INIT requests (RFC 7296 §2.6). Nothing is kept for a request whose sender has not
/// shown that it receives at its address:
///
///     Cookie = HMAC-SHA-256(secret, Ni | IPi | SPIi), truncated to 16 octets
package enum StatelessCookie {
    private static let cookieOctets = 16

    /// The response with N(COOKIE) that asks the sender of an IKE_SA_INIT request to begin again, or `nil` where
    /// `datagram` is no such request. No larger than the request.
    package static func challenge(_ datagram: Datagram, secret: Secret) -> Datagram? {
        guard let (message, cookie) = expected(datagram, secret) else { return nil }
        let header = Header(
            initiator: message.header.initiator, responder: .zero, majorVersion: 2, exchange: .ikeSAInit,
            flags: [.response])
        let answer = Message(header: header, payloads: [NotifyPayload(.cookie, data: cookie).payload]).octets
        guard answer.count <= datagram.octets.count else { return nil }
        return Datagram(local: datagram.local, remote: datagram.remote, octets: answer)
    }

    /// Whether an IKE_SA_INIT request carries the cookie that ``challenge(_:secret:)`` gave it. In constant time with
    /// respect to the cookie.
    package static func verify(_ datagram: Datagram, secret: Secret) -> Bool {
        guard let (message, cookie) = expected(datagram, secret) else { return false }
        let offered = message.all(.notify).prefix(8).compactMap { payload -> [UInt8]? in
            guard let notification = try? NotifyPayload(parsing: payload), notification.type == .cookie else {
                return nil
            }
            return notification.data
        }
        guard let first = offered.first else { return false }
        return ConstantTime.equal(first, cookie)
    }

    /// The request and the cookie that belongs to it.
    private static func expected(_ datagram: Datagram, _ secret: Secret) -> (Message, [UInt8])? {
        var reader = ByteReader(datagram.octets)
        guard let header = try? Header(from: &reader), header.majorVersion == 2, header.exchange == .ikeSAInit,
            header.flags.contains(.initiator), !header.flags.contains(.response), header.messageID == 0,
            header.responder.isZero, !header.initiator.isZero, Int(header.length) == datagram.octets.count,
            let (payloads, _) = try? PayloadChain.read(first: header.nextPayload, from: &reader),
            let nonce = payloads.first(where: { $0.type == .nonceV2 })?.body, (16...256).contains(nonce.count)
        else { return nil }
        let bound = nonce + datagram.remote.address.octets + header.initiator.value.octets
        guard let mac = try? PseudorandomFunction.compute(.hmacSHA256, key: secret, [.open(bound)]) else { return nil }
        return (Message(header: header, payloads: payloads), Array(mac.prefix(cookieOctets)))
    }
}
