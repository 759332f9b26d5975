package import Primitives

/// A data attribute (RFC 2408 §3.3): a type with two octets of value (TV) or with any number (TLV).
package struct DataAttribute: Hashable, Sendable {
    /// Fifteen bits.
    package var type: UInt16
    package var value: [UInt8]
    package var isBasic: Bool

    /// Two octets of value.
    package init(_ type: UInt16, _ value: UInt16) {
        self.type = type
        self.value = [UInt8(truncatingIfNeeded: value >> 8), UInt8(truncatingIfNeeded: value)]
        isBasic = true
    }

    package init(_ type: UInt16, octets: [UInt8]) {
        self.type = type
        value = octets
        isBasic = false
    }

    /// A number in the shorter form that holds it.
    package init(_ type: UInt16, number: UInt32) {
        if let short = UInt16(exactly: number) {
            self.init(type, short)
        } else {
            var octets: [UInt8] = []
            octets.append(bigEndian: number)
            self.init(type, octets: octets)
        }
    }

    /// The value as a number; `nil` where it has more than 64 bits.
    package var number: UInt64? {
        let digits = value.drop { $0 == 0 }
        return digits.count > 8 ? nil : digits.reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads one from where it begins.
    package init(from reader: inout ByteReader) throws(ParseError) {
        let head = try reader.readUInt16()
        let second = try reader.readUInt16()
        type = head & 0x7FFF
        isBasic = head & 0x8000 != 0
        value =
            isBasic
            ? [UInt8(truncatingIfNeeded: second >> 8), UInt8(truncatingIfNeeded: second)]
            : Array(try reader.read(Int(second)))
    }

    /// As it travels.
    package var octets: [UInt8] {
        var octets: [UInt8] = []
        write(to: &octets)
        return octets
    }

    package func write(to octets: inout [UInt8]) {
        octets.append(bigEndian: type | (isBasic ? 0x8000 : 0))
        if !isBasic { octets.append(bigEndian: UInt16(truncatingIfNeeded: value.count)) }
        octets += value
    }
}

/// A transform payload (RFC 2408 §3.6).
package struct TransformPayload: Hashable, Sendable {
    package var number: UInt8
    /// The DOI says what it stands for in the proposal's protocol.
    package var identifier: UInt8
    package var attributes: [DataAttribute]

    package init(number: UInt8, identifier: UInt8, attributes: [DataAttribute]) {
        self.number = number
        self.identifier = identifier
        self.attributes = attributes
    }

    package func attribute(_ type: UInt16) -> DataAttribute? { attributes.first { $0.type == type } }
}

/// A proposal payload (RFC 2408 §3.5). Proposals of one number are meant together, those of different numbers are
/// alternatives.
package struct ProposalPayload: Hashable, Sendable {
    package var number: UInt8
    package var protocolID: UInt8
    package var spi: [UInt8]
    package var transforms: [TransformPayload]

    package init(number: UInt8, protocolID: UInt8, spi: [UInt8], transforms: [TransformPayload]) {
        self.number = number
        self.protocolID = protocolID
        self.spi = spi
        self.transforms = transforms
    }
}

/// The body of an SA payload (RFC 2408 §3.4) of one DOI.
package struct SecurityAssociationPayload: Hashable, Sendable {
    package var doi: UInt32
    package var situation: [UInt8]
    package var proposals: [ProposalPayload]

    /// More of each than any peer needs: a 64 KiB message could name thousands.
    package static let maximumProposals = 64
    package static let maximumTransforms = 255
    package static let maximumAttributes = 32

    package init<DOI: DomainOfInterpretation>(_: DOI.Type, situation: [UInt8], proposals: [ProposalPayload]) {
        doi = DOI.identifier
        self.situation = situation
        self.proposals = proposals
    }

    /// Reads a body whose situation `DOI` understands.
    ///
    /// - Throws: offsets count from the start of the message where `body` is a slice of it.
    package init<DOI: DomainOfInterpretation>(
        parsing body: ArraySlice<UInt8>, _: DOI.Type
    ) throws(ParseError) {
        var reader = ByteReader(body)
        let offset = reader.offset
        doi = try reader.readUInt32()
        guard doi == DOI.identifier else {
            throw .invalid(offset: offset, rule: "the DOI is \(DOI.identifier) (RFC 2408 §3.4)")
        }
        let start = reader.offset
        _ = try DOI.readSituation(&reader)
        situation = Array(body[start..<reader.offset])
        proposals = []
        var isLast = false
        while !isLast {
            guard proposals.count < SecurityAssociationPayload.maximumProposals else {
                throw .invalid(offset: reader.offset, rule: "too many proposals")
            }
            let (proposal, more) = try ProposalPayload.read(&reader)
            proposals.append(proposal)
            isLast = !more
        }
        guard reader.isAtEnd else {
            throw .invalid(offset: reader.offset, rule: "nothing follows the last proposal (RFC 2408 §3.5)")
        }
    }

    /// What the situation says; it was read so before.
    package func situation<DOI: DomainOfInterpretation>(_: DOI.Type) throws(ParseError) -> DOI.Situation {
        var reader = ByteReader(situation)
        return try DOI.readSituation(&reader)
    }

    package var body: [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: doi)
        octets += situation
        for (index, proposal) in proposals.enumerated() {
            proposal.write(to: &octets, isLast: index + 1 == proposals.count)
        }
        return octets
    }
}

