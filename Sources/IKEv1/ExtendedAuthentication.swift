import Cryptography
import IPsec
import ISAKMP
import Primitives

/// Extended Authentication (draft-beaulieu-ike-xauth-02): between phase 1 and phase 2 one end, the host, also proves who its
/// user is, by name and password, to the other, the edge device. Either may have begun phase 1.
///
///     IPsec host                                              Edge device
///                                        <--  REQUEST(NAME="" PASSWORD="")
///     REPLY(NAME="joe" PASSWORD="foobar")  -->
///                                        <--  SET(STATUS=OK)
///     ACK                                  -->
struct ExtendedAuthentication: Sendable {
    enum State: Sendable {
        case notNeeded
        /// The edge device has asked, the how many-th time.
        case awaitingCredential(attempt: Int)
        /// The edge device looks whether the password is the user's.
        case judging(QuestionID, attempt: Int, user: Identity)
        /// The host waits to be asked, or to hear the verdict.
        case awaitingVerdict
        case passed
        /// The user is not who it says; only the end is left to be told.
        case failed(Refusal)
    }

    var state = State.notNeeded
    /// All messages of one authentication have one identifier (§6).
    var identifier: UInt16?
    /// Requests that the host has answered.
    var answered = 0
    /// The user that the peer has authenticated as, and ours.
    var peerUser: Identity?
    /// What an authentication server allows the peer's.
    var grant: UserGrant?
    var ownUser: Identity?

    /// The edge device's vendor ID and the host's (§4).
    static let vendorID: [UInt8] = [0x09, 0x00, 0x26, 0x89, 0xDF, 0xD6, 0xB7, 0x12]
    /// How often a user may try on one ISAKMP SA; each costs the peer a phase 1.
    static let maximumAttempts = 3
    /// How many requests a host answers: a gateway that asks for a token after the password has enough.
    static let maximumAnswers = 8
    /// Octets of a name or a password.
    static let maximumOctets = 255

    var isPassed: Bool {
        switch state {
        case .notNeeded, .passed: true
        case .awaitingCredential, .judging, .awaitingVerdict, .failed: false
        }
    }

    static let passed: UInt16 = 1
    static let failed: UInt16 = 0
    /// XAUTH-TYPE Generic (§6.3).
    static let generic: UInt64 = 0
}

extension IKEv1Session {
    private typealias Attribute = ConfigurationAttribute

    // MARK: Edge device

    /// Asks for name and password; the `attempt`-th time.
    mutating func askForCredential(attempt: Int, _ context: inout Context) throws(Fault) {
        var attributes = [
            DataAttribute(Attribute.xauthUserName, octets: []), DataAttribute(Attribute.xauthUserPassword, octets: []),
        ]
        if attempt > 1 {
            attributes.insert(
                DataAttribute(Attribute.xauthMessage, octets: Array("Authentication failed, try again".utf8)), at: 0)
        }
        let identifier = extended.identifier ?? UInt16(truncatingIfNeeded: context.environment.randomness.uint32())
        extended.identifier = identifier
        extended.state = .awaitingCredential(attempt: attempt)
        try beginTransaction(.request, attributes, identifier: identifier, for: .credential, &context)
    }

