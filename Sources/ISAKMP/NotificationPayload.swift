package import Primitives

/// The body of a notification payload (RFC 2408 §3.14).
package struct NotificationPayload: Hashable, Sendable {
    package var doi: UInt32
    package var protocolID: UInt8
    package var spi: [UInt8]
    package var type: UInt16
    package var data: [UInt8]

    package init(doi: UInt32, protocolID: UInt8, spi: [UInt8] = [], type: UInt16, data: [UInt8] = []) {
        self.doi = doi
        self.protocolID = protocolID
        self.spi = spi
        self.type = type
        self.data = data
    }

    package init(parsing body: [UInt8]) throws(ParseError) {
        var reader = ByteReader(body)
        doi = try reader.readUInt32()
        protocolID = try reader.readUInt8()
        let spiOctets = try reader.readUInt8()
        type = try reader.readUInt16()
        spi = Array(try reader.read(Int(spiOctets)))
        data = Array(reader.readRest())
    }

    package var payload: Payload {
        var octets: [UInt8] = []
        octets.append(bigEndian: doi)
        octets += [protocolID, UInt8(truncatingIfNeeded: spi.count)]
        octets.append(bigEndian: type)
        return Payload(.notification, body: octets + spi + data)
    }

    /// Whether the type reports an error rather than a status (RFC 2408 §3.14.1).
    package var isError: Bool { type < 16384 }
}

/// The body of a delete payload (RFC 2408 §3.15).
package struct DeletePayload: Hashable, Sendable {
    package var doi: UInt32
    package var protocolID: UInt8
    /// All of one length.
    package var spis: [[UInt8]]

    package init(doi: UInt32, protocolID: UInt8, spis: [[UInt8]]) {
        self.doi = doi
        self.protocolID = protocolID
        self.spis = spis
    }

    package init(parsing body: [UInt8]) throws(ParseError) {
        var reader = ByteReader(body)
        doi = try reader.readUInt32()
        protocolID = try reader.readUInt8()
        let spiOctets = Int(try reader.readUInt8())
        let count = Int(try reader.readUInt16())
        let offset = reader.offset
        guard spiOctets > 0, reader.remaining == spiOctets * count else {
            throw .invalid(offset: offset, rule: "the SPIs fill the payload (RFC 2408 §3.15)")
        }
        spis = []
        for _ in 0..<count { spis.append(Array(try reader.read(spiOctets))) }
    }

    package var payload: Payload {
        var octets: [UInt8] = []
        octets.append(bigEndian: doi)
        octets += [protocolID, UInt8(truncatingIfNeeded: spis.first?.count ?? 0)]
        octets.append(bigEndian: UInt16(truncatingIfNeeded: spis.count))
        return Payload(.delete, body: octets + spis.flatMap { $0 })
    }
}

/// Notification numbers that the framework itself knows (RFC 2408 §3.14.1).
package enum NotificationType {
    package static let situationNotSupported: UInt16 = 3
    package static let invalidExchangeType: UInt16 = 7
    package static let attributesNotSupported: UInt16 = 13
    package static let payloadMalformed: UInt16 = 16
    package static let noProposalChosen: UInt16 = 14
    package static let invalidKeyInformation: UInt16 = 17
    package static let invalidIDInformation: UInt16 = 18
    package static let authenticationFailed: UInt16 = 24
    package static let unsupportedExchangeType: UInt16 = 29
    /// The SAs of a Quick Mode with the Commit bit are in place (RFC 2408 §3.1, §3.14.1).
    package static let connected: UInt16 = 16_384
}
