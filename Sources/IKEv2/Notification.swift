/// A notify message type (RFC 7296 §3.10.1 and IANA "IKEv2 Notify Message Types"). Below 16384 it reports an error.
struct NotificationType: Hashable, Sendable, RawRepresentable {
    var rawValue: UInt16
    init(rawValue: UInt16) { self.rawValue = rawValue }

    static let unsupportedCriticalPayload = NotificationType(rawValue: 1)
    static let invalidIKESPI = NotificationType(rawValue: 4)
    static let invalidMajorVersion = NotificationType(rawValue: 5)
    static let invalidSyntax = NotificationType(rawValue: 7)
    static let invalidMessageID = NotificationType(rawValue: 9)
    static let invalidSPI = NotificationType(rawValue: 11)
    static let noProposalChosen = NotificationType(rawValue: 14)
    static let invalidKeyExchange = NotificationType(rawValue: 17)
    static let authenticationFailed = NotificationType(rawValue: 24)
    static let singlePairRequired = NotificationType(rawValue: 34)
    static let noAdditionalSAs = NotificationType(rawValue: 35)
    static let internalAddressFailure = NotificationType(rawValue: 36)
    static let failedConfigurationRequired = NotificationType(rawValue: 37)
    static let selectorsUnacceptable = NotificationType(rawValue: 38)
    static let invalidSelectors = NotificationType(rawValue: 39)
    static let unacceptableAddresses = NotificationType(rawValue: 40)
    static let unexpectedNATDetected = NotificationType(rawValue: 41)
    static let temporaryFailure = NotificationType(rawValue: 43)
    static let childNotFound = NotificationType(rawValue: 44)
    static let stateNotFound = NotificationType(rawValue: 47)
    /// RFC 9611 §5.2.
    static let maximumQueues = NotificationType(rawValue: 48)

