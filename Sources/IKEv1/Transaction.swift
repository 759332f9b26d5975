import Cryptography
import IPsec
import ISAKMP
import Primitives

/// One Transaction exchange: a request with its reply, or a setting with its acknowledgement
/// (draft-dukes-ike-mode-cfg-02 §3.1.1).
struct Transaction: Sendable {
    /// What we began an exchange for.
    enum Purpose: Hashable, Sendable {
        /// The user's name and password are asked for.
        case credential
        /// The user is told how its authentication ended.
        case verdict(isPassed: Bool)
        /// Addresses are asked for.
        case configuration
        /// Addresses are given unasked.
        case assignment

        var isSetting: Bool {
            switch self {
            case .credential, .configuration: false
            case .verdict, .assignment: true
            }
        }
    }

    var exchange: Exchange
    var chain: CipherChain
    let identifier: UInt16
    /// `nil` where the peer began.
    let purpose: Purpose?
    var attempts = 0
    /// A question that must be answered before we can reply, and the attributes that the reply then holds.
    var question: QuestionID?
    var asked: [DataAttribute] = []

    var messageID: UInt32 { exchange.messageID }

    /// Exchanges that the peer may have under way at a time; one that behaves has one.
    static let maximumFromPeer = 8
}

extension IKEv1Session {
    // MARK: Sending

