import ISAKMP
import Primitives

/// A rule that a message breaks, and where.
package struct Problem: Hashable, Sendable, CustomStringConvertible {
    /// Octets from the start of the message.
    package var offset: Int
    package var rule: String

    init(_ error: ParseError) {
        offset = error.offset
        switch error {
        case .truncated(_, let needed, let available): rule = "\(needed) octets needed, \(available) left"
        case .invalid(_, let text): rule = text
        }
    }

    package var description: String { "octet \(offset): \(rule)" }
}

/// A named part of a message, with the parts inside it.
package struct DescribedField: Hashable, Sendable {
    package var name: String
    /// In words; empty for a part that only holds others.
    package var value: String
    /// Octets from the start of the message, and how many they are.
    package var offset: Int
    package var count: Int
    package var children: [DescribedField] = []
    package var problem: Problem?
}

/// An IKE message of either version, field by field, every registered number named. What is broken is said where it
/// breaks; the rest is still there.
package struct MessageDescription: Hashable, Sendable {
    /// One line: exchange, direction, message ID, payloads.
    package private(set) var summary = "a message that is cut off in its header"
    package private(set) var fields: [DescribedField] = []

    /// More payloads than this are not described.
    private static let maximumPayloads = Payload.maximumCount

    package init(_ octets: [UInt8]) {
        var scribe = Scribe(octets[...])
        do throws(ParseError) {
            let header = try MessageDescription.header(&scribe, total: octets.count)
            let wrong = scribe.problem
            fields = [
                DescribedField(
                    name: "Header", value: "", offset: 0, count: Header.octetCount, children: scribe.fields,
                    problem: wrong)
            ]
            let end = min(octets.count, max(Header.octetCount, Int(header.length)))
            describePayloads(octets[Header.octetCount..<end], header)
            summarize(header)
        } catch {
            fields = [
                DescribedField(
                    name: "Header", value: "", offset: 0, count: octets.count, children: scribe.fields,
                    problem: Problem(error))
            ]
        }
    }

    /// All problems, in the order of the message.
    package var problems: [Problem] {
        func collect(_ field: DescribedField) -> [Problem] {
            (field.problem.map { [$0] } ?? []) + field.children.flatMap(collect)
        }
        return fields.flatMap(collect)
    }

    private static func header(_ scribe: inout Scribe, total: Int) throws(ParseError) -> Header {
        var ahead = scribe.reader
        let header = try Header(from: &ahead)
        let isVersion2 = header.majorVersion == 2
        try scribe.hex(isVersion2 ? "Initiator SPI" : "Initiator cookie", 8)
        try scribe.hex(isVersion2 ? "Responder SPI" : "Responder cookie", 8)
        try scribe.uint8("Next payload") { PayloadNames.of($0, header) }
        try scribe.uint8("Version") { "\($0 >> 4).\($0 & 15)" }
        try scribe.uint8("Exchange type") { _ in ExchangeName.of(header) }
        try scribe.uint8("Flags") { HeaderNames.flags($0, isVersion2: isVersion2) }
        try scribe.uint32("Message ID") { isVersion2 ? "\($0)" : "0x\(String($0, radix: 16))" }
        let offset = scribe.reader.offset
        try scribe.uint32("Length") { "\($0)" }
        if header.majorVersion != 1 && header.majorVersion != 2 {
            scribe.problem = Problem(.invalid(offset: 17, rule: "the major version is 1 or 2 (RFC 7296 §3.1)"))
        } else if Int(header.length) != total {
            scribe.problem = Problem(
                .invalid(
                    offset: offset,
                    rule: "the header says \(header.length) octets, and the datagram has \(total) (RFC 7296 §3.1)"))
        }
        return header
    }

    private mutating func describePayloads(_ octets: ArraySlice<UInt8>, _ header: Header) {
        let isVersion2 = header.majorVersion == 2
        if !isVersion2, header.flags.contains(.encryption) {
            fields.append(
                DescribedField(
                    name: "Encrypted payloads", value: "\(octets.count) octets", offset: octets.startIndex,
                    count: octets.count))
            return
        }
        var type = header.nextPayload.rawValue
        var reader = ByteReader(octets)
        while type != 0 {
            let offset = reader.offset
            guard fields.count <= MessageDescription.maximumPayloads else {
                fields.append(
                    broken(
                        "Payload", offset,
                        .invalid(
                            offset: offset,
                            rule: "a message holds at most \(MessageDescription.maximumPayloads) payloads")))
                return
            }
            do throws(ParseError) {
                var scribe = Scribe(reader)
                let next = try scribe.uint8("Next payload") { PayloadNames.of($0, header) }
                try scribe.uint8("Flags") { $0 & 0x80 == 0 ? "none" : "critical" }
                let length = Int(try scribe.uint16("Length") { "\($0)" })
                guard length >= Payload.headerOctets else {
                    throw .invalid(
                        offset: offset + 2, rule: "a payload's length counts its own 4 octets (RFC 7296 §3.2)")
                }
                _ = try reader.read(length)
                let body = octets[(offset + 4)..<(offset + length)]
                fields.append(describe(type, body, header, scribe.fields))
                // SK and SKF name their first inner payload: the chain ends with them (RFC 7296 §3.14).
                if isVersion2, type == 46 || type == 53 { break }
                type = next
            } catch {
                fields.append(broken(PayloadNames.of(type, header), offset, error))
                return
            }
        }
        if !reader.isAtEnd {
            fields.append(
                broken(
                    "Octets behind the last payload", reader.offset,
                    .invalid(offset: reader.offset, rule: "the payloads fill the message (RFC 2408 §3.1)")))
        }
    }

    private func broken(_ name: String, _ offset: Int, _ error: ParseError) -> DescribedField {
        DescribedField(name: name, value: "", offset: offset, count: 0, problem: Problem(error))
    }

    private func describe(
        _ type: UInt8, _ body: ArraySlice<UInt8>, _ header: Header, _ generic: [DescribedField]
    ) -> DescribedField {
        let isVersion2 = header.majorVersion == 2
        var scribe = Scribe(body)
        scribe.fields = generic
        var field = DescribedField(
            name: PayloadNames.of(type, header), value: "", offset: body.startIndex - 4,
            count: body.count + 4)
        do throws(ParseError) {
            if isVersion2 {
                try PayloadsV2.describe(type, header, &scribe)
            } else {
                try PayloadsV1.describe(type, header, &scribe)
            }
            if !scribe.reader.isAtEnd {
                throw .invalid(offset: scribe.reader.offset, rule: "nothing follows the payload's last field")
            }
        } catch {
            field.problem = Problem(error)
        }
        field.children = scribe.fields
        return field
    }

    private mutating func summarize(_ header: Header) {
        let payloads = fields.dropFirst().map(\.name).joined(separator: ", ")
        let direction =
            header.majorVersion == 2 ? (header.flags.contains(.response) ? " response" : " request") : ""
        let number =
            header.majorVersion == 2
            ? " \(header.messageID)"
            : header.messageID == 0 ? "" : " \(String(header.messageID, radix: 16))"
        summary = "IKEv\(header.majorVersion) \(ExchangeName.of(header))\(direction)\(number): \(payloads)"
    }
}

