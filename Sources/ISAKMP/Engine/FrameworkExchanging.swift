import Primitives

/// How a session's exchanges proceed: messages in, answers in, messages out.
extension FrameworkSession {
    /// Repetitions that are answered in one exchange: a peer that repeats itself for ever is not followed.
    static var maximumRepetitions: Int { 16 }

    // MARK: Arriving

    mutating func receive(_ octets: [UInt8], _ context: inout Context) {
        var reader = ByteReader(octets)
        guard let header = try? Header(from: &reader), header.majorVersion == 1,
            Int(header.length) == octets.count
        else { return context.drop("a version 1 message of the length that it says") }
        let isCookie = header.initiator.isZero && awaitsCookie(of: header.exchange)
        guard header.initiator == initiatorCookie || isCookie else {
            return context.drop("the cookies are another SA's")
        }
        let isFirstAnswer = role == .initiator && responderCookie.isZero
        // Message 1 does not know our cookie, nor does its repetition.
        let isFirst = role == .responder && header.responder.isZero && (phaseOne?.run.exchange.passed ?? 3) <= 2
        guard header.responder == responderCookie || isFirstAnswer || isFirst else {
            return context.drop("the cookies are another SA's")
        }
        if header.exchange == .informational { return receiveInformational(octets, header, context: &context) }
        guard let live = live(header, &context) else { return }
        receive(octets, header, live, &context)
    }

    /// Whether our request for a cookie is out: its answer has none of ours (RFC 2412 §2.4.3).
    package func awaitsCookie(of type: ExchangeType) -> Bool {
        guard role == .initiator, let run = phaseOne?.run else { return false }
        return run.description.beginsWithCookies && run.description.type == type && run.exchange.passed == 1
    }

    /// The exchange that a message belongs to; a new one where the peer may begin it.
    private mutating func live(_ header: Header, _ context: inout Context) -> Live? {
        if header.messageID == 0 {
            guard var phaseOne, phaseOne.run.description.type == header.exchange else {
                context.drop("exchange \(header.exchange.rawValue) is not awaited")
                return nil
            }
            // A responder's time runs from the first message.
            if phaseOne.outcome == nil, phaseOne.deadline == nil {
                phaseOne.deadline = context.now + settings.exchangeTimeout
            }
            return phaseOne
        }
        if let live = phaseTwo[header.messageID] {
            guard live.run.description.type == header.exchange else {
                context.drop("another exchange has this message ID")
                return nil
            }
            return live
        }
        guard let parent else {
            context.drop("there is no SA for a second phase yet")
            return nil
        }
        guard let offering = offerings.first(where: { $0.description.type == header.exchange }) else {
            context.drop("exchange \(header.exchange.rawValue) is not accepted")
            return nil
        }
        guard phaseTwo.count < settings.maximumExchanges else {
            context.drop("too many exchanges at a time")
            return nil
        }
        var live = Live(
            run: Run(
                offering.description, role: .responder, messageID: header.messageID, functions: functions,
                policy: inherited(offering.policy, parent, role: .responder)))
        live.run.setCookies(initiator: initiatorCookie, responder: responderCookie)
        live.deadline = context.now + settings.exchangeTimeout
        return live
    }

    private mutating func receive(
        _ octets: [UInt8], _ header: Header, _ current: Live, _ context: inout Context
    ) {
        var live = current
        if live.run.exchange.isRepetition(octets) { return repeatAnswer(live, &context) }
        guard live.pending == nil, live.question == nil else {
            return context.drop("another message of the exchange is being looked at")
        }
        guard let rule = live.run.exchange.awaited else { return context.drop("no message is awaited") }
        var next = self
        let isInitiatorsFirst = role == .initiator && responderCookie.isZero
        if isInitiatorsFirst {
            guard !header.responder.isZero else { return context.drop("the responder has no cookie") }
            next.responderCookie = header.responder
        }
        live.run.setCookies(initiator: initiatorCookie, responder: next.responderCookie)
        let isEncrypted = header.flags.contains(.encryption)
        guard isEncrypted == isSealed(rule, live) else { return context.drop("the message's protection is wrong") }
        var number: UInt64?
        let payloads: [Payload]
        if isEncrypted {
            if next.protection == nil {
                do throws(Run.Fault) {
                    try next.prepareProtection(&live.run)
                } catch { return context.drop("no key for it yet") }
            }
            guard let opened = next.open(octets, header), next.isFresh(opened.number) else {
                return context.drop("it is not authentic, or was seen before")
            }
            (payloads, number) = opened
        } else {
            var reader = ByteReader(octets[Header.octetCount...])
            guard let clear = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads,
                reader.isAtEnd
            else { return context.drop("its payloads cannot be read") }
            payloads = clear
        }
        live.pending = Arrival(octets: octets, header: header, payloads: payloads, isEncrypted: rule.isEncrypted)
        next.judgePending(&live, &context)
        if next.isClosed {
            self = next
            return
        }
        // Nothing of a message that was refused is kept but the numbers that were used up; one that waits for an answer,
        // or was taken, is.
        guard live.pending != nil || live.run.exchange.passed > current.run.exchange.passed else {
            protection = next.protection
            return
        }
        if let number { next.noteNumber(number) }
        // A finished exchange may have been dropped for its failure.
        let isGone = current.id != 0 && live.outcome == nil && live.run.exchange.isFinished && !live.awaitsConnected
        if !isGone { next.store(live) }
        self = next
    }

