import Cryptography
import IPsec
import ISAKMP
import Primitives

/// What a session knows of rekeyings that say again nothing that stays the same
/// (draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt).
struct OptimizedRekey: Sendable {
    /// Both ends said in IKE_AUTH that they take them.
    var isAgreed = false
    /// The first child, which had no key exchange of its own: that of the IKE SA at the time counts as its own.
    var initialChild: ChildID?
    var initialSuite: Suite?
}

/// What a child's successor has from it: everything but keys, SPIs and compression indices.
struct Inheritance: Sendable {
    var old: Child
    var suite: Suite
}

/// Optimized rekeying: N(OPTIMIZED_REKEY) with the new SPI stands for SA and traffic selectors, which are those of the SA
/// that is replaced. Inside, such a message is the whole one that it stands for.
///
///     HDR, SK {N(OPTIMIZED_REKEY)(SPIi), Ni, KEi}  -->
///                            <--  HDR, SK {N(OPTIMIZED_REKEY)(SPIr), Nr, KEr}
///
///     HDR, SK {N(REKEY_SA), N(OPTIMIZED_REKEY)(SPIi), Ni, [KEi]}  -->
///                            <--  HDR, SK {N(OPTIMIZED_REKEY)(SPIr), Nr, [KEr]}
extension IKESession {
    // MARK: Agreement

    /// N(OPTIMIZED_REKEY_SUPPORTED), in the first request and the last response of IKE_AUTH.
    var optimizedRekeyPayloads: [Payload] {
        connection?.optimizesRekeying == true ? [NotifyPayload(.optimizedRekeySupported).payload] : []
    }

    mutating func noteOptimizedRekey(_ content: MessageContent) {
        optimizedRekey.isAgreed =
            connection?.optimizesRekeying == true && content.notification(.optimizedRekeySupported) != nil
        optimizedRekey.initialSuite = current?.suite
    }

    // MARK: Initiator

    /// Whether the IKE SA can be replaced by one of the same kind, as it is configured now.
    func canInherit(_ sa: IKESA) -> Bool {
        guard optimizedRekey.isAgreed, sa.suite.keyExchange != nil, let connection else { return false }
        return sa.suite.isChosen(from: connection.proposals, .ike)
    }

    /// What a child's successor can take over; `nil` where it takes a whole negotiation.
    func inheritance(from old: Child, _ policy: ChildPolicy) -> Inheritance? {
        let hasKeyExchange =
            old.id == optimizedRekey.initialChild ? policy.firstGroup != nil : old.suite.keyExchange != nil
        guard optimizedRekey.isAgreed, let suite = suite(succeeding: old, hasKeyExchange: hasKeyExchange),
            allows(policy, old, suite)
        else { return nil }
        return Inheritance(old: old, suite: suite)
    }

    /// The whole response to a request for an IKE SA like the old one.
    func expanded(_ content: MessageContent, _ attempt: IKEAttempt, _ old: IKESA) throws(Fault) -> MessageContent {
        guard attempt.isOptimized, attempt.followUp == nil else { return content }
        guard content.offers == nil, let data = content.notification(.optimizedRekey)?.data, data.count == 8 else {
            throw .violation("an optimized rekeying is answered with an SPI of 8 octets alone")
        }
        return content.expanded(Proposal(old.suite, .ike), spi: data)
    }

    /// The whole response to a request for a child like the old one.
    func expanded(_ content: MessageContent, _ attempt: ChildAttempt) throws(Fault) -> MessageContent {
        guard let inheritance = attempt.inheritance?.value, attempt.followUp == nil else { return content }
        guard content.offers == nil, let data = content.notification(.optimizedRekey)?.data, data.count == 4 else {
            throw .violation("an optimized rekeying is answered with an SPI of 4 octets alone")
        }
        let old = inheritance.old
        guard !old.isCompressed || CompressionNotification.read(content) != nil else {
            throw .violation("an optimized rekeying goes on with compression")
        }
        return content.expanded(
            inheritance, spi: data, initiator: old.localSelectors, responder: old.remoteSelectors)
    }

    // MARK: Responder

    /// The whole request that a shortened one stands for; `nil` where the request is none of these.
    func expanded(_ content: MessageContent, _ sa: IKESA) throws(Fault) -> MessageContent? {
        guard optimizedRekey.isAgreed, content.offers == nil, let data = content.notification(.optimizedRekey)?.data,
            let connection
        else { return nil }
        guard let rekey = content.notification(.rekeySA) else {
            guard data.count == 8 else { throw .violation("the SPI of an IKE SA has 8 octets") }
            guard canInherit(sa), content.keyExchange?.group == sa.suite.keyExchange else {
                throw .cannotInherit(sa.suite, .ike, connection.proposals)
            }
            return content.expanded(Proposal(sa.suite, .ike), spi: data)
        }
        guard [.esp, .ah].contains(rekey.securityProtocol), rekey.spi.count == 4, data.count == 4 else {
            throw .violation("REKEY_SA names the SPI of a child, and OPTIMIZED_REKEY one of the same size")
        }
        let old = try replaceable(SPI(network: rekey.spi), rekey.securityProtocol, sa)
        let policy = connection.child(old.policy)
        guard let policy, let suite = suite(succeeding: old, hasKeyExchange: content.keyExchange != nil),
            content.keyExchange?.group == suite.keyExchange, allows(policy, old, suite),
            !old.isCompressed || CompressionNotification.read(content) != nil
        else { throw .cannotInherit(old.suite, old.securityProtocol, policy?.proposals ?? []) }
        return content.expanded(
            Inheritance(old: old, suite: suite), spi: data, initiator: old.remoteSelectors,
            responder: old.localSelectors)
    }

