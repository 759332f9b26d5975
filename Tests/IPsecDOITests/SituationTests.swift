import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

/// RFC 2407 §4.2 and §4.6.1: what an SA payload says before its proposals.
@Suite struct SituationTests {
    private let secrecy = SecurityLabel(level: [3], categories: [0, 9], categoryBits: 10)
    private let integrity = SecurityLabel(level: [1, 2, 3, 4], categories: [])

    private func read(_ octets: [UInt8]) throws(ParseError) -> SecuritySituation {
        var reader = ByteReader(octets)
        let situation = try IPsecDOI.readSituation(&reader)
        #expect(reader.isAtEnd)
        return situation
    }

    @Test func identitiesAlone() throws {
        #expect(IPsecDOI.octets(.identityOnly) == IPsecDOI.identityOnly)
        #expect(try read([0, 0, 0, 1]) == .identityOnly)
    }

    /// Figure 1 of §4.6.1, octet by octet.
    @Test func labelsAreWrittenAsInTheFigure() throws {
        let both = SecuritySituation(labelledDomain: 0x0102_0304, secrecy: secrecy, integrity: integrity)
        let octets: [UInt8] = [
            0, 0, 0, 7, 1, 2, 3, 4,
            0, 1, 0, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0x80, 0x40, 0, 0,
            0, 4, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0,
        ]
        #expect(IPsecDOI.octets(both) == octets)
        #expect(try read(octets) == both)
        let one = SecuritySituation(labelledDomain: 9, integrity: secrecy)
        let written = IPsecDOI.octets(one)
        #expect(written.prefix(8) == [0, 0, 0, 5, 0, 0, 0, 9])
        #expect(try read(written) == one && one.secrecy == nil)
    }

    @Test func brokenOnesAreRefused() {
        let whole = IPsecDOI.octets(SecuritySituation(labelledDomain: 1, secrecy: secrecy, integrity: integrity))
        for length in 0..<whole.count {
            #expect(throws: ParseError.self) { try read(Array(whole.prefix(length))) }
        }
        // Unknown bits, no bits, reserved octets, padding of a level, and bits behind the bitmap's end.
        for (offset, value) in [(3, 9), (3, 0), (10, 1), (13, 1), (18, 1), (21, 0x60), (22, 1), (26, 1)]
            as [(Int, UInt8)]
        {
            var octets = whole
            octets[offset] = value
            #expect(throws: ParseError.self, "octet \(offset)") { try read(octets) }
        }
        // A length that no peer needs.
        #expect(throws: ParseError.self) {
            try read([0, 0, 0, 3, 0, 0, 0, 0, 4, 0, 0, 0] + [UInt8](repeating: 1, count: 1028))
        }
    }

    @Test func labelsCompareByWhatTheySay() {
        #expect(
            SecurityLabel(level: [1], categories: [2], categoryBits: 3)
                == SecurityLabel(level: [1], categories: [2], categoryBits: 300))
        #expect(SecurityLabel(level: [1], categories: [2]) != SecurityLabel(level: [1], categories: []))
        #expect(SecurityLabel(level: [1], categories: []) != SecurityLabel(level: [0, 1], categories: []))
    }

    @Test func labelsHaveATextForm() {
        #expect(SecurityLabel("03:1,5") == SecurityLabel(level: [3], categories: [1, 5]))
        #expect(SecurityLabel("0a0B") == SecurityLabel(level: [10, 11], categories: []))
        for text in ["", "3", "0g", "03:", "03:x", "03:1,", "03:2048", "03:-1", ":1"] {
            #expect(SecurityLabel(text) == nil, "\(text)")
        }
        #expect(SecurityLabel(level: [3], categories: [5, 1]).description == "03:1,5")
    }

    @Test func anSAPayloadKeepsItsSituation() throws {
        let labelled = SecuritySituation(labelledDomain: 1, secrecy: secrecy)
        let payload = SecurityAssociationPayload(
            IPsecDOI.self, situation: IPsecDOI.octets(labelled),
            proposals: [ProposalPayload(number: 1, protocolID: 1, spi: [], transforms: [])])
        let read = try SecurityAssociationPayload(parsing: payload.body[...], IPsecDOI.self)
        #expect(read == payload)
        #expect(try read.situation(IPsecDOI.self) == labelled)
    }

    @Test func everyNumberOfTheRFCHasAName() {
        #expect((1...11).allSatisfy { IPsecDOI.identificationName($0) != nil })
        #expect(IPsecDOI.identificationName(0) == nil && IPsecDOI.identificationName(12) == nil)
        #expect((1...4).allSatisfy { IPsecDOI.protocolName($0) != nil } && IPsecDOI.protocolName(5) == nil)
        #expect(IPsecDOI.transformName(1, protocolID: 1) == "KEY_IKE")
        #expect((1...12).allSatisfy { IPsecDOI.transformName($0, protocolID: 3) != nil })
        #expect((1...9).allSatisfy { IPsecDOI.attributeName($0, protocolID: 3) != nil })
        #expect((1...16).allSatisfy { IPsecDOI.attributeName($0, protocolID: 1) != nil })
        #expect((24_576...24_578).allSatisfy { IPsecDOI.notificationName($0) != nil })
        #expect(GenericDOI.identifier == 0 && GenericDOI.identificationName(0) == "ID_IPV4_ADDR")
    }
}
