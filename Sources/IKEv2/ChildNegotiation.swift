import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// What both ends put into a child's keys.
struct ChildMaterial: Sendable {
    var initiatorNonce: [UInt8]
    var responderNonce: [UInt8]
    /// With IKE_AUTH: no key exchange of its own (RFC 7296 §1.2).
    var isFirst: Bool
}

/// What we agreed to for a child that the peer wants, before its keys are all determined.
struct ProposedChild: Sendable {
    var policy: ChildPolicy
    var requestID: UInt32
    var inboundSPI: SPI
    var outboundSPI: SPI
    var suite: Suite
    var securityProtocol: SecurityProtocol
    var mode: SecurityMode
    var takesPadding: Bool
    var inboundCompression: Compression?
    var outboundCompression: Compression?
    var carriesFragments = false
    var aggregation: Aggregation?
    var resource: Int?
    var localSelectors: [TrafficSelector]
    var remoteSelectors: [TrafficSelector]
    var material: ChildMaterial
    var sharedSecret: Secret?
    /// Whether the selectors are a part of the offer.
    var isNarrowed = false
}

/// What two ends agreed on for a child, before it is installed.
struct AgreedChild: Sendable {
    var policy: ChildPolicy
    var replaces: ChildID?
    var requestID: UInt32
    var inboundSPI: SPI
    var outboundSPI: SPI
    var suite: Suite
    var securityProtocol: SecurityProtocol
    var mode: SecurityMode
    /// Whether the peer takes padding behind inner packets (ESP_TFC_PADDING_NOT_SUPPORTED, RFC 7296 §1.3.1).
    var takesPadding: Bool
    /// The compression parameter indices of both ends, where both compress (RFC 7296 §2.22).
    var inboundCompression: Compression?
    var outboundCompression: Compression?
    /// Whether both ends send and take later fragments.
    var carriesFragments = false
    /// How packets share payloads, where both ends have it so.
    var aggregation: Aggregation?
    /// Its number among children with the same selectors (RFC 9611).
    var resource: Int?
    var localSelectors: [TrafficSelector]
    var remoteSelectors: [TrafficSelector]
    var inboundKeys: KeyMaterial
    var outboundKeys: KeyMaterial
    /// The peer asked for it, and may not have the answer.
    var isAnswer = false
    /// Whether the selectors are a part of the offer.
    var isNarrowed = false
}

extension IKESession {
    /// A fresh attempt to create a child of `policy`, with an SPI and without key exchange.
    mutating func attempt(
        _ policy: ChildPolicy, replacing old: Child?, beside sibling: Child? = nil, _ context: inout Context
    ) -> ChildAttempt {
        ChildAttempt(
            policy: policy.name, replaces: old?.id,
            requestID: old?.requestID ?? sibling?.requestID ?? inheritRequestID(policy)
                ?? requestID(for: policy, &context),
            resource: sibling.map(numberBeside) ?? old?.resource, sibling: sibling?.id, spi: context.offerSPI(),
            offeredLocal: localSelectors(of: policy), offeredRemote: remoteSelectors(of: policy))
    }

    /// What the policy can offer or accept here: AH does not pass a NAT (RFC 3715 §2.1), nor does it go inside UDP.
    func usable(_ proposals: [Proposal]) -> [Proposal] {
        isEncapsulating ? proposals.filter { $0.securityProtocol != .ah } : proposals
    }

    private mutating func inheritRequestID(_ policy: ChildPolicy) -> UInt32? {
        guard inheritedRequestIDs[policy.name]?.isEmpty == false else { return nil }
        return inheritedRequestIDs[policy.name]?.removeFirst()
    }

    func requestID(for policy: ChildPolicy, _ context: inout Context) -> UInt32 {
        policy.requestID != 0 ? policy.requestID : context.environment.freshRequestID()
    }

    /// Gives an attempt's SPI back.
    func release(_ attempt: ChildAttempt?, _ context: inout Context) {
        if let attempt { context.giveBack(attempt.spi) }
    }

    /// [N(USE_TRANSPORT_MODE),] SA, [Ni, [KEi,]] TSi, TSr: of IKE_AUTH without nonce, of CREATE_CHILD_SA with it.
    func childPayloads(
        _ attempt: ChildAttempt, _ policy: ChildPolicy, proposals: [Proposal], keyExchange: KeyPair?
    ) -> [Payload] {
        var payloads: [Payload] = []
        if policy.mode == .transport { payloads.append(NotifyPayload(.useTransportMode).payload) }
        if policy.compresses { payloads.append(CompressionNotification.payload(attempt.spi.compression)) }
        payloads += policy.fragmentPayloads + policy.aggregationPayloads
        if attempt.replaces == nil || attempt.resource != nil { payloads += policy.resourcePayloads(attempt.resource) }
        payloads.append(ProposalPayload.offer(usable(proposals), spi: attempt.spi.octets))
        if !attempt.nonce.isEmpty { payloads.append(Payload(.nonceV2, body: attempt.nonce)) }
        if let keyExchange {
            payloads.append(KeyExchangePayload(group: keyExchange.group, value: keyExchange.publicValue).payload)
        }
        payloads.append(SelectorPayload.payload(.selectorsInitiator, attempt.offeredLocal))
        payloads.append(SelectorPayload.payload(.selectorsResponder, attempt.offeredRemote))
        return payloads
    }