    // MARK: Both

    /// The algorithms of a child's successor; `nil` where it would have a key exchange that the child had not, or the
    /// other way round. The first child may have either.
    private func suite(succeeding old: Child, hasKeyExchange: Bool) -> Suite? {
        guard old.id == optimizedRekey.initialChild, let initial = optimizedRekey.initialSuite else {
            return hasKeyExchange == (old.suite.keyExchange != nil) ? old.suite : nil
        }
        var suite = old.suite
        if hasKeyExchange {
            suite.keyExchange = initial.keyExchange
            suite.additionalKeyExchanges = initial.additionalKeyExchanges
        }
        return suite
    }

    /// Whether a whole negotiation under the policy as it is now would come to the same.
    private func allows(_ policy: ChildPolicy, _ old: Child, _ suite: Suite) -> Bool {
        func remains(_ selectors: [TrafficSelector], _ configured: [TrafficSelector]) -> Bool {
            TrafficSelector.narrow(selectors, to: configured) == selectors
                && TrafficSelector.narrow(selectors, to: selectors) == selectors
        }
        return suite.isChosen(from: usable(policy.proposals), old.securityProtocol) && policy.mode == old.mode
            && (policy.compresses || !old.isCompressed) && (policy.carriesFragments || !old.carriesFragments)
            && remains(old.localSelectors, localSelectors(of: policy))
            && remains(old.remoteSelectors, remoteSelectors(of: policy))
    }
}

extension NotificationType {
    /// Whether a rekeying that was refused so may still be had by a whole negotiation.
    var leavesWholeRekeying: Bool {
        switch self {
        case .temporaryFailure, .stateNotFound, .childNotFound, .noAdditionalSAs: false
        default: isError
        }
    }
}

extension [Payload] {
    /// The shortened message for a whole one: the SPI of its SA payload instead of it, and nothing that is inherited.
    func contracted(isCompressed: Bool) -> [Payload] {
        var inherited: Set<NotificationType> = MessageContent.inherited
        if !isCompressed { inherited.insert(.compressionSupported) }
        return compactMap { payload in
            switch payload.type {
            case .securityAssociationV2:
                guard let spi = (try? ProposalPayload.parse(payload))?.first?.spi else { return payload }
                return NotifyPayload(.optimizedRekey, data: spi).payload
            case .selectorsInitiator, .selectorsResponder: return nil
            case .notify:
                guard let type = (try? NotifyPayload(parsing: payload))?.type, inherited.contains(type) else {
                    return payload
                }
                return nil
            default: return payload
            }
        }
    }
}

extension MessageContent {
    /// What a shortened message must not say, and what of it counts for nothing.
    fileprivate static let inherited: Set<NotificationType> = [
        .useTransportMode, .tfcPaddingNotSupported, .nonFirstFragmentsAlso, .additionalSelectorsPossible,
    ]

    fileprivate func expanded(_ proposal: Proposal, spi: [UInt8]) -> MessageContent {
        var whole = self
        whole.offers = [OfferedProposal(number: 1, spi: spi, proposal: proposal, isUnderstood: true)]
        return whole
    }

    fileprivate func expanded(
        _ inheritance: Inheritance, spi: [UInt8], initiator: [TrafficSelector], responder: [TrafficSelector]
    ) -> MessageContent {
        let old = inheritance.old
        var whole = expanded(Proposal(inheritance.suite, old.securityProtocol), spi: spi)
        whole.selectorsInitiator = initiator
        whole.selectorsResponder = responder
        whole.notifications.removeAll {
            MessageContent.inherited.contains($0.type) || $0.type == .compressionSupported && !old.isCompressed
        }
        if old.mode == .transport { whole.notifications.append(NotifyPayload(.useTransportMode)) }
        if old.carriesFragments { whole.notifications.append(NotifyPayload(.nonFirstFragmentsAlso)) }
        if !old.takesPadding { whole.notifications.append(NotifyPayload(.tfcPaddingNotSupported)) }
        return whole
    }
}

extension Proposal {
    /// The proposal that leaves no choice but the suite.
    fileprivate init(_ suite: Suite, _ securityProtocol: SecurityProtocol) {
        self.init(
            securityProtocol, encryption: securityProtocol == .ah ? [] : [suite.encryption],
            integrity: suite.integrity.map { [$0] } ?? [], prf: suite.prf.map { [$0] } ?? [],
            keyExchange: suite.keyExchange.map { [$0] } ?? [],
            extendedSequenceNumbers: securityProtocol == .ike ? [] : [suite.extendedSequenceNumbers])
        additionalKeyExchanges = suite.additionalKeyExchanges.map { [$0] }
    }
}

extension Suite {
    fileprivate func isChosen(from configured: [Proposal], _ securityProtocol: SecurityProtocol) -> Bool {
        guard
            case .success(let selection) = Proposal.select(
                configured: configured, offered: [Proposal(self, securityProtocol)])
        else { return false }
        return selection.suite == self
    }
}

extension Fault {
    /// The answer to a shortened request for what a whole one would not lead to: NO_PROPOSAL_CHOSEN.
    fileprivate static func cannotInherit(
        _ suite: Suite, _ securityProtocol: SecurityProtocol, _ configured: [Proposal]
    ) -> Fault {
        let clashes = configured.indices.map { Mismatch.Clash(configured: $0, offered: 0, kind: .keyExchange) }
        return .noProposal(
            securityProtocol,
            Mismatch(configured: configured, offered: [Proposal(suite, securityProtocol)], clashes: clashes))
    }
}
