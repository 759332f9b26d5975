package import ISAKMP

/// Exchange types of the range for private use (RFC 2408 §3.1: 240 to 255): RFC 2412 left its numbers to a document that
/// became IKE, and SKEME never had any.
extension ExchangeType {
    package static let oakleyAggressive = ExchangeType(rawValue: 240)
    package static let oakleyHiddenIdentities = ExchangeType(rawValue: 241)
    package static let oakleyWithoutExponentials = ExchangeType(rawValue: 242)
    package static let oakleyConservative = ExchangeType(rawValue: 243)
    package static let oakleyConservativeWithSignatures = ExchangeType(rawValue: 244)
    package static let oakleyNewGroup = ExchangeType(rawValue: 245)
    package static let oakleyQuick = ExchangeType(rawValue: 246)
    package static let oakleyExternalKey = ExchangeType(rawValue: 247)
    package static let skemeBasic = ExchangeType(rawValue: 248)
    package static let skemeShareOnly = ExchangeType(rawValue: 249)
    package static let skemePreSharedKey = ExchangeType(rawValue: 250)
    package static let skemeFastRekey = ExchangeType(rawValue: 251)
}
