package import IPsec
import ISAKMP
package import Primitives

/// The IPsec domain of interpretation (RFC 2407): DOI 1.
package enum IPsecDOI: DomainOfInterpretation {
    package static let identifier: UInt32 = 1
    /// SIT_IDENTITY_ONLY (RFC 2407 §4.2.1).
    package static let identityOnly: [UInt8] = [0, 0, 0, 1]

    package static func readSituation(_ reader: inout ByteReader) throws(ParseError) -> SecuritySituation {
        try SituationForm.read(&reader)
    }

    package static func octets(_ situation: SecuritySituation) -> [UInt8] { SituationForm.write(situation) }

    /// Protocol identifiers (RFC 2407 §4.4.1).
    package static let protocolISAKMP: UInt8 = 1
    package static let protocolAH: UInt8 = 2
    package static let protocolESP: UInt8 = 3

    /// Notifications of this DOI (RFC 2407 §4.6.3), and those that others registered in its range.
    package static let responderLifetime: UInt16 = 24_576
    package static let replayStatus: UInt16 = 24_577
    package static let initialContact: UInt16 = 24_578
    /// RFC 3706 §5.2.
    package static let areYouThere: UInt16 = 36_136
    package static let areYouThereAcknowledged: UInt16 = 36_137

    /// A lifetime in seconds as two attributes; types differ between the phases.
    static func lifetime(_ seconds: UInt32, type: UInt16, duration: UInt16) -> [DataAttribute] {
        [DataAttribute(type, 1), DataAttribute(duration, number: seconds)]
    }

    /// The attributes that a notification's data holds; `nil` where they are malformed or too many.
    static func attributes(_ data: [UInt8], atMost count: Int) -> [DataAttribute]? {
        var reader = ByteReader(data)
        var attributes: [DataAttribute] = []
        while !reader.isAtEnd {
            guard attributes.count < count, let attribute = try? DataAttribute(from: &reader) else { return nil }
            attributes.append(attribute)
        }
        return attributes
    }

    /// The smallest lifetime of a unit (1 for seconds) that the attributes name; `nil` for none.
    static func lifetime(
        _ attributes: [DataAttribute], type: UInt16, duration: UInt16, unit wanted: UInt64 = 1
    ) -> UInt32? {
        var unit: UInt64?
        var least: UInt32?
        for attribute in attributes {
            if attribute.type == type { unit = attribute.number }
            if attribute.type == duration, unit == wanted, let number = attribute.number {
                least = min(least ?? .max, UInt32(clamping: number))
            }
        }
        return least
    }
}
