import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// Why a message or an exchange went wrong, grouped by who is to blame.
enum Fault: Error {
    // Malformed input
    case malformed(ParseError)
    case unknownCriticalPayload(PayloadType)
    /// The integrity check fails: nothing of the message may have any effect.
    case unauthentic
    // The peer broke the protocol
    case violation(String)
    /// Outside the window, in a state that does not await it, or not for us: dropped.
    case unexpected(String)
    // Our policy refuses
    case noConnection(local: IPAddress, remote: IPAddress)
    case noProposal(SecurityProtocol, Mismatch)
    case selectors(Refusal)
    case identity(wanted: [IdentityPattern], seen: Identity)
    case authentication(Identity)
    /// The proof is of another method than the connection wants; both are values of `auth`.
    case method(Identity, wanted: String, seen: String)
    case noCredential(local: Identity, remote: Identity)
    case certificate(ChainReport)
    case rounds(RoundFault)
    /// The user is in none of the groups that the connection is for.
    case groups(user: Identity, wanted: [String], has: [String])
    /// Another group is wanted than that of the KE payload.
    case otherGroup(KeyExchangeID)
    /// The pools have no address for the peer, or the peer has none for us.
    case noVirtualAddress(isOurs: Bool)
    /// The peer wants no virtual address, and the connection has no child for a host without one.
    case configurationRequired
    /// The peer says why there is nothing.
    case refusedByPeer(NotifyPayload)
    case temporary(String)
    case childNotFound(SPI)
    /// A follow-up to an exchange that is not here (any more).
    case stateNotFound
    /// A ticket of session resumption is none to go by.
    case ticket(String)
    /// This peer belongs to another gateway.
    case redirected(RedirectGateway, nonce: [UInt8])
    // Our own limits
    case tooManyChildren
    /// There is no further clone of the IKE SA (RFC 7791 §5.3).
    case notCloned(String)
    /// There are enough children with the same selectors.
    case tooManyQueues(Int)
    case cryptography(String)

    /// Whether it refuses a child, and says nothing against the IKE SA.
    var isAboutChild: Bool {
        switch self {
        case .noProposal(.ike, _): false
        case .noProposal, .selectors, .noVirtualAddress, .configurationRequired, .tooManyChildren, .tooManyQueues: true
        default: false
        }
    }

    /// The refusal that observers see.
    var refusal: Refusal {
        switch self {
        case .malformed(let error): .protocolViolation(error.description)
        case .unknownCriticalPayload(let type): .protocolViolation("critical payload of unknown type \(type.rawValue)")
        case .unauthentic: .protocolViolation("the integrity check fails")
        case .violation(let rule): .protocolViolation(rule)
        case .unexpected(let reason): .protocolViolation(reason)
        case .noConnection(let local, let remote): .noConnection(local: local, remote: remote)
        case .noProposal(let number, let mismatch): .noProposal(number, mismatch)
        case .selectors(let refusal): refusal
        case .identity(let wanted, let seen): .identity(wanted: wanted, seen: seen)
        case .authentication(let peer): .authentication(peer: peer)
        case .method(let peer, let wanted, let seen): .method(peer: peer, wanted: [wanted], seen: [seen])
        case .noCredential(let local, let remote): .noCredential(local: local, remote: remote)
        case .certificate(let report): .certificate(report)
        case .rounds(let fault): .rounds(fault)
        case .groups(let user, let wanted, let has): .groups(user: user, wanted: wanted, has: has)
        case .otherGroup(let group): .policy("key exchange \(group.name.keyword) is wanted")
        case .noVirtualAddress(true): .policy("the peer has no virtual address for us")
        case .noVirtualAddress(false): .policy("no virtual address is free for the peer")
        case .configurationRequired: .policy("the peer asks for no virtual address, and has to")
        case .refusedByPeer(let error): .peer(notification: error.type.rawValue, name: error.type.name)
        case .temporary(let reason): .policy(reason)
        case .childNotFound(let spi): .policy("no child with SPI \(spi)")
        case .stateNotFound: .policy("no exchange that this one could follow up on")
        case .ticket(let why): .policy("the ticket is not taken: \(why)")
        case .redirected(let gateway, _): .policy("sent on to \(gateway)")
        case .tooManyChildren: .policy("an IKE SA holds at most \(IKESession.maximumChildren) children")
        case .notCloned(let reason): .policy(reason)
        case .tooManyQueues(let most): .policy("at most \(most) children have the same selectors")
        case .cryptography(let reason): .policy(reason)
        }
    }