    // MARK: Responder

    /// Agrees to a child that the peer wants, and returns the payloads that tell the peer; nothing is installed yet.
    func negotiate(
        _ content: MessageContent, _ material: ChildMaterial, replacing old: Child?, _ context: inout Context
    ) throws(Fault) -> (ProposedChild, [Payload]) {
        guard children.count < IKESession.maximumChildren else { throw .tooManyChildren }
        let offers = try content.required(content.offers, "SA").filter { $0.isUnderstood && $0.spi.count == 4 }
        let offeredRemote = widened(try content.required(content.selectorsInitiator, "TSi"), content, material)
        let offeredLocal = try content.required(content.selectorsResponder, "TSr")
        let (policy, localSelectors, remoteSelectors) = try choosePolicy(offeredLocal, offeredRemote, old)
        let place = try placeAmongResources(content, policy, localSelectors, remoteSelectors, replacing: old, context)
        let selection: Selection
        switch Proposal.select(
            configured: usable(policy.proposals), offered: offers.map(\.proposal), ignoringKeyExchange: material.isFirst
        )
        {
        case .success(let found): selection = found
        case .failure(let refused): throw .noProposal(policy.firstProtocol, refused.mismatch)
        }
        var keyPayloads: [Payload] = []
        var sharedSecret: Secret?
        if let group = selection.suite.keyExchange {
            guard let keyExchange = content.keyExchange, keyExchange.group == group else { throw .otherGroup(group) }
            let (value, secret) = try answer(group, keyExchange.value, &context)
            sharedSecret = secret
            keyPayloads = [KeyExchangePayload(group: group, value: value).payload]
        }
        let offer = offers[selection.offer]
        let asksTransport = content.notification(.useTransportMode) != nil
        var agreed = ProposedChild(
            policy: policy, requestID: old?.requestID ?? place?.requestID ?? requestID(for: policy, &context),
            inboundSPI: context.takeSPI(), outboundSPI: SPI(network: offer.spi), suite: selection.suite,
            securityProtocol: offer.proposal.securityProtocol,
            mode: asksTransport && policy.mode == .transport ? .transport : .tunnel,
            takesPadding: content.notification(.tfcPaddingNotSupported) == nil, localSelectors: localSelectors,
            remoteSelectors: remoteSelectors, material: material, sharedSecret: sharedSecret)
        if policy.compresses, let theirs = CompressionNotification.read(content) {
            agreed.inboundCompression = agreed.inboundSPI.compression
            agreed.outboundCompression = theirs
        }
        agreed.carriesFragments = policy.agreesOnFragments(content, agreed.mode)
        agreed.aggregation = policy.agreedAggregation(content, agreed.mode, agreed.securityProtocol)
        agreed.resource = place?.number
        agreed.isNarrowed = !localSelectors.covers(offeredLocal) || !remoteSelectors.covers(offeredRemote)

        var payloads: [Payload] = []
        if let own = agreed.inboundCompression { payloads.append(CompressionNotification.payload(own)) }
        if agreed.mode == .transport { payloads.append(NotifyPayload(.useTransportMode).payload) }
        if agreed.carriesFragments { payloads += policy.fragmentPayloads }
        if agreed.aggregation != nil { payloads += policy.aggregationPayloads }
        if let place { payloads += policy.resourcePayloads(place.number) }
        payloads.append(
            ProposalPayload.answer(agreed.suite, to: offer, spi: agreed.inboundSPI.octets))
        if !material.isFirst { payloads.append(Payload(.nonceV2, body: material.responderNonce)) }
        payloads += keyPayloads
        payloads.append(SelectorPayload.payload(.selectorsInitiator, remoteSelectors))
        payloads.append(SelectorPayload.payload(.selectorsResponder, localSelectors))
        if old == nil, hasOtherChild(than: policy, for: offeredLocal, offeredRemote, localSelectors, remoteSelectors) {
            payloads.append(NotifyPayload(.additionalSelectorsPossible).payload)
        }
        return (agreed, payloads)
    }

