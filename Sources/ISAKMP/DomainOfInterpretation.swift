package import Primitives

/// What a domain of interpretation fills in (RFC 2408 §2.1: "a DOI defines payload formats, exchange types, and conventions
/// for naming security-relevant information"): the situation, and what its numbers stand for.
package protocol DomainOfInterpretation {
    /// What an SA payload says before its proposals.
    associatedtype Situation: Hashable, Sendable

    /// The DOI's number.
    static var identifier: UInt32 { get }
    /// Reads the situation at the start of an SA payload's contents, and leaves the reader behind it.
    static func readSituation(_ reader: inout ByteReader) throws(ParseError) -> Situation
    /// The situation's octets as ``readSituation(_:)`` reads them.
    static func octets(_ situation: Situation) -> [UInt8]

    /// What the protocols are called that an SA can be for; `nil` for a number that stands for none.
    static func protocolName(_ protocolID: UInt8) -> String?
    /// What a transform of a protocol is called.
    static func transformName(_ identifier: UInt8, protocolID: UInt8) -> String?
    /// What an SA attribute of a protocol's transforms is called.
    static func attributeName(_ type: UInt16, protocolID: UInt8) -> String?
    /// What a type of identification is called.
    static func identificationName(_ type: UInt8) -> String?
    /// What a notification of the DOI's own range is called: the reason why something was refused, or a status
    /// (RFC 2408 §3.14.1: 8192 to 16383 and 24576 to 32767). The framework names its own itself.
    static func notificationName(_ type: UInt16) -> String?
}

/// DOI 0: a generic ISAKMP SA (RFC 2408 §3.4), for any protocol of a second phase. Its situation is empty. RFC 2408 gives it no
/// transforms or attributes; those of RFC 2409 Appendix A stand in.
package enum GenericDOI: DomainOfInterpretation {
    package static let identifier: UInt32 = 0
    /// PROTO_ISAKMP (RFC 2407 §4.4.1, which other DOIs keep).
    package static let protocolISAKMP: UInt8 = 1

    /// Nothing is said.
    package struct Situation: Hashable, Sendable {
        package init() {}
    }

    package static func readSituation(_ reader: inout ByteReader) throws(ParseError) -> Situation { Situation() }
    package static func octets(_ situation: Situation) -> [UInt8] { [] }

    package static func protocolName(_ protocolID: UInt8) -> String? {
        protocolID == protocolISAKMP ? "PROTO_ISAKMP" : nil
    }

    package static func transformName(_ identifier: UInt8, protocolID: UInt8) -> String? {
        protocolID == protocolISAKMP && identifier == 1 ? "KEY_IKE" : nil
    }

    private static let attributes: [UInt16: String] = [
        1: "Encryption Algorithm", 2: "Hash Algorithm", 3: "Authentication Method", 4: "Group Description",
        14: "Key Length",
    ]

    package static func attributeName(_ type: UInt16, protocolID: UInt8) -> String? {
        protocolID == protocolISAKMP ? attributes[type] : nil
    }

    /// RFC 2408 Appendix A.4, for use "without a DOI": addresses alone.
    private static let identifications: [UInt8: String] = [
        0: "ID_IPV4_ADDR", 1: "ID_IPV4_ADDR_SUBNET", 2: "ID_IPV6_ADDR", 3: "ID_IPV6_ADDR_SUBNET",
    ]

    package static func identificationName(_ type: UInt8) -> String? { identifications[type] }
    package static func notificationName(_ type: UInt16) -> String? { nil }
}