    /// Whether a message goes under the SA: it says so, or the exchange is one of the second phase that leaves its protection
    /// to the SA.
    func isSealed(_ rule: MessageRule, _ live: Live) -> Bool {
        rule.isEncrypted || live.run.exchange.messageID != 0 && !live.run.description.protectsItself
    }

    // MARK: Judging

    /// Judges the pending message as far as answers go, and goes on.
    private mutating func judgePending(_ live: inout Live, _ context: inout Context) {
        guard let arrival = live.pending else { return }
        var attempt = live.run
        do throws(Run.Fault) {
            try attempt.judge(arrival.payloads, isEncrypted: arrival.isEncrypted)
        } catch {
            switch error {
            case .needs(let question):
                live.run.keepDraws(of: attempt)
                ask(question, &live, &context)
            case .refused(let refusal):
                live.pending = nil
                live.run.finishStep()
                refuse(refusal, arrival, &live, &context)
            }
            return
        }
        let rule = attempt.exchange.awaited
        attempt.exchange.accept(arrival.octets)
        live.run = attempt
        live.pending = nil
        live.resendAt = nil
        live.resends = 0
        if arrival.header.flags.contains(.commit), live.run.exchange.messageID != 0 || parent == nil {
            live.peerCommits = true
        }
        if role == .initiator, live.id == 0, live.run.exchange.passed == 2,
            arrival.payloads.contains(where: { $0.type == .vendorID && $0.body == StatelessAnswer.vendorID })
        {
            echo = live.run.exchange.sent
        }
        if let rule {
            trace(false, live, rule, arrival.header, arrival.payloads, arrival.octets, &context)
        }
        advance(&live, &context)
    }

    /// A message that is refused changes nothing, for anybody may have sent it. Only a first one ends what it began, and a
    /// responder says why no offer fits (RFC 2408 §4.4: "one possible action").
    private mutating func refuse(
        _ refusal: ExchangeRefusal, _ arrival: Arrival, _ live: inout Live, _ context: inout Context
    ) {
        context.report(.failed(messageID: live.run.exchange.messageID, refusal))
        guard live.run.role == .responder, live.run.exchange.passed == 0 else { return }
        if live.run.exchange.messageID != 0 {
            if let type = refusal.notification {
                inform(
                    [NotificationPayload(doi: Functions.DOI.identifier, protocolID: 1, type: type).payload], &context)
            }
            return
        }
        if let type = refusal.notification {
            let notification = NotificationPayload(doi: Functions.DOI.identifier, protocolID: 1, type: type)
            let header = Header(
                initiator: initiatorCookie, responder: responderCookie, majorVersion: 1, exchange: .informational,
                messageID: context.randomness.uint32() | 1)
            let octets = Message(header: header, payloads: [notification.payload]).octets
            // No more than came.
            if octets.count <= arrival.octets.count { context.send(octets) }
        }
        close(.failed, &context)
    }

    // MARK: Asking

    private mutating func ask(_ question: ExchangeQuestion<Key>, _ live: inout Live, _ context: inout Context) {
        lastQuestion += 1
        live.question = lastQuestion
        context.effects.append(.ask(lastQuestion, question))
    }

    mutating func receive(_ answer: ExchangeAnswer<Key>, to question: UInt64, _ context: inout Context) {
        guard var live = ([phaseOne].compactMap(\.self) + phaseTwo.values).first(where: { $0.question == question })
        else { return context.drop("nobody asked this") }
        live.question = nil
        live.run.answers.append(answer)
        if live.pending != nil {
            judgePending(&live, &context)
        } else {
            advance(&live, &context)
        }
        if isClosed { return }
        // A second-phase exchange that was refused with its first message is gone.
        if live.run.exchange.messageID != 0, live.run.role == .responder, live.run.exchange.passed == 0,
            live.pending == nil, live.question == nil
        {
            phaseTwo[live.run.exchange.messageID] = nil
            return
        }
        store(live)
    }

    // MARK: Saying

