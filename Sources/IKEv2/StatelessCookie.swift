package import Cryptography
package import IPsec
import ISAKMP
import Primitives

/// Cookies against floods of IKE_SA_INIT requests (RFC 7296 §2.6). Nothing is kept for a request whose sender has not
/// shown that it receives at its address:
///
///     Cookie = HMAC-SHA-256(secret, Ni | IPi | SPIi | puzzle), truncated to 16 octets, and the puzzle
///
/// where a puzzle was posed with it (RFC 8019 §7.1.1.3).
package enum StatelessCookie {
    private static let macOctets = 16

    /// What a request shows of its sender.
    package enum Shown: Hashable, Sendable {
        case nothing
        /// It receives at its address.
        case address
        /// And has worked for it.
        case work
    }

    /// The response with N(COOKIE) that asks the sender of an IKE_SA_INIT request to begin again, or `nil` where
    /// `datagram` is no such request. No larger than the request. With a difficulty it poses a puzzle as well, where the
    /// sender knows a PRF for it.
    package static func challenge(_ datagram: Datagram, secret: Secret, difficulty: UInt8? = nil) -> Datagram? {
        guard let request = Request(datagram) else { return nil }
        let puzzle = difficulty.flatMap { Puzzle(for: request.payloads, difficulty: $0) }
        guard let mac = request.mac(secret, puzzle?.data ?? []) else { return nil }
        var payloads = [NotifyPayload(.cookie, data: mac + (puzzle?.data ?? [])).payload]
        if let puzzle { payloads.append(NotifyPayload(.puzzle, data: puzzle.data).payload) }
        let header = Header(
            initiator: request.initiator, responder: .zero, majorVersion: 2, exchange: request.exchange,
            flags: [.response])
        let answer = Message(header: header, payloads: payloads).octets
        guard answer.count <= datagram.octets.count else { return nil }
        return Datagram(local: datagram.local, remote: datagram.remote, octets: answer)
    }

    /// Whether an IKE_SA_INIT request carries the cookie that ``challenge(_:secret:difficulty:)`` gave it, and the solution
    /// of the puzzle that came with it. In constant time with respect to the cookie.
    package static func verify(_ datagram: Datagram, secret: Secret) -> Shown {
        guard let request = Request(datagram) else { return .nothing }
        let offered = request.payloads.prefix(8).compactMap { payload -> [UInt8]? in
            guard payload.type == .notify, let notification = try? NotifyPayload(parsing: payload),
                notification.type == .cookie
            else { return nil }
            return notification.data
        }
        guard let cookie = offered.first, cookie.count >= macOctets,
            let mac = request.mac(secret, Array(cookie.dropFirst(macOctets))),
            ConstantTime.equal(Array(cookie.prefix(macOctets)), mac)
        else { return .nothing }
        guard let puzzle = Puzzle(Array(cookie.dropFirst(macOctets))),
            let solution = request.payloads.first(where: { $0.type == .puzzleSolution })?.body,
            puzzle.isSolved(by: solution, cookie: cookie)
        else { return .address }
        return .work
    }

    /// An IKE_SA_INIT or IKE_SESSION_RESUME request with a nonce.
    private struct Request {
        let initiator: Cookie
        let exchange: ExchangeType
        let payloads: [Payload]
        /// Ni | IPi | SPIi.
        private let bound: [UInt8]

        init?(_ datagram: Datagram) {
            var reader = ByteReader(datagram.octets)
            guard let header = try? Header(from: &reader), header.majorVersion == 2,
                header.exchange == .ikeSAInit || header.exchange == .ikeSessionResume,
                header.flags.contains(.initiator), !header.flags.contains(.response), header.messageID == 0,
                header.responder.isZero, !header.initiator.isZero, Int(header.length) == datagram.octets.count,
                let (payloads, _) = try? PayloadChain.read(first: header.nextPayload, from: &reader),
                let nonce = payloads.first(where: { $0.type == .nonceV2 })?.body, (16...256).contains(nonce.count)
            else { return nil }
            initiator = header.initiator
            exchange = header.exchange
            self.payloads = payloads
            bound = nonce + datagram.remote.address.octets + header.initiator.value.octets
        }

        func mac(_ secret: Secret, _ puzzle: [UInt8]) -> [UInt8]? {
            (try? PseudorandomFunction.compute(.hmacSHA256, key: secret, [.open(bound + puzzle)]))
                .map { Array($0.prefix(macOctets)) }
        }
    }
}
