import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

extension InlineEngine {
    func openHeader(_ packet: [UInt8]) -> OpenResult { openHeader(packet, from: westEndpoint, now: start) }
}

/// AH, alone and around ESP (RFC 4302).
@Suite struct AuthenticationHeaderTests {
    private static let algorithms: [IntegrityID] = [
        .hmacMD5_96, .hmacSHA1_96, .aesXCBC_96, .aesCMAC_96, .hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256,
    ]

    @Test(arguments: algorithms, [false, true])
    func carriesPacketsInTunnelMode(integrity: IntegrityID, esn: Bool) throws {
        for v6 in [false, true] {
            var pair = AssociationPair().headerOnly(integrity, esn: esn)
            if v6 { pair = pair.overV6() }
            let (west, east) = engines(pair)
            for (from, to) in [("10.1.0.1", "10.2.9.9"), ("fd01::1", "fd02::2")] {
                for payload in [0, 1, 1372] {
                    let inner = packet(from: from, to: to, payload: payload)
                    let outer = try octets(west.seal(inner))
                    let (header, unit) = v6 ? (40, 8) : (20, 4)
                    let octets = (12 + integrity.tagOctets + unit - 1) / unit * unit
                    #expect(outer.count == header + octets + inner.count)
                    #expect(outer[v6 ? 6 : 9] == 51)
                    #expect(Int(outer[header + 1]) == octets / 4 - 2)
                    #expect(outer[header] == (from.contains(":") ? 41 : 4))
                    #expect(outer.suffix(inner.count).elementsEqual(inner), "AH hides nothing")
                    #expect(east.openHeader(outer).packet == inner)
                    #expect(east.openHeader(outer) == .dropped(.replayed))
                }
            }
        }
    }

