package import Cryptography
package import IPsec
import ISAKMP
import Primitives

/// The token by which a peer that lost its SAs proves it (RFC 6290 §5.1). It is made anew from what an IKE message shows and
/// a secret that outlives a restart:
///
///     QCD_TOKEN = HMAC-SHA-256(secret, "QCD" | SPIi | SPIr), truncated to 16 octets
package enum CrashToken {
    static let octetCount = 16
    /// What a peer's token may have (RFC 6290 §4.1), and how many of one message are looked at (§4.5).
    static let acceptedOctets = 16...128
    static let maximumCount = 4

    static func token(_ secret: Secret, initiatorSPI: UInt64, responderSPI: UInt64) -> [UInt8]? {
        let bound = Array("QCD".utf8) + initiatorSPI.octets + responderSPI.octets
        return (try? PseudorandomFunction.compute(.hmacSHA256, key: secret, [.open(bound)]))
            .map { Array($0.prefix(octetCount)) }
    }

    /// The unprotected answer to a protected request on an IKE SA that is not here (RFC 6290 §4.5, RFC 7296 §2.21.4); `nil`
    /// for anything else. Never longer than the request.
    ///
    /// The caller must make sure that neither of the message's SPIs is in use here: a token that is seen ends its SA.
    package static func answer(to datagram: Datagram, secret: Secret) -> Datagram? {
        var reader = ByteReader(datagram.octets)
        guard let header = try? Header(from: &reader), header.majorVersion == 2, !header.flags.contains(.response),
            Int(header.length) == datagram.octets.count, !header.initiator.isZero, !header.responder.isZero,
            header.nextPayload == .encrypted || header.nextPayload == .encryptedFragment,
            let token = token(secret, initiatorSPI: header.initiator.value, responderSPI: header.responder.value)
        else { return nil }
        let answer = Header(
            initiator: header.initiator, responder: header.responder, majorVersion: 2, exchange: header.exchange,
            flags: header.flags.contains(.initiator) ? [.response] : [.response, .initiator],
            messageID: header.messageID)
        let own = NotifyPayload(.crashToken, protocol: .ike, data: token).payload
        for payloads in [[NotifyPayload(.invalidIKESPI).payload, own], [own]] {
            let octets = Message(header: answer, payloads: payloads).octets
            if octets.count <= datagram.octets.count {
                return Datagram(local: datagram.local, remote: datagram.remote, octets: octets)
            }
        }
        return nil
    }
}

/// Quick crash detection (RFC 6290): each end that can gives the other a token of each IKE SA. Who sees it later, outside
/// the SA, knows that the peer has lost it, and need not wait for a whole schedule of retransmissions.
extension IKESession {
    // MARK: Maker

    /// N(QCD_TOKEN) of an IKE SA, where we keep a secret for it.
    func crashTokenPayloads(initiatorSPI: UInt64, responderSPI: UInt64, _ context: Context) -> [Payload] {
        guard let secret = context.environment.standingSecret,
            let token = CrashToken.token(secret, initiatorSPI: initiatorSPI, responderSPI: responderSPI)
        else { return [] }
        return [NotifyPayload(.crashToken, protocol: .ike, data: token).payload]
    }

    func crashTokenPayloads(_ sa: IKESA?, _ context: Context) -> [Payload] {
        guard let sa else { return [] }
        return crashTokenPayloads(initiatorSPI: sa.initiatorSPI, responderSPI: sa.responderSPI, context)
    }

    /// Who rekeys learns the peer's new SPI from the response, and has to say its token afterwards (RFC 6290 §4.2).
    mutating func planCrashToken(_ sa: IKESA, _ context: Context) {
        if sa.isInitiator, context.environment.standingSecret != nil { plan(.announceToken) }
    }

    // MARK: Taker

    /// Keeps the token that an authenticated message gives for an SA.
    mutating func noteCrashToken(_ content: MessageContent, on spi: UInt64?) {
        guard let token = content.crashToken, let spi, let index = index(of: spi) else { return }
        associations[index].peerToken = token
    }

    /// Whether an unprotected response shows the SA's token, in constant time. It counts where a request of ours is under
    /// way, whose message ID it has.
    func showsToken(_ datagram: Datagram, _ header: Header, _ index: Int) -> Bool {
        let sa = associations[index]
        guard header.flags.contains(.response), header.nextPayload == .notify, !sa.peerToken.isEmpty,
            sa.pending.contains(where: { $0.messageID == header.messageID && $0.type == header.exchange })
        else { return false }
        var reader = ByteReader(datagram.octets[Header.octetCount...])
        guard let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads else {
            return false
        }
        let tokens = payloads.prefix(CrashToken.maximumCount + 1).compactMap { payload -> [UInt8]? in
            guard payload.type == .notify, let notification = try? NotifyPayload(parsing: payload),
                notification.type == .crashToken
            else { return nil }
            return notification.data
        }
        return tokens.prefix(CrashToken.maximumCount).contains { ConstantTime.equal($0, sa.peerToken) }
    }

    /// The peer does not have the SA any more: neither have we, and who wants it up begins anew.
    mutating func forgetLost(_ index: Int, _ context: inout Context) {
        let spi = associations[index].ownSPI
        guard index == 0 else { return forget(association: spi, &context) }
        context.note("the peer shows that it has lost the IKE SA")
        close(.peerUnresponsive, &context)
    }
}

extension MessageContent {
    /// The token that a message gives for an SA, where it is one (RFC 6290 §4.1).
    var crashToken: [UInt8]? {
        notification(.crashToken).map(\.data).flatMap { CrashToken.acceptedOctets.contains($0.count) ? $0 : nil }
    }
}
