import Primitives

/// Message 2 without a memory, where the exchange allows it (``ExchangeDescription/allowsStatelessAnswer``: Base and
/// Identity Protection) and the initiator lends its own: it says in message 1 that it will repeat that message in
/// message 3, in a payload of the range for private use. The responder's cookie is a MAC over message 1, so what comes
/// back is what was said, and message 2 is made again from it, octet by octet.
package enum StatelessAnswer {
    /// Said by an initiator that can repeat message 1, and by a responder that wants it.
    package static let vendorID = Array("parley: message 1 can come again".utf8)

    /// Message 1 as message 3 brings it along.
    package static func echoedMessage(in octets: [UInt8]) -> [UInt8]? {
        var reader = ByteReader(octets)
        guard let header = try? Header(from: &reader), header.majorVersion == 1,
            Int(header.length) == octets.count, header.messageID == 0, !header.flags.contains(.encryption),
            let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        else { return nil }
        return payloads.first { $0.type == .echo }?.body
    }

    /// Whether the sender of a message can repeat it, or wants to have it repeated.
    package static func isOffered(in octets: [UInt8]) -> Bool {
        var reader = ByteReader(octets)
        guard let header = try? Header(from: &reader), !header.flags.contains(.encryption),
            let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        else { return false }
        return payloads.contains { $0.type == .vendorID && $0.body == vendorID }
    }
}