    /// The check value by its definition: IP header with mutable fields zero, AH with the value zero, payload, and the
    /// high half of an extended number (RFC 4302 §3.3.3).
    @Test(arguments: [false, true])
    func computesTheCheckValueOfTheStandard(esn: Bool) throws {
        let pair = AssociationPair().headerOnly(.hmacSHA256_128, esn: esn)
        let west = InlineEngine()
        west.install(pair.west, sequence: esn ? (3 << 32) + 6 : 6)
        let outer = try octets(west.seal(packet(payload: 33)))
        #expect(Array(outer[28..<32]) == [0, 0, 0, 7])
        var covered = outer
        for index in [1, 6, 7, 8, 10, 11] + Array(32..<48) { covered[index] = 0 }
        if esn { covered += [0, 0, 0, 3] }
        let expected = try IntegrityCheck.compute(
            .hmacSHA256_128, key: try #require(pair.west.keys.integrity), covered[...])
        #expect(Array(outer[32..<48]) == expected)
    }

    @Test func toleratesWhatRoutersChangeAndNothingElse() throws {
        let pair = AssociationPair().headerOnly()
        let west = InlineEngine()
        west.install(pair.west)
        let outer = try octets(west.seal(packet(payload: 40)))
        for bit in 0..<(outer.count * 8) {
            let east = InlineEngine()
            east.install(pair.east)
            var changed = outer
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            // TOS, flags and fragment offset, TTL, checksum.
            let isMutable = [1, 6, 7, 8, 10, 11].contains(bit / 8)
            let opened = east.openHeader(changed)
            #expect((opened.packet != nil) == isMutable, "bit \(bit) of octet \(bit / 8)")
            if !isMutable { #expect(east.openHeader(outer).packet != nil, "a forgery leaves no trace") }
        }
        for count in 0..<outer.count {
            let east = InlineEngine()
            east.install(pair.east)
            #expect(east.openHeader(Array(outer[..<count])).packet == nil)
        }
    }

    /// Builds AH with other headers in front, as a router or another sender may have them.
    private func sealed(_ ipHeader: [UInt8], cleared: [UInt8], inner: [UInt8], key: Secret) throws -> [UInt8] {
        var header: [UInt8] = [4, 5, 0, 0, 0xC0, 0xFF, 0xEE, 0x01, 0, 0, 0, 1]
        header += [UInt8](repeating: 0, count: 16)
        let isV6 = ipHeader[0] >> 4 == 6
        if isV6 {
            header[1] = 6
            header += [0, 0, 0, 0]
        }
        let tag = try IntegrityCheck.compute(.hmacSHA256_128, key: key, (cleared + header + inner)[...])
        header.replaceSubrange(12..<28, with: tag)
        return ipHeader + header + inner
    }

    @Test func treatsIPv4OptionsByTheTable() throws {
        let pair = AssociationPair().headerOnly()
        let key = try #require(pair.east.keys.integrity)
        let inner = packet(payload: 10)
        // Record route (mutable, zeroed whole), router alert (immutable), end of list.
        let options: [UInt8] = [7, 7, 4, 9, 9, 9, 9, 148, 4, 0, 0, 0]
        let clearedOptions: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 148, 4, 0, 0, 0]
        var header: [UInt8] = [0x48, 0x10]
        header.append(bigEndian: UInt16(32 + 28 + inner.count))
        header += [0, 1, 0x40, 0, 33, 51, 0x12, 0x34, 192, 0, 2, 1, 192, 0, 2, 2]
        var cleared = header + clearedOptions
        for index in [1, 6, 7, 8, 10, 11] { cleared[index] = 0 }
        let outer = try sealed(header + options, cleared: cleared, inner: inner, key: key)
        let (_, east) = engines(pair)
        var otherRoute = outer
        otherRoute[24] = 77
        #expect(east.openHeader(otherRoute).packet == inner, "what routers record may change")
        var otherAlert = outer
        otherAlert[29] = 1
        #expect(engines(pair).east.openHeader(otherAlert) == .dropped(.authenticationFailed))
        var broken = outer
        broken[21] = 90
        #expect(engines(pair).east.openHeader(broken) == .dropped(.malformed))
    }

    @Test func treatsExtensionHeadersByTheirOptions() throws {
        let pair = AssociationPair().headerOnly().overV6()
        let key = try #require(pair.east.keys.integrity)
        let inner = packet(payload: 10)
        // Hop-by-hop options: one whose data may change (0x3E), one whose data may not (0x1E), and padding.
        let hopByHop: [UInt8] = [43, 1, 0x3E, 2, 5, 5, 0x1E, 2, 6, 6, 1, 4, 0, 0, 0, 0]
        // A routing header (type 4 here: segments left 0), which stays as it arrives.
        let routing: [UInt8] = [51, 0, 4, 0, 0, 0, 0, 0]
        var header: [UInt8] = [0x6A, 0xBC, 0xDE, 0xF0]
        header.append(bigEndian: UInt16(hopByHop.count + routing.count + 32 + inner.count))
        header += [0, 9]
        header += westEndpointV6.address.octets + eastEndpointV6.address.octets
        var cleared = header
        cleared[0] = 0x60
        for index in [1, 2, 3, 7] { cleared[index] = 0 }
        var clearedOptions = hopByHop
        clearedOptions[4] = 0
        clearedOptions[5] = 0
        let outer = try sealed(
            header + hopByHop + routing, cleared: cleared + clearedOptions + routing, inner: inner, key: key)
        let (_, east) = engines(pair)
        var changed = outer
        changed[44] = 99
        changed[7] = 3
        #expect(east.openHeader(changed).packet == inner)
        var wrong = outer
        wrong[48] = 99
        #expect(engines(pair).east.openHeader(wrong) == .dropped(.authenticationFailed))
        var endless = outer
        endless[41] = 255
        #expect(engines(pair).east.openHeader(endless) == .dropped(.malformed))
    }

    @Test func servesTransportMode() throws {
        let pair = AssociationPair(westSelectors: [westHost], eastSelectors: [eastHost]).headerOnly()
            .inTransportMode()
        let (west, east) = engines(pair)
        let inner = packet(from: "192.0.2.1", to: "192.0.2.2", payload: 50)
        let outer = try octets(west.seal(inner))
        #expect(outer.count == inner.count + 28)
        #expect(outer[20] == 17)
        let opened = try #require(east.openHeader(outer).packet)
        #expect(opened.dropFirst(20).elementsEqual(inner.dropFirst(20)))
    }

    @Test func standsAroundESP() throws {
        let pair = AssociationPair().withHeader()
        let (west, east) = engines(pair)
        let inner = packet(payload: 100)
        let outer = try octets(west.seal(inner))
        #expect(outer[9] == 51)
        #expect(outer[20] == 50)
        #expect(east.openHeader(outer).packet == inner)
        // ESP alone, or under another AH, is not what was agreed on.
        let second = try octets(west.seal(inner))
        #expect(east.open(Array(second[44...])) == .dropped(.unprotected))
        let headerOnly = AssociationPair(spi: 0xA0A0_A0A0).headerOnly(.hmacSHA1_96)
        let forger = InlineEngine()
        forger.install(headerOnly.west)
        let bare = try octets(forger.seal(inner))
        #expect(east.openHeader(bare) == .dropped(.replayed), "number 1 was taken")
        let third = try octets(forger.seal(inner))
        _ = third
        let fourth = try octets(forger.seal(inner))
        #expect(east.openHeader(fourth) == .dropped(.unprotected))
        east.remove(pair.east.spi, .inbound, of: pair.east.child)
        #expect(east.openHeader(second) == .dropped(.unknownSPI))
    }

    /// RFC 3948 has no AH in UDP.
    @Test func doesNotGoInsideUDP() {
        let pair = AssociationPair().headerOnly().changed { $0.udpEncapsulation = true }
        let (west, _) = engines(pair)
        #expect(west.seal(packet()) == .dropped(.unsupported))
    }

    @Test func stopsBeforeNumbersWrap() throws {
        let west = InlineEngine()
        west.install(AssociationPair().headerOnly().west, sequence: UInt64(UInt32.max) - 1)
        #expect(west.seal(packet()).octets != nil)
        #expect(west.seal(packet()) == .dropped(.sequenceExhausted))
        #expect(west.takeEvents() == [.exhausted(ChildID(1))])
    }
}
