import Cryptography
import IPsec
import ISAKMP
import Primitives

/// The payloads of one message, read: legal by type from here on.
struct MessageContent: Sendable {
    var offers: [OfferedProposal]?
    var keyExchange: KeyExchangePayload?
    var nonce: [UInt8]?
    var identityInitiator: Identity?
    var identityResponder: Identity?
    var authentication: AuthenticationPayload?
    var selectorsInitiator: [TrafficSelector]?
    var selectorsResponder: [TrafficSelector]?
    var configuration: ConfigurationPayload?
    /// An EAP packet.
    var extensibleAuthentication: [UInt8]?
    var notifications: [NotifyPayload] = []
    var deletions: [DeletePayload] = []
    /// DER, as they came.
    var certificates: [[UInt8]] = []
    /// OCSP responses in DER, as they came.
    var statuses: [[UInt8]] = []
    /// The peer asks for such.
    var wantsStatuses = false
    /// Raw public keys, and whether the peer asks for ours (RFC 7670 §3).
    var publicKeys: [[UInt8]] = []
    var wantsPublicKey = false
    /// Where certificates are.
    var locations: [CertificateLocation] = []
    /// Hashes of the authorities that the peer trusts.
    var certificateRequests: [[UInt8]] = []
    /// Of IKE_INTERMEDIATE: what both ends will authenticate of the message.
    var transcript: [UInt8] = []

    /// Reads an opened message.
    init(_ opened: OpenedMessage, of datagram: [UInt8], _ exchange: ExchangeType) throws(Fault) {
        try self.init(opened.inner)
        guard exchange == .ikeIntermediate else { return }
        guard opened.clear.isEmpty else { throw .violation("IKE_INTERMEDIATE holds nothing in the clear") }
        transcript = IntermediateTranscript.content(datagram, first: opened.first, opened.plaintext)
    }

    /// Reads every payload that we know. Others are skipped, unless critical (RFC 7296 §2.5).
    ///
    /// - Throws: `malformed`, `violation` for a payload that comes twice, `unknownCriticalPayload`.
    init(_ payloads: [Payload]) throws(Fault) {
        for payload in payloads {
            switch payload.type {
            case .securityAssociationV2:
                try Self.once(&offers, "SA") { () throws(ParseError) in try ProposalPayload.parse(payload) }
            case .keyExchangeV2:
                try Self.once(&keyExchange, "KE") { () throws(ParseError) in try KeyExchangePayload(parsing: payload) }
            case .nonceV2:
                guard (16...256).contains(payload.body.count) else {
                    throw .malformed(
                        .invalid(offset: payload.bodyOffset, rule: "a nonce has 16 to 256 octets"))
                }
                try Self.once(&nonce, "Nonce") { () throws(ParseError) in payload.body }
            case .identityInitiator:
                try Self.once(&identityInitiator, "IDi") { () throws(ParseError) in try IdentityPayload.parse(payload) }
            case .identityResponder:
                try Self.once(&identityResponder, "IDr") { () throws(ParseError) in try IdentityPayload.parse(payload) }
            case .authentication:
                try Self.once(&authentication, "AUTH") { () throws(ParseError) in
                    try AuthenticationPayload(parsing: payload)
                }
            case .selectorsInitiator:
                try Self.once(&selectorsInitiator, "TSi") { () throws(ParseError) in try SelectorPayload.parse(payload)
                }
            case .selectorsResponder:
                try Self.once(&selectorsResponder, "TSr") { () throws(ParseError) in try SelectorPayload.parse(payload)
                }
            case .configuration:
                try Self.once(&configuration, "CP") { () throws(ParseError) in
                    try ConfigurationPayload(parsing: payload)
                }
            case .extensibleAuthentication:
                try Self.once(&extensibleAuthentication, "EAP") { () throws(ParseError) in payload.body }
            case .notify:
                notifications.append(
                    try Attempt.parsing { () throws(ParseError) in try NotifyPayload(parsing: payload) })
            case .deleteV2:
                deletions.append(
                    try Attempt.parsing { () throws(ParseError) in try DeletePayload(parsing: payload) })
            case .certificateV2:
                let read = try Attempt.parsing { () throws(ParseError) in try CertificatePayload.parse(payload) }
                try take(read)
            case .certificateRequestV2:
                if CertificateRequestPayload.asksForStatuses(payload) { wantsStatuses = true }
                if CertificateRequestPayload.asksForPublicKey(payload) { wantsPublicKey = true }
                let hashes = try Attempt.parsing { () throws(ParseError) in
                    try CertificateRequestPayload.parse(payload)
                }
                let room = CertificateRequestPayload.maximumCount - certificateRequests.count
                certificateRequests += hashes.prefix(room)
            default:
                if payload.isCritical && !payload.type.isKnown { throw .unknownCriticalPayload(payload.type) }
            }
        }
    }

    private mutating func take(_ content: CertificatePayload.Content?) throws(Fault) {
        switch content {
        case .certificate(let octets): certificates.append(octets)
        case .status(let octets): statuses.append(octets)
        case .publicKey(let octets): publicKeys.append(octets)
        case .location(let location):
            if locations.count < CertificatePayload.maximumLocations { locations.append(location) }
        case nil: return
        }
        guard max(certificates.count, statuses.count, publicKeys.count) <= CertificatePayload.maximumCount else {
            throw .violation("more than \(CertificatePayload.maximumCount) CERT payloads")
        }
    }

    private static func once<Value>(
        _ slot: inout Value?, _ name: String, _ read: () throws(ParseError) -> Value
    ) throws(Fault) {
        guard slot == nil else { throw .violation("the \(name) payload comes twice") }
        slot = try Attempt.parsing(read)
    }

    /// How the peer lets us prove ourselves; `nil`: it says nothing that can be read.
    var announced: [AnnouncedMethod]? {
        notification(.supportedAuthenticationMethods).flatMap { AuthenticationAnnouncement.parse($0.data) }
    }

    /// Whether the peer fetches certificates.
    var takesLocations: Bool { notification(.certificateLookupSupported) != nil }

    /// The first notification of a type.
    func notification(_ type: NotificationType) -> NotifyPayload? { notifications.first { $0.type == type } }

    /// The first notification that reports an error.
    var error: NotifyPayload? { notifications.first { $0.type.isError } }

    func required<Value>(_ value: Value?, _ name: String) throws(Fault) -> Value {
        guard let value else { throw .violation("the \(name) payload is missing") }
        return value
    }
}