    /// Says what is ours to say, and finishes where nothing is left.
    mutating func advance(_ live: inout Live, _ context: inout Context) {
        let exchange = live.run.exchange
        if exchange.isFinished { return finish(&live, &context) }
        guard exchange.awaited == nil else { return waitForPeer(&live, &context) }
        let rule = live.run.description.messages[exchange.passed]
        live.run.setCookies(initiator: initiatorCookie, responder: responderCookie)
        var attempt = live.run
        do throws(Run.Fault) {
            var payloads = try attempt.say(&context.randomness)
            if role == .initiator, live.run.exchange.messageID == 0, exchange.passed == 0 {
                payloads.append(Payload(.vendorID, body: StatelessAnswer.vendorID))
            }
            if wantsEcho, live.run.exchange.messageID == 0, exchange.passed == 1 {
                payloads.append(Payload(.vendorID, body: StatelessAnswer.vendorID))
            }
            if let echo, exchange.messageID == 0, exchange.passed == 2 {
                payloads.append(Payload(.echo, body: echo))
            }
            let isCookieRequest = attempt.description.beginsWithCookies && exchange.passed == 0
            if isCookieRequest { payloads = [] }
            var header = Header(
                initiator: isCookieRequest ? .zero : initiatorCookie, responder: responderCookie, majorVersion: 1,
                exchange: attempt.description.type, messageID: exchange.messageID)
            if settings.commits, exchange.role == .responder, attempt.description.result != nil {
                header.flags.insert(.commit)
                live.weCommit = true
            }
            let octets: [UInt8]
            if isSealed(rule, live) {
                try prepareProtection(&attempt)
                octets = try seal(payloads, header: header)
            } else {
                octets = Message(header: header, payloads: payloads).octets
            }
            // An address that has shown nothing yet gets no more than three times what came from it.
            if exchange.role == .responder, exchange.messageID == 0, exchange.passed < 3,
                octets.count > 3 * exchange.receivedOctets
            {
                throw .refused(.unprepared("the answer is more than three times the question"))
            }
            attempt.exchange.send(octets)
            live.run = attempt
            var shown = header
            shown.nextPayload = payloads.first?.type ?? .none
            shown.length = UInt32(octets.count)
            trace(true, live, rule, shown, payloads, octets, &context)
            context.send(octets)
        } catch {
            switch error {
            case .needs(let question):
                live.run.keepDraws(of: attempt)
                ask(question, &live, &context)
            case .refused(let refusal): fail(live, refusal, &context)
            }
            return
        }
        if live.run.exchange.isFinished { finish(&live, &context) } else { waitForPeer(&live, &context) }
    }

    /// We wait for the peer, and say our last message again from time to time: not to an address that has shown nothing yet.
    private func waitForPeer(_ live: inout Live, _ context: inout Context) {
        let exchange = live.run.exchange
        let isProven = exchange.role == .initiator || exchange.messageID != 0 || exchange.passed > 2
        guard isProven, exchange.sent != nil else { return }
        live.resendAt = context.now + settings.retransmitTimeout * Int(1 << min(live.resends, 16))
    }

    private mutating func finish(_ live: inout Live, _ context: inout Context) {
        guard live.outcome == nil else { return }
        if live.id == 0, live.run.description.protection != nil, live.run.isPeerProven {
            do throws(Run.Fault) {
                try prepareProtection(&live.run)
            } catch { return fail(live, .unprepared("protection"), &context) }
        }
        if live.peerCommits, !live.weCommit, !live.heardConnected, live.run.description.result != nil {
            live.awaitsConnected = true
            live.resendAt = context.now + settings.retransmitTimeout
            return
        }
        live.awaitsConnected = false
        guard live.run.isPeerProven else { return fail(live, .authentication, &context) }
        let outcome: ExchangeOutcome<Key>
        do throws(Run.Fault) {
            let result = try live.run.result()
            let name = try live.run.resultName()
            outcome = ExchangeOutcome(
                description: live.run.description, role: live.run.role, messageID: live.run.exchange.messageID,
                key: result?.key, keyName: name, suite: live.run.suite, choice: live.run.choice,
                peerIdentity: live.run.peerIdentity ?? parent?.peerIdentity,
                ownIdentity: live.run.ownIdentity ?? parent?.ownIdentity,
                delivered: live.run.delivered)
        } catch {
            return fail(live, .unprepared("result"), &context)
        }
        live.outcome = outcome
        live.resendAt = nil
        if live.run.exchange.messageID == 0 {
            live.deadline = nil
            parent = outcome
            expiresAt = context.now + settings.lifetime
        } else {
            live.deadline = context.now + settings.linger
        }
        if live.weCommit { live.connected = sayConnected(live.run.exchange.messageID, &context) }
        context.report(.finished(outcome))
    }

