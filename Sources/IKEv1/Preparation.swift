import IPsec
import IPsecDOI
import ISAKMP
import Primitives

/// What passes between phase 1 and phase 2: Extended Authentication, then the configuration of addresses
/// (draft-beaulieu-ike-xauth-02 §6, draft-dukes-ike-mode-cfg-02 §5.1). Until it is over there is no Quick Mode.
extension IKEv1Session {
    /// The methods that phase 1 may negotiate: they also say whose user authenticates behind it
    /// (draft-beaulieu-ike-xauth-02 §7.2).
    func methods(of connection: Connection) -> [PhaseOneMethod] {
        let methods = PhaseOneMethod.methods(of: connection, as: role)
        // Base Mode is spoken with pre-shared keys.
        return connection.isBase ? methods.filter { $0.base == .preSharedKey } : methods
    }

    /// Whether the peer may begin Quick Modes.
    var isOpenToPeer: Bool { extended.isPassed }

    /// Whether we may begin Quick Modes.
    var isReadyForPhaseTwo: Bool { extended.isPassed && configuration.isSettled && !hasOpenVerdict }

    /// The user has passed and does not know it yet.
    private var hasOpenVerdict: Bool {
        transactions.contains { $0.purpose == .verdict(isPassed: true) && !$0.exchange.isFinished }
    }

    /// Phase 1 is done.
    mutating func prepare(_ context: inout Context) throws(Fault) {
        let allowed = max(context.settings.halfOpenTimeout, IKEv1Session.lingerTime(context.settings))
        if connection?.remoteExtendedRound != nil {
            context.set(.halfOpen, after: allowed)
            try askForCredential(attempt: 1, &context)
        } else if connection?.localExtendedRound != nil {
            context.set(.halfOpen, after: allowed)
            extended.state = .awaitingVerdict
            repeatLastUnlessHeard(&context)
        } else {
            try stand(&context)
        }
    }

    /// Both ends have proved who they are: the SA stands.
    mutating func stand(_ context: inout Context) throws(Fault) {
        guard established == nil, let connection else { return }
        established = context.now
        context.cancel(.halfOpen)
        if connection.deadPeerDelay > .zero { context.set(.liveness, after: connection.deadPeerDelay) }
        lastHeard = context.now
        context.report(.established)
        if heardInitialContact { context.report(.initialContact) }
        if !hasOpenVerdict { try configure(&context) }
    }

    /// What a peer may begin an exchange for before Extended Authentication has passed: nothing but that, at the host
    /// (§6).
    func mayBegin(_ attributes: AttributesPayload) throws(Fault) {
        guard !extended.isPassed else { return }
        let isExtended =
            !attributes.attributes.isEmpty
            && attributes.attributes.allSatisfy { ConfigurationAttribute.xauthRange.contains($0.type) }
        guard case .awaitingVerdict = extended.state, isExtended else {
            throw .dropped("Extended Authentication comes before all else")
        }
    }

    /// What passes between the phases came to nothing: the ISAKMP SA ends. `nil`: the peer answers no more.
    mutating func failPreparation(_ refusal: Refusal?, _ context: inout Context) {
        guard let refusal else {
            close(.peerUnresponsive, &context)
            return
        }
        if wanted.isEmpty { context.report(.refused(child: nil, refusal)) }
        for child in wanted { context.report(.refused(child: child.name, refusal)) }
        wanted = []
        sayFarewell(&context)
        close(.refused(refusal), &context)
    }
}
