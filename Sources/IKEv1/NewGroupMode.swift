import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives

/// New Group Mode under way (RFC 2409 §5.6).
struct NewGroupMode: Sendable {
    var exchange: Exchange
    let group: PrivateGroup
    var chain: CipherChain
    var attempts = 0

    var messageID: UInt32 { exchange.messageID }
}

/// What a session knows of private groups.
struct PrivateGroupState: Sendable {
    /// Groups that may be used by number.
    var registry = GroupRegistry()
    /// Groups that the peer has agreed to on this ISAKMP SA.
    var confirmed: Set<KeyExchangeID> = []
    /// Groups that the peer does not take, and why.
    var refused: [KeyExchangeID: Refusal] = [:]
    /// Groups still to offer, and the offer that waits for its answer: one at a time, since a refusal does not say
    /// which one it means.
    var toOffer: [PrivateGroup] = []
    var offered: NewGroupMode?
    /// Children that wait for a group.
    var waiting: [IKEv1Session.WantedChild] = []
    /// Our answer to the peer's last offer, to repeat it.
    var answered: Exchange?
    /// Descriptions of the peer's that were examined.
    var checks = 0

    /// Descriptions that are examined for one peer: each may cost half a second.
    static let maximumChecks = 8
    /// Transforms of one offer that are looked at.
    static let maximumTransforms = 8
}

extension IKEv1Session {
    /// After phase 1 the initiator of the ISAKMP SA offers the groups of its own.
    mutating func offerGroups(_ context: inout Context) throws(Fault) {
        guard isInitiator, let connection else { return }
        groups.toOffer = connection.privateGroups.filter { !groups.confirmed.contains($0.number) }
        try offerNextGroup(&context)
    }

    /// Whether a child may use the group now. Where the peer has not agreed to it yet, it is asked first, and the child
    /// waits.
    mutating func mayUse(
        _ group: KeyExchangeID, for wanted: WantedChild, _ context: inout Context
    ) throws(Fault) -> Bool {
        guard group.isPrivate, !groups.confirmed.contains(group) else { return true }
        let isOnTheWay = groups.offered?.group.number == group || groups.toOffer.contains { $0.number == group }
        if !isOnTheWay {
            if let refusal = groups.refused[group] {
                context.report(.refused(child: wanted.name, refusal))
                return false
            }
            // One that the peer brought to an earlier ISAKMP SA is offered back to it.
            let known =
                (connection?.privateGroups ?? []) + context.environment.agreedGroups.groups(with: remote.address)
            guard let own = known.first(where: { $0.number == group }) else {
                context.report(
                    .refused(child: wanted.name, .policy("no private group has the number \(group.rawValue)")))
                return false
            }
            groups.toOffer.append(own)
        }
        if !groups.waiting.contains(wanted) { groups.waiting.append(wanted) }
        try offerNextGroup(&context)
        return false
    }