    /// The notification that tells the peer: the only place where an error becomes a wire code. `nil` where RFC 7296
    /// §2.21 wants silence.
    var notification: NotifyPayload? {
        switch self {
        case .malformed, .violation: NotifyPayload(.invalidSyntax)
        case .unknownCriticalPayload(let type): NotifyPayload(.unsupportedCriticalPayload, data: [type.rawValue])
        case .unauthentic, .unexpected, .refusedByPeer: nil
        case .noConnection, .noProposal, .cryptography: NotifyPayload(.noProposalChosen)
        case .selectors: NotifyPayload(.selectorsUnacceptable)
        case .identity, .authentication, .method, .noCredential, .certificate, .rounds, .groups:
            NotifyPayload(.authenticationFailed)
        case .otherGroup(let group):
            NotifyPayload(
                .invalidKeyExchange,
                data: [UInt8(truncatingIfNeeded: group.rawValue >> 8), UInt8(truncatingIfNeeded: group.rawValue)])
        case .noVirtualAddress: NotifyPayload(.internalAddressFailure)
        case .configurationRequired: NotifyPayload(.failedConfigurationRequired)
        case .temporary: NotifyPayload(.temporaryFailure)
        case .childNotFound(let spi): NotifyPayload(.childNotFound, protocol: .esp, spi: spi.octets)
        case .stateNotFound: NotifyPayload(.stateNotFound)
        case .ticket: NotifyPayload(.ticketNack)
        case .redirected(let gateway, let nonce):
            NotifyPayload(.redirect, data: RedirectData(gateway, nonce: nonce).octets)
        case .tooManyQueues: NotifyPayload(.maximumQueues)
        case .tooManyChildren, .notCloned: NotifyPayload(.noAdditionalSAs)
        }
    }

    /// Whether the IKE SA ends with the answer (RFC 7296 §2.21.3).
    var isFatal: Bool {
        switch self {
        case .malformed, .violation: true
        default: false
        }
    }
}

/// Runs a parser, a cipher or a key agreement and gives its error our own form.
enum Attempt {
    static func parsing<Result>(_ body: () throws(ParseError) -> Result) throws(Fault) -> Result {
        do throws(ParseError) { return try body() } catch { throw .malformed(error) }
    }

    static func cryptography<Result>(_ body: () throws(CryptographyError) -> Result) throws(Fault) -> Result {
        do throws(CryptographyError) { return try body() } catch {
            switch error {
            case .unsupported(let name): throw .cryptography("\(name) is not available")
            case .invalidKey: throw .cryptography("a key has the wrong length")
            case .authenticationFailed: throw .unauthentic
            case .libraryFailure(let call): throw .cryptography("the cryptographic library failed in \(call)")
            }
        }
    }

    static func keyDetermination<Result>(_ body: () throws(OakleyError) -> Result) throws(Fault) -> Result {
        do throws(OakleyError) { return try body() } catch {
            switch error {
            case .unsupportedGroup(let group): throw .cryptography("\(group.name.keyword) is not available")
            case .invalidPublicValue(let group):
                throw .violation("the public value is not a valid one of \(group.name.keyword)")
            case .libraryFailure: throw .cryptography("the cryptographic library failed in a key agreement")
            }
        }
    }
}

extension SPI {
    /// Four octets in network order.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: value)
        return octets
    }
}
