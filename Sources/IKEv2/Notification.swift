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
    static let temporaryFailure = NotificationType(rawValue: 43)
    static let childNotFound = NotificationType(rawValue: 44)
    static let stateNotFound = NotificationType(rawValue: 47)

    static let initialContact = NotificationType(rawValue: 16384)
    static let setWindowSize = NotificationType(rawValue: 16385)
    static let additionalSelectorsPossible = NotificationType(rawValue: 16386)
    static let compressionSupported = NotificationType(rawValue: 16387)
    static let natDetectionSource = NotificationType(rawValue: 16388)
    static let natDetectionDestination = NotificationType(rawValue: 16389)
    static let cookie = NotificationType(rawValue: 16390)
    static let useTransportMode = NotificationType(rawValue: 16391)
    static let rekeySA = NotificationType(rawValue: 16393)
    static let tfcPaddingNotSupported = NotificationType(rawValue: 16394)
    static let nonFirstFragmentsAlso = NotificationType(rawValue: 16395)
    static let fragmentationSupported = NotificationType(rawValue: 16430)
    static let intermediateSupported = NotificationType(rawValue: 16438)
    static let additionalKeyExchange = NotificationType(rawValue: 16441)

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
        case .temporaryFailure: "TEMPORARY_FAILURE"
        case .childNotFound: "CHILD_SA_NOT_FOUND"
        case .stateNotFound: "STATE_NOT_FOUND"
        case .initialContact: "INITIAL_CONTACT"
        case .setWindowSize: "SET_WINDOW_SIZE"
        case .additionalSelectorsPossible: "ADDITIONAL_TS_POSSIBLE"
        case .natDetectionSource: "NAT_DETECTION_SOURCE_IP"
        case .natDetectionDestination: "NAT_DETECTION_DESTINATION_IP"
        case .cookie: "COOKIE"
        case .useTransportMode: "USE_TRANSPORT_MODE"
        case .rekeySA: "REKEY_SA"
        case .compressionSupported: "IPCOMP_SUPPORTED"
        case .tfcPaddingNotSupported: "ESP_TFC_PADDING_NOT_SUPPORTED"
        case .nonFirstFragmentsAlso: "NON_FIRST_FRAGMENTS_ALSO"
        case .fragmentationSupported: "IKEV2_FRAGMENTATION_SUPPORTED"
        case .intermediateSupported: "INTERMEDIATE_EXCHANGE_SUPPORTED"
        case .additionalKeyExchange: "ADDITIONAL_KEY_EXCHANGE"
        default: "notification \(rawValue)"
        }
    }
}
