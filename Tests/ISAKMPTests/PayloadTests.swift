import ISAKMP
import Primitives
import Testing
import VectorSupport

/// A domain of interpretation with a situation of one octet, as proof that the framework knows none.
enum TestDOI: DomainOfInterpretation {
    static let identifier: UInt32 = 99
    static func readSituation(_ reader: inout ByteReader) throws(ParseError) -> [UInt8] {
        [try reader.readUInt8()]
    }
    static func octets(_ situation: [UInt8]) -> [UInt8] { situation }
    static func protocolName(_ protocolID: UInt8) -> String? { nil }
    static func transformName(_ identifier: UInt8, protocolID: UInt8) -> String? { nil }
    static func attributeName(_ type: UInt16, protocolID: UInt8) -> String? { nil }
    static func identificationName(_ type: UInt8) -> String? { nil }
    static func notificationName(_ type: UInt16) -> String? { nil }
}

@Suite struct PayloadTests {
    private let sample = SecurityAssociationPayload(
        TestDOI.self, situation: [7],
        proposals: [
            ProposalPayload(
                number: 1, protocolID: 3, spi: [1, 2, 3, 4],
                transforms: [
                    TransformPayload(
                        number: 1, identifier: 12,
                        attributes: [DataAttribute(4, 1), DataAttribute(2, octets: [0, 1, 0x51, 0x80])]),
                    TransformPayload(number: 2, identifier: 3, attributes: []),
                ]),
            ProposalPayload(number: 2, protocolID: 1, spi: [], transforms: []),
        ])

    @Test func anSAPayloadIsReadAsItWasWritten() throws {
        let body = sample.body
        #expect(try SecurityAssociationPayload(parsing: body[...], TestDOI.self) == sample)
        // DOI, situation, then proposals with their lengths (RFC 2408 §3.4-§3.6).
        #expect(Array(body.prefix(5)) == [0, 0, 0, 99, 7])
        #expect(Array(body[5..<13]) == [2, 0, 0, 40, 1, 3, 4, 2])
    }

    @Test func anotherDOIIsRefused() {
        #expect(throws: ParseError.self) {
            try SecurityAssociationPayload(parsing: sample.body[...], GenericDOI.self)
        }
    }

    @Test func everyCutAndEveryFlippedBitIsReadOrRefused() {
        let body = sample.body
        for count in 0..<body.count {
            #expect(throws: ParseError.self, "cut to \(count)") {
                try SecurityAssociationPayload(parsing: body[..<count], TestDOI.self)
            }
        }
        for index in body.indices {
            for bit in 0..<8 {
                var flipped = body
                flipped[index] ^= 1 << UInt8(bit)
                guard let read = try? SecurityAssociationPayload(parsing: flipped[...], TestDOI.self) else { continue }
                // What is read is written again to something that reads the same.
                #expect(try! SecurityAssociationPayload(parsing: read.body[...], TestDOI.self) == read)
            }
        }
        #expect(throws: ParseError.self) {
            try SecurityAssociationPayload(parsing: (body + [0])[...], TestDOI.self)
        }
    }

    @Test func errorsNameTheOctet() {
        var body = sample.body
        // The first transform's length.
        body[5 + 12 + 2] = 0
        body[5 + 12 + 3] = 3
        do {
            _ = try SecurityAssociationPayload(parsing: body[...], TestDOI.self)
            Issue.record("a length of 3 was read")
        } catch {
            #expect(error.offset == 5 + 12 + 2)
        }
    }

    @Test func proposalsWithoutEndAreRefused() {
        var body: [UInt8] = [0, 0, 0, 99, 7]
        for _ in 0..<5000 { body += [2, 0, 0, 8, 1, 1, 0, 0] }
        body += [0, 0, 0, 8, 1, 1, 0, 0]
        #expect(throws: ParseError.self) { try SecurityAssociationPayload(parsing: body[...], TestDOI.self) }
    }

    @Test func attributesAreShortOrLong() {
        #expect(DataAttribute(1, number: 65_535).isBasic && !DataAttribute(1, number: 65_536).isBasic)
        #expect(DataAttribute(1, number: 65_536).value == [0, 1, 0, 0])
        #expect(DataAttribute(1, octets: [0, 0, 0, 0, 0, 0, 0, 0, 5]).number == 5)
        #expect(DataAttribute(1, octets: [UInt8](repeating: 1, count: 9)).number == nil)
        #expect(DataAttribute(1, octets: []).number == 0)
    }

    @Test func notificationsAndDeletions() throws {
        let notification = NotificationPayload(doi: 1, protocolID: 3, spi: [1, 2, 3, 4], type: 24_578, data: [9])
        #expect(notification.payload.type == .notification)
        #expect(notification.payload.body == [0, 0, 0, 1, 3, 4, 0x60, 0x02, 1, 2, 3, 4, 9])
        #expect(try NotificationPayload(parsing: notification.payload.body) == notification)
        #expect(!notification.isError && NotificationPayload(doi: 1, protocolID: 1, type: 14).isError)
        for count in 0..<12 {
            #expect(throws: ParseError.self) {
                try NotificationPayload(parsing: Array(notification.payload.body.prefix(count)))
            }
        }
        let deletion = DeletePayload(doi: 1, protocolID: 3, spis: [[1, 2, 3, 4], [5, 6, 7, 8]])
        #expect(deletion.payload.type == .delete)
        #expect(try DeletePayload(parsing: deletion.payload.body) == deletion)
        for count in 0..<deletion.payload.body.count {
            #expect(throws: ParseError.self) {
                try DeletePayload(parsing: Array(deletion.payload.body.prefix(count)))
            }
        }
        // 65,535 SPIs of nothing.
        #expect(throws: ParseError.self) { try DeletePayload(parsing: [0, 0, 0, 1, 3, 0, 0xFF, 0xFF]) }
    }

    // MARK: Recorded traffic

    @Test(arguments: VectorFile("ikev1-recorded").records)
    func recordedMessagesAreReadAndWritten(record: VectorFile.Record) throws {
        let octets = record["octets"]
        var reader = ByteReader(octets)
        let header = try Header(from: &reader)
        #expect(header.majorVersion == 1 && Int(header.length) == octets.count)
        guard !header.flags.contains(.encryption) else {
            #expect((octets.count - Header.octetCount).isMultiple(of: 8))
            return
        }
        let (payloads, _) = try PayloadChain.read(first: header.nextPayload, from: &reader)
        #expect(!payloads.isEmpty && reader.isAtEnd)
        #expect(Message(header: header, payloads: payloads).octets == octets)
    }
}