extension ProposalPayload {
    /// Reads one, and whether another follows.
    fileprivate static func read(_ reader: inout ByteReader) throws(ParseError) -> (ProposalPayload, more: Bool) {
        var (body, next) = try substructure(&reader, continuation: .proposal)
        let number = try body.readUInt8()
        let protocolID = try body.readUInt8()
        let spiOctets = try body.readUInt8()
        let count = try body.readUInt8()
        var proposal = ProposalPayload(
            number: number, protocolID: protocolID, spi: Array(try body.read(Int(spiOctets))), transforms: [])
        for index in 0..<count {
            let offset = body.offset
            let (transform, more) = try TransformPayload.read(&body)
            proposal.transforms.append(transform)
            guard more == (index + 1 < count) else {
                throw .invalid(offset: offset, rule: "the number of transforms is as announced (RFC 2408 §3.5)")
            }
        }
        guard body.isAtEnd else {
            throw .invalid(offset: body.offset, rule: "nothing follows the last transform (RFC 2408 §3.5)")
        }
        return (proposal, next)
    }

    fileprivate func write(to octets: inout [UInt8], isLast: Bool) {
        let start = octets.count
        octets += [isLast ? 0 : PayloadType.proposal.rawValue, 0, 0, 0, number, protocolID]
        octets += [UInt8(truncatingIfNeeded: spi.count), UInt8(truncatingIfNeeded: transforms.count)]
        octets += spi
        for (index, transform) in transforms.enumerated() {
            transform.write(to: &octets, isLast: index + 1 == transforms.count)
        }
        octets.overwrite(bigEndian: UInt16(truncatingIfNeeded: octets.count - start), at: start + 2)
    }
}

extension TransformPayload {
    fileprivate static func read(_ reader: inout ByteReader) throws(ParseError) -> (TransformPayload, more: Bool) {
        var (body, next) = try substructure(&reader, continuation: .transform)
        var transform = TransformPayload(
            number: try body.readUInt8(), identifier: try body.readUInt8(), attributes: [])
        _ = try body.readUInt16()
        while !body.isAtEnd {
            guard transform.attributes.count < SecurityAssociationPayload.maximumAttributes else {
                throw .invalid(offset: body.offset, rule: "too many attributes")
            }
            transform.attributes.append(try DataAttribute(from: &body))
        }
        return (transform, next)
    }

    fileprivate func write(to octets: inout [UInt8], isLast: Bool) {
        let start = octets.count
        octets += [isLast ? 0 : PayloadType.transform.rawValue, 0, 0, 0, number, identifier, 0, 0]
        for attribute in attributes { attribute.write(to: &octets) }
        octets.overwrite(bigEndian: UInt16(truncatingIfNeeded: octets.count - start), at: start + 2)
    }
}

/// Reads a generic header inside an SA payload: the contents, and whether another structure of the kind follows.
private func substructure(
    _ reader: inout ByteReader, continuation: PayloadType
) throws(ParseError) -> (ByteReader, more: Bool) {
    let offset = reader.offset
    let next = try reader.readUInt8()
    guard next == 0 || next == continuation.rawValue else {
        throw .invalid(offset: offset, rule: "the next payload is 0 or \(continuation.rawValue) (RFC 2408 §3.5, §3.6)")
    }
    _ = try reader.readUInt8()
    let length = Int(try reader.readUInt16())
    guard length >= 8 else { throw .invalid(offset: offset + 2, rule: "the length counts its own 8 octets") }
    return (ByteReader(try reader.read(length - 4)), next != 0)
}