    /// Message 1: HDR*, HASH(1), SA, with HASH(1) = prf(SKEYID_a, M-ID | SA).
    private mutating func offerNextGroup(_ context: inout Context) throws(Fault) {
        guard groups.offered == nil, !groups.toOffer.isEmpty, let phaseOne else { return }
        let group = groups.toOffer.removeFirst()
        let messageID = freshMessageID(&context)
        var mode = NewGroupMode(
            exchange: Exchange(Exchanges.newGroupMode, role: .initiator, messageID: messageID), group: group,
            chain: CipherChain(iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: messageID)))
        let payload = NewGroupProposal.payload(group.number, group.description.dataAttributes)
        let octets = try seal(
            [Payload(.securityAssociation, body: payload.body)], messageID, &mode.chain, phaseOne.keys, &context)
        mode.exchange.send(octets)
        groups.offered = mode
        context.set(
            .retransmit(spi: ownCookie, messageID: messageID), after: context.settings.retransmitDelay(attempt: 0))
    }

    private func seal(
        _ payloads: [Payload], _ messageID: UInt32, _ chain: inout CipherChain, _ keys: PhaseOneKeys,
        _ context: inout Context
    ) throws(Fault) -> [UInt8] {
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        let all = [Payload(.hash, body: try keys.authenticator([messageID.octets, rest]))] + payloads
        let octets = try chain.seal(all, header: header(.newGroupMode, messageID: messageID), keys: keys)
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        trace(datagram, all, isProtected: true, isOutgoing: true, &context)
        context.emit(.send(datagram))
        return octets
    }

    /// Sends the offer again; `false` where the timer is no New Group Mode's.
    mutating func retransmitNewGroup(_ messageID: UInt32, _ context: inout Context) throws(Fault) -> Bool {
        guard var mode = groups.offered, mode.messageID == messageID, let sent = mode.exchange.sent else {
            return false
        }
        mode.attempts += 1
        guard mode.attempts <= context.settings.retransmitTries else {
            // Peers without New Group Mode say nothing, and are no less alive for it.
            try endOffer(.policy("the peer does not answer New Group Mode"), &context)
            return true
        }
        groups.offered = mode
        context.report(.retransmitting(messageID: messageID, attempt: mode.attempts))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
        context.set(
            .retransmit(spi: ownCookie, messageID: messageID),
            after: context.settings.retransmitDelay(attempt: mode.attempts))
        return true
    }

    /// The offer is answered: with no refusal, the group may be used. Children that waited for it go on or fail.
    private mutating func endOffer(_ refusal: Refusal?, _ context: inout Context) throws(Fault) {
        guard let mode = groups.offered else { return }
        let number = mode.group.number
        groups.offered = nil
        context.cancel(.retransmit(spi: ownCookie, messageID: mode.messageID))
        if let refusal {
            groups.refused[number] = refusal
            context.note("the peer does not take group \(number.rawValue): \(refusal)")
        } else {
            groups.confirmed.insert(number)
            context.environment.agreedGroups.add(mode.group, with: remote.address)
            context.note("the peer takes group \(number.rawValue)")
        }
        let waiting = groups.waiting
        groups.waiting = []
        for child in waiting { try startQuickMode(child, &context) }
        try offerNextGroup(&context)
    }

    /// A notification that the peer's refusal of our offer arrives with; `false` where none waits for one.
    mutating func refuseOffer(
        by notification: NotificationPayload, _ context: inout Context
    ) throws(Fault) -> Bool {
        let isMeant = [
            NotificationType.attributesNotSupported, NotificationType.invalidExchangeType,
            NotificationType.unsupportedExchangeType,
        ].contains(notification.type)
        guard isMeant, groups.offered != nil else { return false }
        try endOffer(
            .peer(notification: notification.type, name: NotificationName.of(notification.type)), &context)
        return true
    }

    // MARK: Receiving

    mutating func receiveNewGroup(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard let phaseOne, header.initiator.value == initiatorCookie, header.responder.value == responderCookie,
            header.flags.contains(.encryption)
        else { throw .dropped("New Group Mode needs the ISAKMP SA of its cookies") }
        if let mode = groups.offered, mode.messageID == header.messageID {
            try receiveNewGroupAnswer(mode, datagram, header, phaseOne, &context)
            return
        }
        if let answered = groups.answered, answered.messageID == header.messageID {
            guard answered.isRepetition(datagram.octets), let answer = answered.answerToRepetition else {
                throw .dropped("this New Group Mode is over")
            }
            context.emit(.send(Datagram(local: local, remote: remote, octets: answer)))
            return
        }
        try receiveNewGroupOffer(datagram, header, phaseOne, &context)
    }

    private func opened(
        _ datagram: Datagram, _ header: Header, _ exchange: Exchange, _ chain: inout CipherChain,
        _ keys: PhaseOneKeys
    ) throws(Fault) -> [Payload] {
        let opened = try chain.open(datagram.octets, header: header, keys: keys)
        try check(opened.payloads, of: exchange, isEncrypted: true)
        let expected = try keys.authenticator([header.messageID.octets, opened.restOfFirst])
        guard ConstantTime.equal(opened.payloads[0].body, expected) else { throw .dropped("HASH does not hold") }
        return opened.payloads
    }

    /// Message 2: HDR*, HASH(2), SA. The peer repeats the group that it takes.
    private mutating func receiveNewGroupAnswer(
        _ current: NewGroupMode, _ datagram: Datagram, _ header: Header, _ phaseOne: PhaseOne,
        _ context: inout Context
    ) throws(Fault) {
        var mode = current
        let payloads = try opened(datagram, header, mode.exchange, &mode.chain, phaseOne.keys)
        follow(datagram, &context)
        trace(datagram, payloads, isProtected: true, &context)
        let answer = try IKEv1Session.securityAssociation(payloads, situation: .identityOnly)
        let transforms = answer.proposals.flatMap(\.transforms)
        let isSame =
            transforms.count == 1 && NewGroupProposal.group(transforms[0]) == mode.group.number
            && (try? GroupDescription.read(transforms[0])) == mode.group.description
        try endOffer(
            isSame ? nil : .protocolViolation("the responder changed the group that was offered"), &context)
    }

    /// Message 1 at the responder. What is refused is refused with ATTRIBUTES-NOT-SUPPORTED.
    private mutating func receiveNewGroupOffer(
        _ datagram: Datagram, _ header: Header, _ phaseOne: PhaseOne, _ context: inout Context
    ) throws(Fault) {
        guard isOpenToPeer else { throw .dropped("New Group Mode before Extended Authentication has passed") }
        guard !phaseOne.spentMessageIDs.contains(header.messageID), !isInUse(messageID: header.messageID) else {
            throw .dropped("an exchange that is over")
        }
        guard phaseOne.spentMessageIDs.count < PhaseOne.maximumMessageIDs else {
            throw .dropped("too many exchanges on one ISAKMP SA")
        }
        var chain = CipherChain(
            iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: header.messageID))
        var exchange = Exchange(Exchanges.newGroupMode, role: .responder, messageID: header.messageID)
        let payloads = try opened(datagram, header, exchange, &chain, phaseOne.keys)
        follow(datagram, &context)
        trace(datagram, payloads, isProtected: true, &context)
        exchange.accept(datagram.octets)
        var spent = phaseOne
        spent.spentMessageIDs.append(header.messageID)
        phase = .established(spent)
        do throws(Fault) {
            let offer = try IKEv1Session.securityAssociation(payloads, situation: .identityOnly)
            let (proposal, transform) = try takeGroup(offer, &context)
            var answer = proposal
            answer.transforms = [transform]
            let body = SecurityAssociationPayload(
                IPsecDOI.self, situation: IPsecDOI.identityOnly, proposals: [answer]
            ).body
            let octets = try seal(
                [Payload(.securityAssociation, body: body)], header.messageID, &chain, phaseOne.keys, &context)
            exchange.send(octets)
            groups.answered = exchange
            context.set(.linger(spi: ownCookie), after: IKEv1Session.lingerTime(context.settings))
        } catch {
            let refusal: Refusal =
                switch error {
                case .refused(let refusal, _): refusal
                case .dropped(let rule): .protocolViolation(rule)
                }
            sendProtectedNotification(
                NotificationType.attributesNotSupported, keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
            context.report(.refused(child: nil, refusal))
        }
    }

    /// The first group of the offer that is acceptable.
    private mutating func takeGroup(
        _ offer: SecurityAssociationPayload, _ context: inout Context
    ) throws(Fault) -> (ProposalPayload, TransformPayload) {
        var first: Refusal?
        let candidates = offer.proposals.filter { $0.protocolID == IPsecDOI.protocolISAKMP }
            .flatMap { proposal in proposal.transforms.map { (proposal, $0) } }
        for (proposal, transform) in candidates.prefix(PrivateGroupState.maximumTransforms) {
            do throws(Fault) {
                try judge(transform, &context)
                return (proposal, transform)
            } catch {
                if case .refused(let refusal, _) = error { first = first ?? refusal }
            }
        }
        throw .refused(first ?? .protocolViolation("New Group Mode describes a group"), notification: nil)
    }

    private mutating func judge(_ transform: TransformPayload, _ context: inout Context) throws(Fault) {
        func refuse(_ why: String) -> Fault { .refused(.policy(why), notification: nil) }
        guard let number = NewGroupProposal.group(transform), number.isPrivate else {
            throw refuse("a new group has a private number, 32768 or more (RFC 2409 §5.6)")
        }
        let description: GroupDescription
        do throws(GroupDescriptionError) {
            guard let read = try GroupDescription.read(transform) else {
                throw GroupDescriptionError.missing(GroupAttribute.groupType)
            }
            description = read
        } catch {
            throw refuse("the description of group \(number.rawValue) is broken: \(error)")
        }
        if let known = groups.registry[number] {
            guard known.description == description else {
                throw refuse("group \(number.rawValue) stands for another group already")
            }
            confirm(number, known, &context)
            return
        }
        guard connection?.acceptsNewGroups == true else {
            throw refuse(
                "group \(number.rawValue) is none of connection '\(connection?.name ?? "")', which does not say "
                    + "'accept_groups = yes'")
        }
        guard groups.checks < PrivateGroupState.maximumChecks else {
            throw refuse("the peer brought too many groups")
        }
        groups.checks += 1
        var randomness = context.environment.randomness
        do throws(GroupRegistry.Refusal) {
            // What a daemon's only thread does for one peer, the others wait for.
            try groups.registry.add(number, description, .anybody, &randomness)
        } catch {
            context.environment.randomness = randomness
            switch error {
            case .defective(let defect): throw refuse("group \(number.rawValue) is not sound: \(defect)")
            case .full: throw refuse("the peer has brought as many groups as are kept")
            case .notPrivate, .taken: throw refuse("group \(number.rawValue): \(error)")
            }
        }
        context.environment.randomness = randomness
        if let known = groups.registry[number] { confirm(number, known, &context) }
    }

    private mutating func confirm(_ number: KeyExchangeID, _ group: CheckedGroup, _ context: inout Context) {
        groups.confirmed.insert(number)
        if let agreed = PrivateGroup(number, group) {
            context.environment.agreedGroups.add(agreed, with: remote.address)
        }
        context.note("group \(number.rawValue) is agreed on")
    }
}