    /// Begins an exchange: HDR*, HASH, ATTR.
    mutating func beginTransaction(
        _ type: AttributesPayload.MessageType, _ attributes: [DataAttribute], identifier: UInt16? = nil,
        for purpose: Transaction.Purpose, _ context: inout Context
    ) throws(Fault) {
        guard let phaseOne else { throw .dropped("a Transaction exchange needs the ISAKMP SA") }
        let messageID = freshMessageID(&context)
        let identifier = identifier ?? UInt16(truncatingIfNeeded: context.environment.randomness.uint32())
        var transaction = Transaction(
            exchange: Exchange(Exchanges.transaction(sender: role), role: role, messageID: messageID),
            chain: CipherChain(iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: messageID)),
            identifier: identifier, purpose: purpose)
        try send(
            AttributesPayload(type, identifier: identifier, attributes: attributes), in: &transaction, phaseOne.keys,
            &context)
        context.set(
            .retransmit(spi: ownCookie, messageID: messageID), after: context.settings.retransmitDelay(attempt: 0))
        transactions.append(transaction)
    }

    /// Whether a phase 2 exchange has this message ID, which every one has for itself (§3.1.1).
    func isInUse(messageID: UInt32) -> Bool {
        quickModes.contains { $0.messageID == messageID } || transactions.contains { $0.messageID == messageID }
            || groups.offered?.messageID == messageID
    }

    /// HASH = prf(SKEYID_a, M-ID | ATTR), in either direction.
    private func send(
        _ attributes: AttributesPayload, in transaction: inout Transaction, _ keys: PhaseOneKeys,
        _ context: inout Context
    ) throws(Fault) {
        let payload = attributes.payload
        var rest: [UInt8] = []
        PayloadChain.write([payload], to: &rest)
        let hash = try keys.authenticator([transaction.messageID.octets, rest])
        let payloads = [Payload(.hash, body: hash), payload]
        let octets = try transaction.chain.seal(
            payloads, header: header(.transaction, messageID: transaction.messageID), keys: keys)
        transaction.exchange.send(octets)
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        trace(datagram, IKEv1Session.withoutSecrets(payloads), isProtected: true, isOutgoing: true, &context)
        context.emit(.send(datagram))
    }

    /// Replies in an exchange that the peer began.
    mutating func reply(
        _ type: AttributesPayload.MessageType, _ attributes: [DataAttribute], in messageID: UInt32,
        _ context: inout Context
    ) throws(Fault) {
        guard let phaseOne, let index = transactions.firstIndex(where: { $0.messageID == messageID }) else { return }
        var transaction = transactions[index]
        transaction.question = nil
        try send(
            AttributesPayload(type, identifier: transaction.identifier, attributes: attributes), in: &transaction,
            phaseOne.keys, &context)
        transactions[index] = transaction
        context.set(.linger(spi: ownCookie), after: IKEv1Session.lingerTime(context.settings))
    }

    mutating func retransmitTransaction(_ messageID: UInt32, _ context: inout Context) {
        guard let index = transactions.firstIndex(where: { $0.messageID == messageID }),
            transactions[index].purpose != nil, !transactions[index].exchange.isFinished,
            let sent = transactions[index].exchange.sent
        else { return }
        transactions[index].attempts += 1
        let attempts = transactions[index].attempts
        guard attempts <= context.settings.retransmitTries else {
            if case .verdict(false)? = transactions[index].purpose {
                // The peer did not even hear that it failed.
                endExtendedAuthentication(&context)
            } else {
                failPreparation(nil, &context)
            }
            return
        }
        context.report(.retransmitting(messageID: messageID, attempt: attempts))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
        context.set(
            .retransmit(spi: ownCookie, messageID: messageID),
            after: context.settings.retransmitDelay(attempt: attempts))
    }

    // MARK: Receiving

    mutating func receiveTransaction(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard let phaseOne, header.initiator.value == initiatorCookie, header.responder.value == responderCookie,
            header.flags.contains(.encryption)
        else {
            // §3.1.2 permits exchanges in clear; nothing that we would say or hear is fit for them.
            throw .dropped("a Transaction exchange needs the ISAKMP SA of its cookies")
        }
        if let index = transactions.firstIndex(where: { $0.messageID == header.messageID }) {
            try receiveAnswer(datagram, header, phaseOne, index, &context)
        } else {
            try receiveQuestion(datagram, header, phaseOne, &context)
        }
    }

    /// The second message of an exchange that we began, or a repetition.
    private mutating func receiveAnswer(
        _ datagram: Datagram, _ header: Header, _ phaseOne: PhaseOne, _ index: Int, _ context: inout Context
    ) throws(Fault) {
        var transaction = transactions[index]
        if transaction.exchange.isRepetition(datagram.octets) {
            guard let answer = transaction.exchange.answerToRepetition else { return }
            context.report(.noticed(.repeatedRequest(messageID: header.messageID)))
            context.emit(.send(Datagram(local: local, remote: remote, octets: answer)))
            return
        }
        guard let purpose = transaction.purpose else {
            return try receiveSequel(datagram, header, phaseOne, index, &context)
        }
        guard transaction.exchange.awaited != nil else { throw .dropped("this Transaction exchange awaits nothing") }
        // The message ID and the HASH tie an answer to its question; strongSwan's has an identifier of its own.
        let attributes = try open(datagram, header, phaseOne.keys, &transaction, &context)
        guard attributes.type == (purpose.isSetting ? .acknowledge : .reply) else {
            throw .dropped("a request awaits its reply, a setting its acknowledgement")
        }
        follow(datagram, &context)
        transaction.exchange.accept(datagram.octets)
        context.noteAnswered(header.messageID, attempts: transaction.attempts)
        transactions[index] = transaction
        context.cancel(.retransmit(spi: ownCookie, messageID: transaction.messageID))
        context.set(.linger(spi: ownCookie), after: IKEv1Session.lingerTime(context.settings))
        switch purpose {
        case .credential: try receiveCredential(attributes, &context)
        case .verdict(let isPassed): try verdictIsHeard(isPassed: isPassed, &context)
        case .configuration: try receiveConfiguration(attributes.attributes, &context)
        case .assignment: try assignmentIsHeard(&context)
        }
    }

    /// The first message of an exchange of the peer's: authenticate, then answer, now or when a question is answered.
    private mutating func receiveQuestion(
        _ datagram: Datagram, _ header: Header, _ phaseOne: PhaseOne, _ context: inout Context
    ) throws(Fault) {
        guard header.messageID != 0, !phaseOne.spentMessageIDs.contains(header.messageID),
            !quickModes.contains(where: { $0.messageID == header.messageID })
        else { throw .dropped("a phase 2 exchange that is over") }
        guard phaseOne.spentMessageIDs.count < PhaseOne.maximumMessageIDs,
            transactions.count(where: { $0.purpose == nil && !$0.exchange.isFinished }) < Transaction.maximumFromPeer
        else { throw .dropped("too many exchanges on one ISAKMP SA") }
        var transaction = Transaction(
            exchange: Exchange(Exchanges.transaction(sender: role.other), role: role, messageID: header.messageID),
            chain: CipherChain(
                iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: header.messageID)),
            identifier: 0, purpose: nil)
        let attributes = try open(datagram, header, phaseOne.keys, &transaction, &context)
        transaction = Transaction(
            exchange: transaction.exchange, chain: transaction.chain, identifier: attributes.identifier, purpose: nil)
        guard attributes.type == .request || attributes.type == .set else {
            throw .dropped("an exchange begins with a request or a setting")
        }
        try mayBegin(attributes)
        follow(datagram, &context)
        transaction.exchange.accept(datagram.octets)
        forgetFinishedTransactions(keeping: Transaction.maximumFromPeer)
        transactions.append(transaction)
        var spent = phaseOne
        spent.spentMessageIDs.append(header.messageID)
        phase = .established(spent)
        try take(attributes, in: header.messageID, &context)
    }

    /// A setting behind an exchange of the peer's that is over, under the same message ID, which should be another
    /// (draft-dukes-ike-mode-cfg-02 §3.1.1). Libreswan pushes addresses so behind its verdict on the user. It goes on with the IV of
    /// the exchange before, so that no message of that passes for one.
    private mutating func receiveSequel(
        _ datagram: Datagram, _ header: Header, _ phaseOne: PhaseOne, _ index: Int, _ context: inout Context
    ) throws(Fault) {
        guard transactions[index].exchange.isFinished else {
            throw .dropped("this Transaction exchange awaits nothing")
        }
        var sequel = Transaction(
            exchange: Exchange(Exchanges.transaction(sender: role.other), role: role, messageID: header.messageID),
            chain: transactions[index].chain, identifier: 0, purpose: nil)
        let setting = try open(datagram, header, phaseOne.keys, &sequel, &context)
        guard setting.type == .set else { throw .dropped("what follows an exchange under its message ID is a setting") }
        try mayBegin(setting)
        follow(datagram, &context)
        sequel = Transaction(
            exchange: sequel.exchange, chain: sequel.chain, identifier: setting.identifier, purpose: nil)
        sequel.exchange.accept(datagram.octets)
        transactions[index] = sequel
        try take(setting, in: header.messageID, &context)
    }

    private mutating func take(
        _ attributes: AttributesPayload, in messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        let isExtended = attributes.attributes.contains { ConfigurationAttribute.xauthRange.contains($0.type) }
        switch (attributes.type, isExtended) {
        case (.request, true): try answerExtendedRequest(attributes, in: messageID, &context)
        case (_, true): try takeExtendedStatus(attributes, in: messageID, &context)
        case (.request, false): try answerConfigurationRequest(attributes, in: messageID, &context)
        default: try takeAssignment(attributes, in: messageID, &context)
        }
    }

    private func open(
        _ datagram: Datagram, _ header: Header, _ keys: PhaseOneKeys, _ transaction: inout Transaction,
        _ context: inout Context
    ) throws(Fault) -> AttributesPayload {
        let opened = try transaction.chain.open(datagram.octets, header: header, keys: keys)
        try check(opened.payloads, of: transaction.exchange, isEncrypted: true)
        let expected = try keys.authenticator([header.messageID.octets, opened.restOfFirst])
        guard ConstantTime.equal(opened.payloads[0].body, expected) else { throw .dropped("HASH does not hold") }
        trace(datagram, IKEv1Session.withoutSecrets(opened.payloads), isProtected: true, &context)
        let body = opened.payloads.first { $0.type == .attributes }?.body ?? []
        return try Attempt.parsing { () throws(ParseError) in try AttributesPayload(parsing: body) }
    }

    /// The payloads as a trace may show them: no passwords and no passcodes.
    static func withoutSecrets(_ payloads: [Payload]) -> [Payload] {
        payloads.map { payload in
            guard payload.type == .attributes else { return payload }
            // What cannot be read may still hold a password.
            guard var attributes = try? AttributesPayload(parsing: payload.body) else {
                return Payload(.attributes, body: [])
            }
            for index in attributes.attributes.indices {
                switch attributes.attributes[index].type {
                case ConfigurationAttribute.xauthUserPassword, ConfigurationAttribute.xauthPasscode:
                    // The length would tell something, too.
                    if !attributes.attributes[index].value.isEmpty {
                        attributes.attributes[index].value = Array("(hidden)".utf8)
                    }
                default: break
                }
            }
            return attributes.payload
        }
    }

    /// Drops the finished exchanges, but for the newest.
    mutating func forgetFinishedTransactions(keeping count: Int = 0) {
        var surplus = transactions.count(where: \.exchange.isFinished) - count
        transactions.removeAll { transaction in
            guard transaction.exchange.isFinished, surplus > 0 else { return false }
            surplus -= 1
            return true
        }
    }
}
