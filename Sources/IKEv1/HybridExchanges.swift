import ISAKMP

// Hybrid authentication (draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2): the figures of signatures, in which one end sends HASH
// instead of CERT and SIG. Its user follows by Extended Authentication.
extension Exchanges {
    /// The initiator has a user.
    ///
    ///     HDR, SA                 -->
    ///                             <--  HDR, SA
    ///     HDR, KE, Ni             -->
    ///                             <--  HDR, KE, Nr
    ///     HDR*, IDii, HASH_I      -->
    ///                             <--  HDR*, IDir, [ CERT, ] SIG_R
    static var mainModeHybrid: ExchangeDescription { mainModeSignatures.hybrid(user: .initiator) }

    /// The responder has a user.
    ///
    ///     HDR*, IDii, [ CERT, ] SIG_I  -->
    ///                                  <--  HDR*, IDir, HASH_R
    static var mainModeHybridResponder: ExchangeDescription { mainModeSignatures.hybrid(user: .responder) }

    /// The initiator has a user.
    ///
    ///     HDR, SA, KE, Ni, IDii   -->
    ///                             <--  HDR, SA, KE, Nr, IDir, [ CERT, ] SIG_R
    ///     HDR*, HASH_I            -->
    static var aggressiveModeHybrid: ExchangeDescription {
        aggressiveModeSignatures.hybrid(user: .initiator)
    }

    /// The responder has a user.
    ///
    ///     HDR, SA, KE, Ni, IDii   -->
    ///                             <--  HDR, SA, KE, Nr, IDir, HASH_R
    ///     HDR*, [ CERT, ] SIG_I   -->
    static var aggressiveModeHybridResponder: ExchangeDescription {
        aggressiveModeSignatures.hybrid(user: .responder)
    }
}

extension ExchangeDescription {
    /// The figure with HASH in place of SIG in the message of the end that has a user.
    fileprivate func hybrid(user: Role) -> ExchangeDescription {
        var figure = self
        for index in messages.indices
        where messages[index].sender == user && messages[index].required.contains(.signature) {
            figure.messages[index].required.remove(.signature)
            figure.messages[index].required.insert(.hash)
            figure.messages[index].optional.remove(.certificate)
            figure.messages[index].repeatable.remove(.certificate)
        }
        return figure
    }
}
