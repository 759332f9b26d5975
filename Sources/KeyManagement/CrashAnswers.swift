import IKEv2
import IPsec
import ISAKMP
import Primitives

/// How many messages of unknown SAs are answered: after a restart there are many, and nobody may make us work for ever.
struct CrashAnswers: Sendable {
    static let maximumPerSecond = 200

    private var second = Instant(nanoseconds: 0)
    private var count = 0

    mutating func admit(at now: Instant) -> Bool {
        if now - second >= .seconds(1) {
            second = now
            count = 0
        }
        guard count < CrashAnswers.maximumPerSecond else { return false }
        count += 1
        return true
    }
}

extension KeyManager {
    /// A message of an IKE SA that is not here: with its token the peer learns that it never will be again (RFC 6290 §4.5).
    mutating func answerUnknown(_ datagram: Datagram, _ header: Header, _ effects: inout [Effect]) {
        // A message may have its direction turned round: an SPI of ours in either place is no unknown SA.
        guard header.majorVersion == 2, let secret = environment.standingSecret,
            bySPI[header.initiator.value] == nil, bySPI[header.responder.value] == nil,
            crashAnswers.admit(at: environment.now),
            let answer = CrashToken.answer(to: datagram, secret: secret)
        else { return }
        effects.append(.send(answer))
    }
}
