import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

/// Sizes: what fits, and what those hear whose packets do not.
@Suite struct OverheadTests {
    /// The limit is exact: a packet of that size fits into the path, and one octet more does not.
    @Test(arguments: suites, [false, true])
    func theLimitIsExact(suite: Suite, v6: Bool) throws {
        for path in [576, 1280, 1499, 1500, 9000] {
            for encapsulated in [false, true] {
                var pairs = [AssociationPair(suite, encapsulated: encapsulated)]
                if !encapsulated { pairs += [AssociationPair(suite).withHeader(), AssociationPair().headerOnly()] }
                for pair in pairs {
                    let pair = v6 ? pair.overV6() : pair
                    let (west, _) = engines(pair)
                    let limit = pair.west.innerLimit(pathMTU: path)
                    func outer(_ count: Int) throws -> Int {
                        let sealed = try octets(west.seal(packet(payload: count - 28)))
                        let hasHeader = pair.west.authenticationHeader != nil || pair.west.securityProtocol == .ah
                        return sealed.count + (hasHeader ? 0 : v6 ? 40 : 20) + (encapsulated ? 8 : 0)
                    }
                    #expect(try outer(limit) <= path)
                    #expect(try outer(limit + 1) > path)
                }
            }
        }
    }

    @Test func transportModeGainsAHeader() throws {
        let pair = AssociationPair(
            suites[0], westSelectors: [westHost], eastSelectors: [eastHost], encapsulated: false)
        let limit = pair.inTransportMode().west.innerLimit(pathMTU: 1500)
        #expect(limit == pair.west.innerLimit(pathMTU: 1500) + 20)
        let (west, _) = engines(pair.inTransportMode())
        let inner = packet(from: "192.0.2.1", to: "192.0.2.2", payload: limit - 28)
        #expect(try octets(west.seal(inner)).count + 20 <= 1500)
    }

    private func syn(_ options: [UInt8], v6: Bool = false, flags: UInt8 = 2) -> [UInt8] {
        var segment: [UInt8] = [
            0x10, 0, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, UInt8((20 + options.count) / 4) << 4, flags, 1, 0,
        ]
        segment += [0, 0, 0, 0] + options
        var packet = DataPlaneTests.packet(
            from: v6 ? "fd01::1" : "10.1.0.1", to: v6 ? "fd02::1" : "10.2.0.1", ipProtocol: 6, payload: 0)
        packet.removeLast(8)
        packet += segment
        packet.overwrite(bigEndian: UInt16(packet.count - (v6 ? 40 : 0)), at: v6 ? 4 : 2)
        let header = v6 ? 40 : 20
        let sum = packet.withUnsafeBytes { octets in
            let base = octets.baseAddress!
            let pseudo = InternetChecksum.pseudoHeader(
                base, family: v6 ? .v6 : .v4, ipProtocol: 6, payloadOctets: segment.count)
            return ~InternetChecksum.fold(InternetChecksum.sum(base + header, count: segment.count, initial: pseudo))
        }
        withUnsafeBytes(of: sum) { packet.replaceSubrange((header + 16)..<(header + 18), with: $0) }
        return packet
    }

    private func clamped(_ packet: [UInt8], limit: Int) -> [UInt8] {
        var packet = packet
        let view = packet.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count)! }
        packet.withUnsafeMutableBytes { SegmentSize.clamp($0.baseAddress!, view, limit: limit) }
        let header = view.headerOctets
        let sum = packet.withUnsafeBytes { octets in
            let base = octets.baseAddress!
            let pseudo = InternetChecksum.pseudoHeader(
                base, family: view.flow.family, ipProtocol: 6, payloadOctets: view.octets - header)
            return InternetChecksum.fold(
                InternetChecksum.sum(base + header, count: view.octets - header, initial: pseudo))
        }
        #expect(sum == 0xFFFF, "the checksum holds")
        return packet
    }

    @Test func lowersTheSegmentSizeOfSYNsAlone() {
        let options: [UInt8] = [2, 4, 0x05, 0xB4, 1, 3, 3, 7]
        #expect(clamped(syn(options), limit: 1400)[40..<44].elementsEqual([2, 4, 0x05, 0x50]))
        #expect(clamped(syn(options, v6: true), limit: 1400)[60..<64].elementsEqual([2, 4, 0x05, 0x3C]))
        #expect(clamped(syn(options, flags: 0x12), limit: 1400)[42..<44].elementsEqual([0x05, 0x50]), "SYN and ACK")
        // At an odd place, behind one octet of nothing.
        #expect(clamped(syn([1, 2, 4, 0x05, 0xB4, 1, 1, 1]), limit: 1300)[43..<45].elementsEqual([0x04, 0xEC]))
        for untouched in [
            syn(options, flags: 0x10), syn([2, 4, 0x02, 0x18]), syn([]), syn([2, 0, 0, 0]), syn([8, 99, 1, 1]),
        ] {
            #expect(clamped(untouched, limit: 1400) == untouched)
        }
    }

    @Test(arguments: [false, true])
    func tellsTheSenderWhatFits(v6: Bool) throws {
        let inner = packet(from: v6 ? "fd01::1" : "10.1.0.1", to: v6 ? "fd02::1" : "10.2.0.1", payload: 1500)
        let view = try #require(inner.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count) })
        var message = [UInt8](repeating: 0xEE, count: PacketTooBig.maximumOctets)
        let count = message.withUnsafeMutableBytes { target in
            inner.withUnsafeBytes {
                PacketTooBig.write(
                    to: target.baseAddress!, about: $0.baseAddress!, view, quoted: $0.count, mtu: 1344)
            }
        }
        message.removeLast(message.count - count)
        let answer = try #require(message.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count) })
        #expect(answer.octets == count)
        #expect(answer.flow.source == view.flow.destination)
        #expect(answer.flow.destination == view.flow.source)
        let header = v6 ? 40 : 20
        #expect(Array(message[header..<(header + 2)]) == (v6 ? [2, 0] : [3, 4]))
        #expect(Array(message[(header + 6)..<(header + 8)]) == [0x05, 0x40])
        #expect(message[(header + 8)...].elementsEqual(inner[..<PacketTooBig.quotedOctets]))
        let sum = message.withUnsafeBytes { octets in
            let base = octets.baseAddress!
            let pseudo =
                v6
                ? InternetChecksum.pseudoHeader(base, family: .v6, ipProtocol: 58, payloadOctets: count - 40) : 0
            return InternetChecksum.fold(InternetChecksum.sum(base + header, count: count - header, initial: pseudo))
        }
        #expect(sum == 0xFFFF)
    }
}