/// Reads fields one after another and writes each down.
struct Scribe {
    var reader: ByteReader
    var fields: [DescribedField] = []
    var problem: Problem?

    init(_ octets: ArraySlice<UInt8>) { reader = ByteReader(octets) }
    init(_ reader: ByteReader) { self.reader = reader }

    private mutating func note(_ name: String, _ value: String, from offset: Int) {
        fields.append(
            DescribedField(name: name, value: value, offset: offset, count: reader.offset - offset))
    }

    @discardableResult
    mutating func uint8(_ name: String, _ text: (UInt8) -> String = { "\($0)" }) throws(ParseError) -> UInt8 {
        let offset = reader.offset
        let value = try reader.readUInt8()
        note(name, text(value), from: offset)
        return value
    }

    @discardableResult
    mutating func uint16(_ name: String, _ text: (UInt16) -> String = { "\($0)" }) throws(ParseError) -> UInt16 {
        let offset = reader.offset
        let value = try reader.readUInt16()
        note(name, text(value), from: offset)
        return value
    }

    @discardableResult
    mutating func uint32(_ name: String, _ text: (UInt32) -> String = { "\($0)" }) throws(ParseError) -> UInt32 {
        let offset = reader.offset
        let value = try reader.readUInt32()
        note(name, text(value), from: offset)
        return value
    }

    /// Octets as text of the caller's making; hexadecimal, shortened, without it.
    @discardableResult
    mutating func hex(
        _ name: String, _ count: Int, _ text: (ArraySlice<UInt8>) -> String = { Scribe.shortened($0) }
    ) throws(ParseError) -> ArraySlice<UInt8> {
        let offset = reader.offset
        let octets = try reader.read(count)
        note(name, text(octets), from: offset)
        return octets
    }

    mutating func rest(_ name: String, _ text: (ArraySlice<UInt8>) -> String = { Scribe.shortened($0) }) {
        guard !reader.isAtEnd else { return }
        let offset = reader.offset
        let octets = reader.readRest()
        note(name, text(octets), from: offset)
    }

    /// A part with a length of its own; what breaks inside stays inside.
    mutating func part(
        _ name: String, _ count: Int, _ body: (inout Scribe) throws(ParseError) -> Void
    ) throws(ParseError) {
        let offset = reader.offset
        var inner = Scribe(try reader.read(count))
        var field = DescribedField(name: name, value: "", offset: offset, count: count)
        do throws(ParseError) {
            try body(&inner)
            if !inner.reader.isAtEnd {
                throw .invalid(offset: inner.reader.offset, rule: "nothing follows the last field of the \(name)")
            }
        } catch {
            field.problem = Problem(error)
        }
        field.children = inner.fields
        fields.append(field)
    }

    static func shortened(_ octets: ArraySlice<UInt8>) -> String {
        octets.count <= 24 ? octets.hex : "\(octets.prefix(20).hex)… (\(octets.count) octets)"
    }
}