    /// Installs what was agreed to, now that its keys are known.
    ///
    /// With `old`, the SPI of a child in its packets towards the peer, the new child takes over from it: its outbound SA
    /// is held back until the peer is known to have the response, which its Delete of the old child shows.
    mutating func complete(
        _ proposed: ProposedChild, replacing old: SPI?, further: [Secret], _ sa: IKESA, _ context: inout Context
    ) throws(Fault) {
        let replaced: Child? = if let old { try replaceable(old, nil, sa) } else { nil }
        if old == nil { try checkResources(of: proposed, context) }
        let material = proposed.material
        let keys = try KeySchedule.child(
            proposed.suite, of: sa.keys, sa.suite, sharedSecret: proposed.sharedSecret, further: further,
            initiatorNonce: material.initiatorNonce, responderNonce: material.responderNonce)
        install(
            AgreedChild(
                policy: proposed.policy, replaces: replaced?.id, requestID: proposed.requestID,
                inboundSPI: proposed.inboundSPI, outboundSPI: proposed.outboundSPI, suite: proposed.suite,
                securityProtocol: proposed.securityProtocol, mode: proposed.mode, takesPadding: proposed.takesPadding,
                inboundCompression: proposed.inboundCompression, outboundCompression: proposed.outboundCompression,
                carriesFragments: proposed.carriesFragments, aggregation: proposed.aggregation,
                resource: proposed.resource,
                localSelectors: proposed.localSelectors, remoteSelectors: proposed.remoteSelectors,
                inboundKeys: keys.fromInitiator,
                outboundKeys: keys.fromResponder, isAnswer: true, isNarrowed: proposed.isNarrowed),
            holdingOutbound: replaced != nil, &context)
        if let replaced { succeed(replaced, material, &context) }
    }

    /// The child's policy whose selectors cover the offer best: one that needs no narrowing before one that does, then
    /// the one that leaves most.
    private func choosePolicy(
        _ offeredLocal: [TrafficSelector], _ offeredRemote: [TrafficSelector], _ old: Child?
    ) throws(Fault) -> (ChildPolicy, local: [TrafficSelector], remote: [TrafficSelector]) {
        let policies = (connection?.children ?? []).filter {
            $0.action == nil && (old == nil || $0.name == old?.policy)
        }
        var best: (fit: SelectorFit, policy: ChildPolicy, local: [TrafficSelector], remote: [TrafficSelector])?
        for policy in policies {
            let localSelectors = TrafficSelector.narrow(offeredLocal, to: localSelectors(of: policy))
            let remoteSelectors = TrafficSelector.narrow(offeredRemote, to: remoteSelectors(of: policy))
            guard !localSelectors.isEmpty, !remoteSelectors.isEmpty else { continue }
            let fit = SelectorFit(
                isWhole: localSelectors == offeredLocal && remoteSelectors == offeredRemote,
                size: localSelectors.logarithmicSize + remoteSelectors.logarithmicSize)
            if best.map({ $0.fit < fit }) ?? true { best = (fit, policy, localSelectors, remoteSelectors) }
        }
        guard let best else {
            let configured = policies.first
            throw .selectors(
                .selectors(
                    offeredLocal: offeredLocal, offeredRemote: offeredRemote,
                    configuredLocal: configured.map { localSelectors(of: $0) } ?? [],
                    configuredRemote: configured.map { remoteSelectors(of: $0) } ?? []))
        }
        return (best.policy, best.local, best.remote)
    }

    // MARK: Initiator

