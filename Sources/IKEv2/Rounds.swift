import IPsec
import ISAKMP
import Primitives

/// How far the ends have come in proving themselves: each in one round or several (RFC 4739), the responder perhaps by its peer's
/// EAP alone (RFC 5998).
///
///     HDR, SK {IDi, AUTH, SAi2, TSi, TSr, N(MULTIPLE_AUTH_SUPPORTED), N(ANOTHER_AUTH_FOLLOWS)}  -->
///                         <--  HDR, SK {IDr, AUTH}
///     HDR, SK {IDi}  -->
///                         <--  HDR, SK {EAP}
///     ...
///     HDR, SK {AUTH}  -->
///                         <--  HDR, SK {AUTH, SAr2, TSi, TSr}
struct Rounds: Sendable {
    /// Rounds that are over.
    var own = 0
    var peer = 0
    /// What the peer says that it knows.
    var peerTakesFurther = false
    var peerTakesUserAlone = false
    /// Of IKE_AUTH's first request, which all proofs cover (RFC 9242 §3.3.2).
    var firstMessageID: UInt32?
    /// At the responder that request: what is wanted of the SA is said there.
    var request: Boxed<PendingAuthentication>?
    /// What the peer last called itself, and who it last proved to be.
    var peerIdentity: Identity?
    var authenticated: PeerAuthenticated?
    /// Nothing but EAP's key is to prove the responder.
    var isUserAlone = false
    var saidPPK = false
}

extension IKESession {
    /// The round that is under way or comes next; `nil`: all are over.
    var ownRound: AuthenticationRound? { connection?.ownRounds.dropFirst(rounds.own).first }
    var peerRound: AuthenticationRound? { connection?.peerRounds.dropFirst(rounds.peer).first }

    /// Whether our end has another round behind the one that is under way.
    var hasFurtherRound: Bool { rounds.own + 1 < connection?.ownRounds.count ?? 0 }

    /// N(ANOTHER_AUTH_FOLLOWS), beside an AUTH of the round that is under way.
    var furtherRoundPayloads: [Payload] {
        hasFurtherRound ? [NotifyPayload(.anotherAuthenticationFollows).payload] : []
    }

    /// What we are in our round.
    func identity(of round: AuthenticationRound?) -> Identity { round?.exactIdentity ?? Identity(local.address) }

    /// What is wrong where the peer does not know of several rounds.
    var roundsOfUnaware: RoundFault? {
        guard let connection, connection.hasFurtherRounds, !rounds.peerTakesFurther else { return nil }
        let isOurs = connection.peerRounds.count < 2
        return RoundFault(
            .unaware, isOurs: isOurs, number: 2,
            method: (isOurs ? connection.ownRounds : connection.peerRounds)[1].method.keyword)
    }

    /// A round of the peer's is over, with the message that holds its AUTH.
    ///
    /// - Throws: `rounds` where the peer has fewer rounds than the connection wants, or more.
    mutating func notePeerRound(_ peer: PeerAuthenticated, _ content: MessageContent) throws(Fault) {
        rounds.peer += 1
        rounds.authenticated = peer
        let number = rounds.peer + 1
        switch (content.notification(.anotherAuthenticationFollows) != nil, peerRound) {
        case (false, let missing?):
            throw .rounds(RoundFault(.missing, isOurs: false, number: number, method: missing.method.keyword))
        case (true, nil): throw .rounds(RoundFault(.surplus, isOurs: false, number: number))
        case (true, _?), (false, nil): break
        }
    }

    /// EAP's key proves the peer by itself only where the method is one that may (RFC 5998 §4).
    func checkUserAlone(hasKey: Bool) throws(Fault) {
        guard rounds.isUserAlone, !hasKey else { return }
        let method = (isInitiator ? peerRound : ownRound)?.method.keyword
        throw .rounds(
            RoundFault(
                .oneSided, isOurs: !isInitiator, number: (isInitiator ? rounds.peer : rounds.own) + 1, method: method))
    }
}
