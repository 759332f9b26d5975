package import Primitives

/// The body of an attributes payload (draft-dukes-ike-mode-cfg-02 §3.2): what one message of a Transaction exchange says.
///
///     +---------------+---------------+-------------------------------+
///     |     Type      |   Reserved    |           Identifier          |
///     +---------------+---------------+-------------------------------+
///     |                          Attributes                           |
///     +---------------------------------------------------------------+
package struct AttributesPayload: Hashable, Sendable {
    /// What the message is (§3.3). Unknown types are kept; the receiver discards them.
    package struct MessageType: Hashable, Sendable, RawRepresentable {
        package var rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        package static let request = MessageType(rawValue: 1)
        package static let reply = MessageType(rawValue: 2)
        package static let set = MessageType(rawValue: 3)
        package static let acknowledge = MessageType(rawValue: 4)
    }

    package var type: MessageType
    /// Names the configuration transaction that one or more exchanges belong to.
    package var identifier: UInt16
    package var attributes: [DataAttribute]

    /// More than any peer needs: a 64 KiB message could name thousands.
    package static let maximumAttributes = 256

    package init(_ type: MessageType, identifier: UInt16, attributes: [DataAttribute]) {
        self.type = type
        self.identifier = identifier
        self.attributes = attributes
    }

    /// - Parameter body: the payload without its generic header. Up to three octets of zero that align its end are passed over.
    /// - Throws: for a payload whose last attribute is cut, which must be discarded as a whole (§3.2).
    package init(parsing body: [UInt8]) throws(ParseError) {
        var reader = ByteReader(body)
        type = MessageType(rawValue: try reader.readUInt8())
        _ = try reader.readUInt8()
        identifier = try reader.readUInt16()
        attributes = []
        while !reader.isAtEnd {
            // Libreswan aligns a message inside its last payload: fewer octets than an attribute's header has, which end at a multiple of
            // four and are zero, are no cut attribute.
            let isAligned = reader.remaining < 4 && body.count % 4 == 0
            if isAligned, !body.suffix(reader.remaining).contains(where: { $0 != 0 }) { break }
            guard attributes.count < AttributesPayload.maximumAttributes else {
                throw .invalid(offset: reader.offset, rule: "too many attributes")
            }
            attributes.append(try DataAttribute(from: &reader))
        }
    }

    package var payload: Payload {
        var body: [UInt8] = [type.rawValue, 0]
        body.append(bigEndian: identifier)
        for attribute in attributes { attribute.write(to: &body) }
        return Payload(.attributes, body: body)
    }
}