    /// Reads the part of a response that answers an offer of a child.
    func agree(
        _ attempt: ChildAttempt, _ policy: ChildPolicy, _ content: MessageContent, _ sa: IKESA,
        _ material: ChildMaterial, further: [Secret] = []
    ) throws(Fault) -> AgreedChild {
        let offers = try content.required(content.offers, "SA")
        let offeredBack = try content.required(content.selectorsInitiator, "TSi")
        let offeredForth = try content.required(content.selectorsResponder, "TSr")
        let proposals = usable(material.isFirst ? policy.proposals.map(\.withoutKeyExchange) : policy.proposals)
        guard offers.count == 1, let offer = offers.first, offer.isSingular, offer.spi.count == 4 else {
            throw .violation("an answer holds one proposal with one transform of each kind and an SPI of 4 octets")
        }
        let selection: Selection
        switch Proposal.select(configured: proposals, offered: [offer.proposal]) {
        case .success(let found): selection = found
        case .failure(let refused): throw .noProposal(policy.firstProtocol, refused.mismatch)
        }
        var sharedSecret: Secret?
        if let group = selection.suite.keyExchange {
            guard let keyExchange = content.keyExchange, let keyPair = attempt.keyPair,
                keyExchange.group == group, keyPair.group == group
            else { throw .violation("the key exchange is not that of the proposal") }
            sharedSecret = try combine(keyPair, keyExchange.value)
        }
        let localSelectors = TrafficSelector.narrow(offeredBack, to: attempt.offeredLocal)
        let remoteSelectors = TrafficSelector.narrow(offeredForth, to: attempt.offeredRemote)
        // The responder may take parts of the offer only (RFC 7296 §2.9).
        guard !localSelectors.isEmpty, !remoteSelectors.isEmpty, localSelectors.covers(offeredBack),
            remoteSelectors.covers(offeredForth)
        else {
            throw .selectors(
                .selectors(
                    offeredLocal: offeredBack, offeredRemote: offeredForth, configuredLocal: attempt.offeredLocal,
                    configuredRemote: attempt.offeredRemote))
        }
        let mode = content.notification(.useTransportMode) == nil ? SecurityMode.tunnel : .transport
        guard mode == policy.mode else { throw .violation("the peer wants \(mode.rawValue) mode") }
        let keys = try KeySchedule.child(
            selection.suite, of: sa.keys, sa.suite, sharedSecret: sharedSecret, further: further,
            initiatorNonce: material.initiatorNonce, responderNonce: material.responderNonce)
        var agreed = AgreedChild(
            policy: policy, replaces: attempt.replaces, requestID: attempt.requestID, inboundSPI: attempt.spi,
            outboundSPI: SPI(network: offer.spi), suite: selection.suite,
            securityProtocol: offer.proposal.securityProtocol, mode: mode,
            takesPadding: content.notification(.tfcPaddingNotSupported) == nil, localSelectors: localSelectors,
            remoteSelectors: remoteSelectors, inboundKeys: keys.fromResponder, outboundKeys: keys.fromInitiator)
        if policy.compresses, let theirs = CompressionNotification.read(content) {
            agreed.inboundCompression = attempt.spi.compression
            agreed.outboundCompression = theirs
        }
        agreed.isNarrowed =
            !localSelectors.covers(attempt.offeredLocal) || !remoteSelectors.covers(attempt.offeredRemote)
        agreed.carriesFragments = policy.agreesOnFragments(content, mode)
        agreed.aggregation = policy.agreedAggregation(content, mode, agreed.securityProtocol)
        if policy.usesResources, content.notification(.resourceInformation) != nil {
            agreed.resource = attempt.resource ?? (attempt.replaces == nil ? nextNumber(agreed) : nil)
        }
        return agreed
    }
}

/// N(IPCOMP_SUPPORTED): the index under which an end wants compressed packets, and the algorithm (RFC 7296 §3.10.1).
enum CompressionNotification {
    static func payload(_ compression: Compression) -> Payload {
        let data = [
            UInt8(truncatingIfNeeded: compression.index >> 8), UInt8(truncatingIfNeeded: compression.index),
            Compression.deflate,
        ]
        return NotifyPayload(.compressionSupported, data: data).payload
    }

    /// What the peer says for DEFLATE; it may name other algorithms beside it.
    static func read(_ content: MessageContent) -> Compression? {
        content.notifications.first {
            $0.type == .compressionSupported && $0.data.count == 3 && $0.data[2] == Compression.deflate
        }.map { Compression(index: UInt16($0.data[0]) << 8 | UInt16($0.data[1])) }
    }
}

/// How well a policy covers an offer.
private struct SelectorFit: Comparable {
    var isWhole: Bool
    var size: Double

    static func < (left: SelectorFit, right: SelectorFit) -> Bool {
        left.isWhole == right.isWhole ? left.size < right.size : right.isWhole
    }
}

extension [TrafficSelector] {
    /// Whether each of `others` lies within one of these.
    func covers(_ others: [TrafficSelector]) -> Bool {
        others.allSatisfy { other in contains { $0.contains(other) } }
    }

    /// Bits of the number of addresses and ports covered, of the widest selector: enough to rank by.
    fileprivate var logarithmicSize: Double {
        map { selector -> Double in
            let span = selector.last.value - selector.first.value
            let addresses = Double(UInt128.bitWidth - span.leadingZeroBitCount)
            let ports = selector.isOpaque ? 0 : Double(selector.lastPort - selector.firstPort) / 65_536
            return addresses + ports + (selector.ipProtocol == 0 ? 1 : 0)
        }.max() ?? 0
    }
}

extension SPI {
    /// The index of compression beside an SA of ours with this SPI, of those that are negotiated (RFC 3173 §3.3: 256 to
    /// 61,439). It is looked at only once the SA is known.
    var compression: Compression { Compression(index: UInt16(256 + value % 61_184)) }

    /// The first four octets in network order.
    init(network octets: [UInt8]) {
        self.init(octets.prefix(4).reduce(0) { $0 << 8 | UInt32($1) })
    }
}
