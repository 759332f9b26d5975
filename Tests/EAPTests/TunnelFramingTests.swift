import Cryptography
import IPsec
import Primitives
import Testing

@testable import EAP

/// How TLS's messages are cut (RFC 5216 §2.1.5, §3.1), and what is said inside EAP-TTLS and PEAP.
@Suite struct TunnelFramingTests {
    @Test(arguments: [1, 2, 7, 100, 255, 256, 1000, 1024, 5000]) func messagesCrossInFragments(
        _ size: Int
    ) throws {
        for length in [1, 2, size - 1, size, size + 1, 3 * size, 3001].filter({ $0 > 0 }) {
            let message = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            var sender = TunnelFraming(fragmentOctets: size)
            var receiver = TunnelFraming(fragmentOctets: size)
            sender.put(message)
            var count = 0
            while true {
                let data = sender.next()
                count += 1
                #expect(data.count <= 5 + size)
                let arrival = try receiver.take(data)
                if case .message(let whole) = arrival {
                    #expect(whole == message)
                    break
                }
                #expect(arrival == .part && sender.hasMore)
                // The first says how long all is.
                if count == 1 { #expect(data[0] == 0xC0 && Int(data[3]) << 8 | Int(data[4]) == length) }
                #expect(try sender.take(TunnelFraming.empty) == .acknowledgement)
            }
            #expect(count == (length + size - 1) / size && !sender.hasMore)
        }
    }

    @Test func brokenFragmentsAreErrors() throws {
        for data: [UInt8] in [
            [], [0x80], [0x80, 0, 0, 1], [0x40], [0x80, 0, 0, 0, 1, 9, 9], [0x80, 0, 0, 0, 3, 9],
            [0xC0, 0, 1, 0, 1, 9], [0xC0, 0xFF, 0xFF, 0xFF, 0xFF, 9],
        ] {
            var framing = TunnelFraming()
            #expect(throws: ParseError.self, "\(data)") { try framing.take(data) }
        }
        // A length that changes, a fragment before ours is acknowledged, nothing behind what promises more.
        var changing = TunnelFraming()
        #expect(try changing.take([0xC0, 0, 0, 0, 4, 1, 2]) == .part)
        #expect(throws: ParseError.self) { try changing.take([0xC0, 0, 0, 0, 5, 1, 2]) }
        var impatient = TunnelFraming(fragmentOctets: 1)
        impatient.put([1, 2])
        _ = impatient.next()
        #expect(throws: ParseError.self) { try impatient.take([0, 9]) }
        var silent = TunnelFraming()
        #expect(try silent.take([0x40, 1]) == .part)
        #expect(throws: ParseError.self) { try silent.take([0]) }
    }

    /// What nobody has said the length of is bounded all the same.
    @Test func endlessMessagesEnd() throws {
        var framing = TunnelFraming()
        let part = [TunnelFraming.moreFlag] + [UInt8](repeating: 1, count: 1000)
        var taken = 0
        while taken < 1000, (try? framing.take(part)) == .part { taken += 1 }
        #expect(taken == TunnelFraming.maximumMessage / 1000)
    }

    @Test func attributes() throws {
        let pair = TunnelAttribute(.eapMessage, [1, 2, 3, 4, 5])
        // Code 79, M, length 13, three octets of padding.
        #expect(pair.octets == [0, 0, 0, 79, 0x40, 0, 0, 13, 1, 2, 3, 4, 5, 0, 0, 0])
        let vendors = TunnelAttribute(.msCHAPChallenge, [9])
        #expect(vendors.octets == [0, 0, 0, 11, 0xC0, 0, 0, 13, 0, 0, 1, 0x37, 9, 0, 0, 0])
        let parsed = try TunnelAttribute.parse(pair.octets + vendors.octets + pair.octets)
        #expect(parsed.map(\.code) == [.eapMessage, .msCHAPChallenge, .eapMessage])
        #expect(TunnelAttribute.joined(.eapMessage, in: parsed) == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5])
        // The last one's padding may be left away.
        #expect(try TunnelAttribute.parse(Array(pair.octets.dropLast(3))).count == 1)
        for octets: [UInt8] in [
            [0], [0, 0, 0, 79, 0x40, 0, 0, 7], [0, 0, 0, 79, 0x40, 0, 0, 20, 1],
            [0, 0, 0, 11, 0x80, 0, 0, 11, 0, 0, 1],
            [UInt8](repeating: 0, count: 8), [0, 0, 0, 1, 0x40, 0xFF, 0xFF, 0xFF],
        ] { #expect(throws: ParseError.self, "\(octets)") { try TunnelAttribute.parse(octets) } }
        let many = [UInt8]((0..<33).flatMap { _ in TunnelAttribute(.userName, []).octets })
        #expect(throws: ParseError.self) { try TunnelAttribute.parse(many) }
    }

    @Test func packetsInsidePEAP() throws {
        let request = EAPPacket(.request, identifier: 9, type: .mschapv2, data: [1, 2, 3])
        #expect(PEAPPacket.inside(request.octets) == [26, 1, 2, 3])
        #expect(try PEAPPacket.outside([26, 1, 2, 3], .request, identifier: 9) == request.octets)
        // With its head it is taken as well.
        #expect(try PEAPPacket.outside(request.octets, .request, identifier: 9) == request.octets)
        #expect(throws: ParseError.self) { try PEAPPacket.outside([], .request, identifier: 9) }
        let success = PEAPPacket.result(.success, .request, identifier: 5)
        #expect(success == [1, 5, 0, 11, 33, 0x80, 3, 0, 2, 0, 1])
        #expect(
            PEAPPacket.isExtension(success, .request) && !PEAPPacket.isExtension(success, .response))
        #expect(
            PEAPPacket.result(success, .request) == .success
                && PEAPPacket.result(success, .response) == nil)
        // Behind another TLV it counts too; cut, or with another value, it is none.
        let behind: [UInt8] = [1, 5, 0, 17, 33, 0, 12, 0, 2, 7, 7, 0x80, 3, 0, 2, 0, 2]
        #expect(PEAPPacket.result(behind, .request) == .failure)
        #expect(PEAPPacket.result([1, 5, 0, 10, 33, 0x80, 3, 0, 2, 0], .request) == nil)
        #expect(PEAPPacket.result([1, 5, 0, 11, 33, 0x80, 3, 0, 2, 0, 3], .request) == nil)
    }

