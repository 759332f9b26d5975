package import Cryptography
package import Primitives

/// Our end of dynamic authorization (RFC 5176): a server ends sessions or changes them. A value; a request that comes again gets
/// the answer that it got.
package struct DynamicAuthorization: Sendable {
    package enum Action: Hashable, Sendable {
        /// Disconnect-Request.
        case end
        /// CoA-Request with this Session-Timeout, in seconds.
        case limit(UInt32)
    }

    /// Whom a request means: all that it says must fit.
    package struct Selection: Hashable, Sendable {
        package var userName: [UInt8]?
        package var accountingSession: [UInt8]?
        package var addresses: [IPAddress] = []
        package var isEmpty: Bool { userName == nil && accountingSession == nil && addresses.isEmpty }
    }

    package enum Step: Sendable {
        case reply([UInt8])
        /// What to do; ``conclude(_:_:)`` makes the answer of how many sessions it was done to.
        case perform(Action, Selection, RADIUSPacket)
        case ignore
    }

    /// Error-Cause (RFC 5176 §3.5).
    private enum Cause {
        static let missingAttribute: UInt32 = 402
        static let unsupportedAttribute: UInt32 = 401
        static let contextNotFound: UInt32 = 503
    }

    private struct Answered: Sendable {
        var authenticator: [UInt8]
        var octets: [UInt8]
    }

    /// Answers that are kept for requests that come again.
    static let maximumAnswers = 64

    private let secret: Secret
    private var answered: [Answered] = []

    package init(secret: Secret) { self.secret = secret }

    package mutating func receive(_ octets: [UInt8]) -> Step {
        guard let packet = try? RADIUSPacket(parsing: octets),
            packet.code == .disconnectRequest || packet.code == .coaRequest, packet.isRequest(secret)
        else { return .ignore }
        if let known = answered.first(where: { $0.authenticator == packet.authenticator }) {
            return .reply(known.octets)
        }
        var selection = Selection()
        selection.userName = packet.first(.userName)
        selection.accountingSession = packet.first(.accountingSessionID)
        selection.addresses = [packet.first(.framedIPAddress), packet.first(.framedIPv6Address)].compactMap { value in
            value.flatMap { IPAddress(octets: $0) }
        }
        // What else would tell sessions apart must not be passed over, lest others end (RFC 5176 §3).
        let understood: Set<RADIUSAttribute.Kind> = [
            .userName, .accountingSessionID, .framedIPAddress, .framedIPv6Address, .messageAuthenticator,
            .eventTimestamp, .nasIdentifier, .nasIPAddress, .nasIPv6Address, .sessionTimeout, .replyMessage, .classText,
            .state, .terminateCause,
        ]
        guard packet.attributes.allSatisfy({ understood.contains($0.kind) }) else {
            return reply(packet, isDone: false, Cause.unsupportedAttribute)
        }
        if selection.isEmpty { return reply(packet, isDone: false, Cause.missingAttribute) }
        if packet.code == .disconnectRequest { return .perform(.end, selection, packet) }
        guard let limit = RADIUSAttribute.number(packet.first(.sessionTimeout)), limit > 0 else {
            return reply(packet, isDone: false, Cause.missingAttribute)
        }
        return .perform(.limit(limit), selection, packet)
    }

    package mutating func conclude(_ request: RADIUSPacket, count: Int) -> [UInt8] {
        guard case .reply(let octets) = reply(request, isDone: count > 0, Cause.contextNotFound) else { return [] }
        return octets
    }

    private mutating func reply(_ request: RADIUSPacket, isDone: Bool, _ cause: UInt32) -> Step {
        let code: RADIUSPacket.Code =
            switch (request.code, isDone) {
            case (.coaRequest, true): .coaACK
            case (.coaRequest, false): .coaNAK
            case (_, true): .disconnectACK
            case (_, false): .disconnectNAK
            }
        let answer = RADIUSPacket(
            code, identifier: request.identifier, isDone ? [] : [RADIUSAttribute(.errorCause, cause)])
        guard let octets = try? answer.signedResponse(secret, to: request).octets else { return .ignore }
        answered.append(Answered(authenticator: request.authenticator, octets: octets))
        if answered.count > Self.maximumAnswers { answered.removeFirst() }
        return .reply(octets)
    }
}