    mutating func receiveCredential(_ reply: AttributesPayload, _ context: inout Context) throws(Fault) {
        guard case .awaitingCredential(let attempt) = extended.state else { throw .dropped("no credential is awaited") }
        func first(_ type: UInt16) -> DataAttribute? { reply.attributes.first { $0.type == type } }
        let limit = 1...ExtendedAuthentication.maximumOctets
        guard first(Attribute.xauthStatus) == nil,
            first(Attribute.xauthType)?.number ?? 0 == ExtendedAuthentication.generic,
            let name = first(Attribute.xauthUserName)?.value, limit.contains(name.count),
            let password = first(Attribute.xauthUserPassword)?.value, limit.contains(password.count)
        else {
            // The host has no name or password for us.
            try pronounce(.userAuthentication(user: nil), &context)
            return
        }
        let user = Identity(user: name)
        // Whom the connection does not want looks like whom nobody knows.
        guard connection?.remoteExtendedRound?.identity.matches(user) == true else {
            try judge(.noCredential, attempt: attempt, user: user, &context)
            return
        }
        let question = context.environment.freshQuestionID()
        extended.state = .judging(question, attempt: attempt, user: user)
        guard connection?.remoteExtendedRound?.asksServer == true else {
            context.emit(.ask(question, .checkPassword(Secret(password), of: user)))
            return
        }
        context.emit(
            .ask(
                question,
                .relayUser(
                    UserRelay(
                        session: id, connection: connection?.name ?? "", local: local, remote: remote, user: user,
                        message: .password(Secret(password))))))
    }

    private mutating func judge(
        _ answer: Answer, attempt: Int, user: Identity, _ context: inout Context
    ) throws(Fault) {
        var isRight = false
        var reason = "the password of '\(user)' is not right, or nobody has that name"
        switch answer {
        case .verified(let peer): isRight = peer.identity == user
        case .relayed(.accepted(let grant, _)):
            if let round = connection?.remoteExtendedRound, !round.admits(groups: grant.groups) {
                // No other password would bring the user into a group.
                return try pronounce(.groups(user: user, wanted: round.groups, has: grant.groups), &context)
            }
            isRight = true
            extended.grant = grant
        case .relayed(.unreachable):
            // Another password would be asked for in vain.
            context.note("no authentication server answers for '\(user)'")
            return try pronounce(.userAuthentication(user: user), &context)
        case .relayed: reason = "the authentication server refuses '\(user)'"
        default: break
        }
        if isRight {
            extended.state = .passed
            extended.peerUser = user
            let status = DataAttribute(Attribute.xauthStatus, ExtendedAuthentication.passed)
            try beginTransaction(
                .set, [status], identifier: extended.identifier, for: .verdict(isPassed: true), &context)
            try stand(&context)
            return
        }
        context.note(reason)
        if attempt < ExtendedAuthentication.maximumAttempts {
            try askForCredential(attempt: attempt + 1, &context)
        } else {
            try pronounce(.userAuthentication(user: user), &context)
        }
    }

    /// The user has failed: it is told, and then the ISAKMP SA is deleted (§6).
    private mutating func pronounce(_ refusal: Refusal, _ context: inout Context) throws(Fault) {
        extended.state = .failed(refusal)
        let status = DataAttribute(Attribute.xauthStatus, ExtendedAuthentication.failed)
        try beginTransaction(.set, [status], identifier: extended.identifier, for: .verdict(isPassed: false), &context)
    }

    /// The host has acknowledged the verdict.
    mutating func verdictIsHeard(isPassed: Bool, _ context: inout Context) throws(Fault) {
        guard isPassed else {
            endExtendedAuthentication(&context)
            return
        }
        try configure(&context)
    }

    mutating func endExtendedAuthentication(_ context: inout Context) {
        guard case .failed(let refusal) = extended.state else { return }
        failPreparation(refusal, &context)
    }

    // MARK: Host