    /// RFC 5281 §11.2.2, §11.2.4, §11.2.5.
    @Test func claimsByAttributes() throws {
        let challenge = [UInt8](1...17)
        let own = Array(challenge.prefix(16))
        let name = TunnelAttribute(.userName, Array("joe".utf8))
        func claim(_ attributes: [TunnelAttribute]) -> AttributeClaim? {
            AttributeClaim([name] + attributes, challenge: challenge)
        }
        guard
            case .password(let user, let password)? = claim([
                TunnelAttribute(.userPassword, Array("foo bar".utf8) + [UInt8](repeating: 0, count: 9))
            ])
        else {
            Issue.record("no password")
            return
        }
        #expect(user == Identity("joe") && password == Secret(Array("foo bar".utf8)))
        let response = [UInt8](repeating: 5, count: 16)
        guard
            case .proof(_, let chap)? = claim([
                TunnelAttribute(.chapChallenge, own), TunnelAttribute(.chapPassword, [17] + response),
            ])
        else {
            Issue.record("no CHAP")
            return
        }
        #expect(chap == UserProof(.md5(identifier: 17, challenge: own), response: response))
        let value =
            [17, 0] + [UInt8](repeating: 3, count: 16) + [UInt8](repeating: 0, count: 8) + [UInt8](1...24)
        guard
            case .proof(_, let mschap)? = claim([
                TunnelAttribute(.msCHAPChallenge, own), TunnelAttribute(.msCHAP2Response, value),
            ])
        else {
            Issue.record("no MS-CHAP-V2")
            return
        }
        #expect(mschap.response == [UInt8](1...24))
        // A challenge or an identifier that is not TLS's, and what is mandatory and unknown.
        let stale = [UInt8](repeating: 0, count: 16)
        #expect(
            claim([TunnelAttribute(.msCHAPChallenge, stale), TunnelAttribute(.msCHAP2Response, value)])
                == nil)
        #expect(
            claim([TunnelAttribute(.chapChallenge, own), TunnelAttribute(.chapPassword, [16] + response)])
                == nil)
        #expect(
            claim([
                TunnelAttribute(.userPassword, [1]),
                TunnelAttribute(TunnelAttribute.Code(number: 999), [1]),
            ]) == nil)
        #expect(AttributeClaim([TunnelAttribute(.userPassword, [1])], challenge: challenge) == nil)
        #expect(claim([TunnelAttribute(.userPassword, [UInt8](repeating: 0, count: 16))]) == nil)
    }
}