    static let initialContact = NotificationType(rawValue: 16384)
    static let setWindowSize = NotificationType(rawValue: 16385)
    static let additionalSelectorsPossible = NotificationType(rawValue: 16386)
    static let compressionSupported = NotificationType(rawValue: 16387)
    static let natDetectionSource = NotificationType(rawValue: 16388)
    static let natDetectionDestination = NotificationType(rawValue: 16389)
    static let cookie = NotificationType(rawValue: 16390)
    static let useTransportMode = NotificationType(rawValue: 16391)
    static let certificateLookupSupported = NotificationType(rawValue: 16392)
    static let rekeySA = NotificationType(rawValue: 16393)
    static let tfcPaddingNotSupported = NotificationType(rawValue: 16394)
    static let nonFirstFragmentsAlso = NotificationType(rawValue: 16395)
    // RFC 4555 §4.2
    static let mobikeSupported = NotificationType(rawValue: 16396)
    static let additionalIPv4Address = NotificationType(rawValue: 16397)
    static let additionalIPv6Address = NotificationType(rawValue: 16398)
    static let noAdditionalAddresses = NotificationType(rawValue: 16399)
    static let updateSAAddresses = NotificationType(rawValue: 16400)
    static let cookie2 = NotificationType(rawValue: 16401)
    static let noNATsAllowed = NotificationType(rawValue: 16402)
    /// RFC 4478 §2.
    static let authenticationLifetime = NotificationType(rawValue: 16403)
    // RFC 4739 §3
    static let multipleAuthenticationSupported = NotificationType(rawValue: 16404)
    static let anotherAuthenticationFollows = NotificationType(rawValue: 16405)
    // RFC 5685 §7
    static let redirectSupported = NotificationType(rawValue: 16406)
    static let redirect = NotificationType(rawValue: 16407)
    static let redirectedFrom = NotificationType(rawValue: 16408)
    /// RFC 5723 §7.
    static let ticketLifetimeOpaque = NotificationType(rawValue: 16409)
    static let ticketRequest = NotificationType(rawValue: 16410)
    static let ticketAck = NotificationType(rawValue: 16411)
    static let ticketNack = NotificationType(rawValue: 16412)
    static let ticketOpaque = NotificationType(rawValue: 16413)
    /// RFC 5998 §3.
    static let userAuthenticationOnly = NotificationType(rawValue: 16417)
    /// RFC 6290 §4.1.
    static let crashToken = NotificationType(rawValue: 16419)
    /// RFC 6023 §3.
    static let childlessSupported = NotificationType(rawValue: 16418)
    static let fragmentationSupported = NotificationType(rawValue: 16430)
    static let signatureHashAlgorithms = NotificationType(rawValue: 16431)
    // RFC 7791 §6
    static let cloneIKESASupported = NotificationType(rawValue: 16432)
    static let cloneIKESA = NotificationType(rawValue: 16433)
    // RFC 8784 §3
    /// RFC 8019 §8.1.
    static let puzzle = NotificationType(rawValue: 16434)
    static let usePPK = NotificationType(rawValue: 16435)
    static let ppkIdentity = NotificationType(rawValue: 16436)
    static let noPPKAuthentication = NotificationType(rawValue: 16437)
    /// RFC 9593 §5.
    static let supportedAuthenticationMethods = NotificationType(rawValue: 16443)
    /// RFC 9867 §4.
    static let usePPKIntermediate = NotificationType(rawValue: 16445)
    static let ppkIdentityKey = NotificationType(rawValue: 16446)
    static let intermediateSupported = NotificationType(rawValue: 16438)
    // RFC 8983 §7
    static let ip4Allowed = NotificationType(rawValue: 16439)
    static let ip6Allowed = NotificationType(rawValue: 16440)
    static let additionalKeyExchange = NotificationType(rawValue: 16441)
    /// RFC 9347 §5.1.
    static let useAggregation = NotificationType(rawValue: 16442)
    /// RFC 9611 §5.1.
    static let resourceInformation = NotificationType(rawValue: 16444)
    // draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt §6: no numbers are registered yet, so these are for private use.
    static let optimizedRekeySupported = NotificationType(rawValue: 61_440)
    static let optimizedRekey = NotificationType(rawValue: 61_441)
    /// Of private use: what makes a probe long. It means nothing.
    static let pathProbe = NotificationType(rawValue: 61_442)

    var isError: Bool { rawValue < 16384 }

