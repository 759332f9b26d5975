package import Primitives

/// What a domain of interpretation fills in: numbers, and the situation, which this framework hands through unread
/// (RFC 2408 §2.1).
package protocol DomainOfInterpretation {
    /// The DOI's number.
    static var identifier: UInt32 { get }
    /// The situation's octets at the start of an SA payload's contents.
    static func readSituation(_ reader: inout ByteReader) throws(ParseError) -> [UInt8]
}

/// DOI 0: a generic ISAKMP SA (RFC 2408 §3.4), whose situation is empty.
package enum GenericDOI: DomainOfInterpretation {
    package static let identifier: UInt32 = 0

    package static func readSituation(_ reader: inout ByteReader) throws(ParseError) -> [UInt8] { [] }
}
