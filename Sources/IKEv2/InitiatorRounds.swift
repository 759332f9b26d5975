import IPsec
import ISAKMP
import Primitives

/// The initiator's way through the rounds of IKE_AUTH (RFC 4739 §2).
extension IKESession {
    /// What the first request says of rounds.
    func roundPayloads(beside proof: OwnProof?, _ context: Context) -> [Payload] {
        guard let connection else { return [] }
        var payloads: [Payload] = []
        if context.settings.takesFurtherRounds, connection.hasFurtherRounds {
            payloads.append(NotifyPayload(.multipleAuthenticationSupported).payload)
        }
        if peerRound?.method.userMethod != nil { payloads.append(NotifyPayload(.userAuthenticationOnly).payload) }
        return proof == nil ? payloads : payloads + furtherRoundPayloads
    }

    /// The request with our proof in the round that is under way; `nil`: our user comes behind it, over EAP.
    mutating func sendProof(
        _ initiation: Initiation, _ proof: OwnProof?, _ context: inout Context
    ) throws(Fault) {
        guard rounds.own > 0 else { return try sendAuthentication(initiation, proof, &context) }
        guard let spi = current?.ownSPI else { return }
        var payloads = [Payload(.identityInitiator, body: IdentityPayload.body(initiation.localIdentity))]
        if let proof { payloads += proof.certificates + [proof.authentication.payload] + furtherRoundPayloads }
        phase = .awaitingAuthenticationResponse(initiation)
        try request(spi, .ikeAuth, payloads, .authentication, &context)
    }

    /// A response in which nothing is left to judge of the peer's: our own round goes on, or is over.
    mutating func goOn(
        _ initiation: Initiation, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        if peerRound == nil, content.authentication == nil, let error = content.error,
            !error.type.concernsChild
        {
            release(initiation.child, &context)
            return fail(.peer(notification: error.type.rawValue, name: error.type.name), &context)
        }
        if let method = ownRound?.method.userMethod {
            return try beginUser(method, initiation, content, &context)
        }
        if ownRound != nil { rounds.own += 1 }
        try advance(initiation, content, &context)
    }

    /// Our round is over.
    mutating func advance(
        _ initiation: Initiation, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        if let round = ownRound {
            var initiation = initiation
            initiation.localIdentity = identity(of: round)
            initiation.mixedProof = nil
            localIdentity = initiation.localIdentity
            try askOwnProof(initiation, &context)
        } else if peerRound != nil {
            phase = .awaitingAuthenticationResponse(initiation)
            try request(spi, .ikeAuth, [], .authentication, &context)
        } else if let peer = rounds.authenticated {
            try establish(initiation, content, peer, &context)
        }
    }

    /// Whether a response leaves the responder's proof to EAP, and the connection lets it (RFC 5998 §3).
    func mayBeUserAlone(_ content: MessageContent) -> Bool {
        rounds.peer == 0 && rounds.own == 0 && peerRound?.method.userMethod != nil
            && ownRound?.method.userMethod != nil && content.authentication == nil
            && content.extensibleAuthentication != nil && content.error == nil
    }
}

extension NotificationType {
    /// An error that leaves the IKE SA as it is: no child came of IKE_AUTH (RFC 7296 §1.2).
    var concernsChild: Bool {
        switch self {
        case .noProposalChosen, .selectorsUnacceptable, .singlePairRequired, .internalAddressFailure,
            .failedConfigurationRequired, .noAdditionalSAs, .temporaryFailure:
            true
        default: false
        }
    }
}