    /// The registered name, or the number where there is none here.
    var name: String {
        switch self {
        case .unsupportedCriticalPayload: "UNSUPPORTED_CRITICAL_PAYLOAD"
        case .invalidIKESPI: "INVALID_IKE_SPI"
        case .invalidMajorVersion: "INVALID_MAJOR_VERSION"
        case .invalidSyntax: "INVALID_SYNTAX"
        case .invalidMessageID: "INVALID_MESSAGE_ID"
        case .invalidSPI: "INVALID_SPI"
        case .noProposalChosen: "NO_PROPOSAL_CHOSEN"
        case .invalidKeyExchange: "INVALID_KE_PAYLOAD"
        case .authenticationFailed: "AUTHENTICATION_FAILED"
        case .singlePairRequired: "SINGLE_PAIR_REQUIRED"
        case .noAdditionalSAs: "NO_ADDITIONAL_SAS"
        case .internalAddressFailure: "INTERNAL_ADDRESS_FAILURE"
        case .failedConfigurationRequired: "FAILED_CP_REQUIRED"
        case .selectorsUnacceptable: "TS_UNACCEPTABLE"
        case .invalidSelectors: "INVALID_SELECTORS"
        case .unacceptableAddresses: "UNACCEPTABLE_ADDRESSES"
        case .unexpectedNATDetected: "UNEXPECTED_NAT_DETECTED"
        case .temporaryFailure: "TEMPORARY_FAILURE"
        case .childNotFound: "CHILD_SA_NOT_FOUND"
        case .stateNotFound: "STATE_NOT_FOUND"
        case .maximumQueues: "TS_MAX_QUEUE"
        case .useAggregation: "USE_AGGFRAG"
        case .resourceInformation: "SA_RESOURCE_INFO"
        case .initialContact: "INITIAL_CONTACT"
        case .setWindowSize: "SET_WINDOW_SIZE"
        case .additionalSelectorsPossible: "ADDITIONAL_TS_POSSIBLE"
        case .natDetectionSource: "NAT_DETECTION_SOURCE_IP"
        case .natDetectionDestination: "NAT_DETECTION_DESTINATION_IP"
        case .cookie: "COOKIE"
        case .useTransportMode: "USE_TRANSPORT_MODE"
        case .certificateLookupSupported: "HTTP_CERT_LOOKUP_SUPPORTED"
        case .rekeySA: "REKEY_SA"
        case .compressionSupported: "IPCOMP_SUPPORTED"
        case .tfcPaddingNotSupported: "ESP_TFC_PADDING_NOT_SUPPORTED"
        case .nonFirstFragmentsAlso: "NON_FIRST_FRAGMENTS_ALSO"
        case .mobikeSupported: "MOBIKE_SUPPORTED"
        case .additionalIPv4Address: "ADDITIONAL_IP4_ADDRESS"
        case .additionalIPv6Address: "ADDITIONAL_IP6_ADDRESS"
        case .noAdditionalAddresses: "NO_ADDITIONAL_ADDRESSES"
        case .updateSAAddresses: "UPDATE_SA_ADDRESSES"
        case .cookie2: "COOKIE2"
        case .noNATsAllowed: "NO_NATS_ALLOWED"
        case .authenticationLifetime: "AUTH_LIFETIME"
        case .multipleAuthenticationSupported: "MULTIPLE_AUTH_SUPPORTED"
        case .anotherAuthenticationFollows: "ANOTHER_AUTH_FOLLOWS"
        case .userAuthenticationOnly: "EAP_ONLY_AUTHENTICATION"
        case .redirectSupported: "REDIRECT_SUPPORTED"
        case .redirect: "REDIRECT"
        case .redirectedFrom: "REDIRECTED_FROM"
        case .ticketLifetimeOpaque: "TICKET_LT_OPAQUE"
        case .ticketRequest: "TICKET_REQUEST"
        case .ticketAck: "TICKET_ACK"
        case .ticketNack: "TICKET_NACK"
        case .ticketOpaque: "TICKET_OPAQUE"
        case .crashToken: "QCD_TOKEN"
        case .childlessSupported: "CHILDLESS_IKEV2_SUPPORTED"
        case .fragmentationSupported: "IKEV2_FRAGMENTATION_SUPPORTED"
        case .signatureHashAlgorithms: "SIGNATURE_HASH_ALGORITHMS"
        case .cloneIKESASupported: "CLONE_IKE_SA_SUPPORTED"
        case .cloneIKESA: "CLONE_IKE_SA"
        case .puzzle: "PUZZLE"
        case .usePPK: "USE_PPK"
        case .ppkIdentity: "PPK_IDENTITY"
        case .noPPKAuthentication: "NO_PPK_AUTH"
        case .supportedAuthenticationMethods: "SUPPORTED_AUTH_METHODS"
        case .usePPKIntermediate: "USE_PPK_INT"
        case .ppkIdentityKey: "PPK_IDENTITY_KEY"
        case .intermediateSupported: "INTERMEDIATE_EXCHANGE_SUPPORTED"
        case .ip4Allowed: "IP4_ALLOWED"
        case .ip6Allowed: "IP6_ALLOWED"
        case .additionalKeyExchange: "ADDITIONAL_KEY_EXCHANGE"
        case .optimizedRekeySupported: "OPTIMIZED_REKEY_SUPPORTED"
        case .optimizedRekey: "OPTIMIZED_REKEY"
        default: "notification \(rawValue)"
        }
    }
}