    private mutating func fail(_ live: Live, _ refusal: ExchangeRefusal?, _ context: inout Context) {
        let messageID = live.run.exchange.messageID
        context.report(.failed(messageID: messageID, refusal))
        if messageID == 0 { close(.failed, &context) } else { phaseTwo[messageID] = nil }
    }

    // MARK: Repeating

    private mutating func repeatAnswer(_ current: Live, _ context: inout Context) {
        var live = current
        guard live.answersToRepetition < Self.maximumRepetitions else {
            return context.drop("the peer has repeated itself too often")
        }
        live.answersToRepetition += 1
        if let answer = live.run.exchange.answerToRepetition { context.send(answer) }
        if let connected = live.connected { context.send(connected) }
        store(live)
    }

    mutating func fireDeadlines(_ context: inout Context) {
        if let expiresAt, expiresAt <= context.now {
            sayFarewell(&context)
            return close(.expired, &context)
        }
        for live in [phaseOne].compactMap(\.self) + phaseTwo.values.sorted(by: { $0.id < $1.id }) {
            guard !isClosed else { return }
            fireDeadlines(live, &context)
        }
    }

    private mutating func fireDeadlines(_ current: Live, _ context: inout Context) {
        var live = current
        if let deadline = live.deadline, deadline <= context.now {
            if live.outcome != nil {
                phaseTwo[live.id] = nil
                return
            }
            return fail(live, nil, &context)
        }
        guard let resendAt = live.resendAt, resendAt <= context.now else { return }
        guard live.resends < settings.retransmissions, let sent = live.run.exchange.sent else {
            // The whole exchange's deadline ends it: a late answer is still welcome.
            live.resendAt = nil
            if live.deadline == nil { return fail(live, nil, &context) }
            return store(live)
        }
        live.resends += 1
        context.send(sent)
        live.resendAt = context.now + settings.retransmitTimeout * Int(1 << min(live.resends, 16))
        store(live)
    }

    // MARK: The second phase

    mutating func begin(
        _ description: ExchangeDescription, _ policy: ExchangePolicy<Key>, _ context: inout Context
    ) {
        guard let parent, phaseTwo.count < settings.maximumExchanges else {
            return context.drop("there is no SA for a second phase, or too much on it")
        }
        var messageID = context.randomness.uint32()
        while messageID == 0 || phaseTwo[messageID] != nil { messageID = context.randomness.uint32() }
        var live = Live(
            run: Run(
                description, role: .initiator, messageID: messageID, functions: functions,
                policy: inherited(policy, parent, role: .initiator)))
        live.deadline = context.now + settings.exchangeTimeout
        phaseTwo[messageID] = live
        advance(&live, &context)
        if phaseTwo[messageID] != nil { store(live) }
    }

    /// What an exchange of the second phase takes over: the key, the suite, and the identities, which have been proved.
    private func inherited(
        _ policy: ExchangePolicy<Key>, _ parent: ExchangeOutcome<Key>, role: Role
    ) -> ExchangePolicy<Key> {
        var policy = policy
        if let key = parent.key { policy.given[.parentKey] = .secret(key) }
        if policy.suite == nil { policy.suite = parent.suite }
        let identities = [parent.ownIdentity, parent.peerIdentity]
        for (symbol, identity) in zip(
            [Symbol.initiatorIdentity, .responderIdentity], role == .initiator ? identities : identities.reversed())
        where policy.given[symbol] == nil { policy.given[symbol] = identity.map { .open($0) } }
        return policy
    }

    private func trace(
        _ isSent: Bool, _ live: Live, _ rule: MessageRule, _ header: Header, _ payloads: [Payload],
        _ octets: [UInt8], _ context: inout Context
    ) {
        context.report(
            .message(
                TracedMessage(
                    isSent: isSent, exchange: live.run.description.name, number: live.run.exchange.passed,
                    header: header, payloads: payloads, isEncrypted: isSealed(rule, live), elements: rule.elements,
                    octets: octets)))
    }
}

extension FrameworkSession.Live {
    var id: UInt32 { run.exchange.messageID }
}

extension ExchangeRun {
    /// What elements carried besides nonces, identities and the like.
    var delivered: [Symbol: Value<Key>] {
        var delivered: [Symbol: Value<Key>] = [:]
        for element in description.messages.flatMap(\.elements) {
            for symbol in element.contributions where symbol.kind == .given { delivered[symbol] = values[symbol] }
        }
        return delivered
    }
}

extension ExchangeRefusal {
    /// What a responder tells of it before anybody is authenticated; `nil` for nothing.
    package var notification: UInt16? {
        switch self {
        case .noProposalChosen: NotificationType.noProposalChosen
        case .grammar, .malformed, .badChoice, .invalidValue, .contradiction, .identity, .authentication, .unreadable,
            .unprepared:
            nil
        }
    }
}