    /// The peer asks for our user's name and password. It has authenticated itself in phase 1; whether it may ask is for
    /// the connection to say.
    mutating func answerExtendedRequest(
        _ request: AttributesPayload, in messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        let known = [
            Attribute.xauthType, Attribute.xauthUserName, Attribute.xauthUserPassword, Attribute.xauthPasscode,
            Attribute.xauthMessage,
        ]
        let asked = Set(request.attributes.map(\.type))
        let type = request.attributes.first { $0.type == Attribute.xauthType }
        guard let round = connection?.localExtendedRound,
            extended.answered < ExtendedAuthentication.maximumAnswers, asked.isSubset(of: known),
            type?.number ?? 0 == ExtendedAuthentication.generic
        else {
            if connection?.localExtendedRound == nil {
                context.note("the peer asks for a user's name and password, and the connection has none to give")
            } else {
                context.note("the peer asks for what Extended Authentication by name and password does not have")
            }
            try decline(type, in: messageID, &context)
            return
        }
        if let message = request.attributes.first(where: { $0.type == Attribute.xauthMessage }), !message.value.isEmpty
        {
            context.note("the peer says: \(NetworkInformation.text(message.value))")
        }
        extended.answered += 1
        extended.identifier = request.identifier
        let user = round.exactIdentity ?? localIdentity ?? Identity(local.address)
        extended.ownUser = user
        let question = context.environment.freshQuestionID()
        if let index = transactions.firstIndex(where: { $0.messageID == messageID }) {
            transactions[index].question = question
            transactions[index].asked = request.attributes
        }
        context.emit(.ask(question, .password(of: user, for: remoteIdentity ?? Identity(remote.address))))
    }

    /// The proper attributes cannot be given (§6.1): STATUS=FAIL.
    private mutating func decline(
        _ type: DataAttribute?, in messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        let status = DataAttribute(Attribute.xauthStatus, ExtendedAuthentication.failed)
        try reply(.reply, (type.map { [$0] } ?? []) + [status], in: messageID, &context)
    }

    private mutating func surrender(
        _ answer: Answer, in messageID: UInt32, asked: [DataAttribute], _ context: inout Context
    ) throws(Fault) {
        let type = asked.first { $0.type == Attribute.xauthType }
        guard case .password(let password) = answer, let user = extended.ownUser else {
            context.note("no password is configured for '\(extended.ownUser.map { "\($0)" } ?? "")'")
            try decline(type, in: messageID, &context)
            return
        }
        // XAUTH-TYPE comes back where it was said, and only there (§6.2).
        let attributes = asked.compactMap { attribute -> DataAttribute? in
            switch attribute.type {
            case Attribute.xauthType: attribute
            case Attribute.xauthUserName: DataAttribute(attribute.type, octets: user.userName)
            case Attribute.xauthUserPassword, Attribute.xauthPasscode:
                DataAttribute(attribute.type, octets: password.exposed)
            default: nil
            }
        }
        try reply(.reply, attributes, in: messageID, &context)
    }

    /// The verdict. A gateway that knows its peer already may say it without having asked (§5.5).
    mutating func takeExtendedStatus(
        _ setting: AttributesPayload, in messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        guard let status = setting.attributes.first(where: { $0.type == Attribute.xauthStatus })?.number,
            connection?.localExtendedRound != nil
        else {
            try reply(.acknowledge, [], in: messageID, &context)
            return
        }
        if let message = setting.attributes.first(where: { $0.type == Attribute.xauthMessage }), !message.value.isEmpty
        {
            context.note("the peer says: \(NetworkInformation.text(message.value))")
        }
        // The acknowledgement's attributes are not relevant (§6.1).
        try reply(.acknowledge, [], in: messageID, &context)
        guard status == UInt64(ExtendedAuthentication.passed) else {
            let refusal = Refusal.userRefused(user: extended.ownUser ?? connection?.localExtendedRound?.exactIdentity)
            extended.state = .failed(refusal)
            failPreparation(refusal, &context)
            return
        }
        guard case .awaitingVerdict = extended.state else { return }
        extended.state = .passed
        try stand(&context)
    }

    // MARK: Answers

    /// Whether the question is one of Extended Authentication's, and then goes on with its answer.
    mutating func receiveExtended(
        _ answer: Answer, to question: QuestionID, _ context: inout Context
    ) throws(Fault) -> Bool {
        if case .judging(question, let attempt, let user) = extended.state {
            try judge(answer, attempt: attempt, user: user, &context)
            return true
        }
        guard let transaction = transactions.first(where: { $0.question == question }) else { return false }
        try surrender(answer, in: transaction.messageID, asked: transaction.asked, &context)
        return true
    }
}
