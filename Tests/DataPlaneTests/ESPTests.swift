import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

@Suite struct ESPTests {
    @Test(arguments: suites, [false, true])
    func carriesPacketsOfEveryLength(suite: Suite, esn: Bool) throws {
        let (west, east) = engines(AssociationPair(esn ? extended(suite) : suite))
        for payload in [0, 1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 16, 17, 500, 1372, 8000] {
            for (from, to) in [("10.1.0.1", "10.2.9.9"), ("fd01::1", "fd02::2")] {
                let inner = packet(from: from, to: to, payload: payload)
                let esp = try #require(west.seal(inner).octets)
                let block = max(4, suite.encryption.id.blockOctets)
                let tag = suite.encryption.id.tagOctets + (suite.integrity?.tagOctets ?? 0)
                #expect((esp.count - 8 - suite.encryption.id.ivOctets - tag).isMultiple(of: block))
                #expect(esp[0..<4].elementsEqual([0xC0, 0xFF, 0xEE, 0x01]))
                #expect(!esp[8...].elementsEqual(inner))
                let opened = east.open(esp)
                #expect(opened == .opened(packet: inner, child: ChildID(1), spi: SPI(0xC0FF_EE01)))
            }
        }
        #expect(east.dropCounters.nonzero == [:])
        #expect(west.counters(of: ChildID(1))?.outbound.packets == 32)
        #expect(east.counters(of: ChildID(1))?.inbound.packets == 32)
        #expect(
            east.counters(of: ChildID(1))?.inbound.octets == west.counters(of: ChildID(1))?.outbound.octets)
        #expect(east.counters(of: ChildID(1))?.inbound.lastUse == start)
    }

    @Test func numbersStartAtOneAndGrow() throws {
        let (west, _) = engines(AssociationPair())
        for number in 1...3 {
            let esp = try #require(west.seal(packet()).octets)
            #expect(esp[4..<8].elementsEqual([0, 0, 0, UInt8(number)]))
        }
    }

    @Test(arguments: suites, [false, true])
    func refusesEveryFlippedBit(suite: Suite, esn: Bool) throws {
        let pair = AssociationPair(esn ? extended(suite) : suite)
        let (west, east) = engines(pair)
        let esp = try #require(west.seal(packet(payload: 9)).octets)
        for bit in 0..<(esp.count * 8) {
            var flipped = esp
            flipped[bit / 8] ^= 1 << UInt8(bit % 8)
            guard case .dropped(let reason) = east.open(flipped) else {
                Issue.record("bit \(bit) was accepted")
                continue
            }
            let expected: [DropReason] = bit < 32 ? [.unknownSPI] : [.authenticationFailed, .replayed]
            #expect(expected.contains(reason), "bit \(bit)")
        }
        #expect(east.open(esp).packet != nil, "the window did not move for forgeries")
    }

    @Test(arguments: suites)
    func refusesEveryTruncation(suite: Suite) throws {
        let (west, east) = engines(AssociationPair(suite))
        let esp = try #require(west.seal(packet(payload: 9)).octets)
        for count in 0..<esp.count { #expect(east.open(Array(esp[..<count])).packet == nil) }
        #expect(east.open(esp + [0]).packet == nil)
        #expect(east.open(esp).packet != nil)
    }

    @Test func refusesReplays() throws {
        let (west, east) = engines(AssociationPair())
        let packets = try (0..<100).map { _ in try #require(west.seal(packet()).octets) }
        #expect(east.open(packets[70]).packet != nil)
        #expect(east.open(packets[70]) == .dropped(.replayed))
        #expect(east.open(packets[7]).packet != nil, "64 behind the highest number")
        #expect(east.open(packets[6]) == .dropped(.replayed), "one too old")
        #expect(east.open(packets[99]).packet != nil)
        #expect(east.open(packets[35]) == .dropped(.replayed))
        #expect(east.dropCounters[.replayed] == 3)
    }

    @Test func acceptsReplaysWithTheCheckTurnedOff() throws {
        let (west, east) = engines(AssociationPair(window: 0))
        let esp = try #require(west.seal(packet()).octets)
        #expect(east.open(esp).packet != nil)
        #expect(east.open(esp).packet != nil)
    }

    @Test(arguments: suites)
    func extendedNumbersCrossTheirLowHalf(suite: Suite) throws {
        let pair = AssociationPair(extended(suite))
        let west = InlineEngine()
        let east = InlineEngine()
        east.install(pair.east)
        // The receiver follows: each step is one that its window can tell.
        for number: UInt64 in [1 << 30, 1 << 31, 3 << 30, 0xFFFF_FFFD] {
            west.install(pair.west, sequence: number - 1)
            #expect(east.open(try #require(west.seal(packet()).octets)).packet != nil)
        }
        var held: [UInt8] = []
        for step in 0..<6 {
            let esp = try #require(west.seal(packet(payload: step)).octets)
            if step == 1 {
                held = esp
                #expect(esp[4..<8].elementsEqual([255, 255, 255, 255]))
                continue
            }
            #expect(east.open(esp).packet == packet(payload: step))
        }
        #expect(east.open(held).packet == packet(payload: 1), "from before the crossing, inside the window")
        #expect(east.open(held) == .dropped(.replayed))
        #expect(west.takeEvents().isEmpty)
    }

    @Test func stopsBeforeNumbersWrap() throws {
        let pair = AssociationPair()
        let west = InlineEngine()
        west.install(pair.west, sequence: UInt64(1) << 32 - UInt64(1) << 20 - 2)
        #expect(west.seal(packet()).octets != nil)
        #expect(west.takeEvents().isEmpty)
        #expect(west.seal(packet()).octets != nil)
        #expect(west.takeEvents() == [.exhausted(ChildID(1))])
        #expect(west.seal(packet()).octets != nil)
        #expect(west.takeEvents().isEmpty, "said once")

        let last = InlineEngine()
        last.install(pair.west, sequence: UInt64(UInt32.max) - 1)
        let esp = try #require(last.seal(packet()).octets)
        #expect(esp[4..<8].elementsEqual([255, 255, 255, 255]))
        #expect(last.seal(packet()) == .dropped(.sequenceExhausted))
        #expect(last.seal(packet()) == .dropped(.sequenceExhausted))
        #expect(last.dropCounters[.sequenceExhausted] == 2)
    }

    @Test func refusesWhatItDoesNotServe() {
        var pair = AssociationPair()
        pair.west.suite.encryption = Encryption(EncryptionID(rawValue: 1))
        pair.east.suite.encryption = Encryption(EncryptionID(rawValue: 1))
        let (west, east) = engines(pair)
        #expect(west.seal(packet()) == .dropped(.unsupported))
        #expect(east.open([0xC0, 0xFF, 0xEE, 0x01] + [UInt8](repeating: 1, count: 60)) == .dropped(.unsupported))
        let (empty, other) = engines()
        #expect(empty.seal([]) == .dropped(.malformed))
        #expect(empty.seal([0x45, 0]) == .dropped(.malformed))
        #expect(empty.seal(packet()) == .dropped(.noPolicy))
        #expect(other.open([0xFF]) == .keepalive)
        #expect(other.open([]) == .dropped(.malformed))
        #expect(other.open([1, 2, 3, 4, 5, 6, 7]) == .dropped(.malformed))
        #expect(other.open([UInt8](repeating: 9, count: 80)) == .dropped(.unknownSPI))
        #expect(other.dropCounters.nonzero == [.malformed: 2, .unknownSPI: 1])
    }
}

/// Packets that only a peer with the keys can make, and that are wrong inside.
@Suite struct InsideTests {
    /// Seals raw plaintext (payload, padding, pad length, next header) under the pair's keys.
    private func seal(_ plain: [UInt8], _ pair: AssociationPair, sequence: UInt32 = 1) throws -> [UInt8] {
        let suite = pair.west.suite
        let cipher = try PacketCipher(
            suite: suite.encryption, integrity: suite.integrity, encryptionKey: pair.west.keys.encryption,
            integrityKey: pair.west.keys.integrity, sealing: true)
        var esp: [UInt8] = []
        esp.append(bigEndian: pair.west.spi.value)
        esp.append(bigEndian: sequence)
        esp += [UInt8](repeating: 0, count: cipher.ivOctets) + plain + [UInt8](repeating: 0, count: cipher.tagOctets)
        let count = esp.count
        let sealed = esp.withUnsafeMutableBytes {
            cipher.seal($0.baseAddress!, count: count, sequence: UInt64(sequence), esn: false)
        }
        #expect(sealed)
        return esp
    }

    private func result(_ plain: [UInt8], _ pair: AssociationPair = AssociationPair()) throws -> InlineEngine.OpenResult
    {
        let (_, east) = engines(pair)
        return east.open(try seal(plain, pair))
    }

    @Test(arguments: [suites[0], suites[3]])
    func checksPadding(suite: Suite) throws {
        let pair = AssociationPair(suite)
        let inner = packet(payload: 0)
        #expect(inner.count == 28)
        #expect(try result(inner + [1, 2, 2, 4], pair).packet == inner)
        #expect(try result(inner + [0, 0, 2, 4], pair) == .dropped(.paddingInvalid))
        #expect(try result(inner + [1, 3, 2, 4], pair) == .dropped(.paddingInvalid))
        #expect(try result(inner + [1, 2, 30, 4], pair) == .dropped(.paddingInvalid))
        #expect(try result(inner + [1, 2, 31, 4], pair) == .dropped(.paddingInvalid))
        #expect(try result(inner + [1, 2, 255, 4], pair) == .dropped(.paddingInvalid))
    }

    @Test func acceptsLongPaddingAndFlowConfidentialityPadding() throws {
        let inner = packet(payload: 0)
        let long = (1...254).map { UInt8($0) }
        #expect(try result(inner + long + [254, 4] + []).packet == inner)
        #expect(try result(inner + [7, 7, 7, 7, 7, 7, 0, 4]).packet == inner, "RFC 4303 §2.7")
    }

    @Test func discardsDummiesAndStrangers() throws {
        let inner = packet(payload: 0)
        #expect(try result([9, 9, 0, 59]) == .dropped(.dummy))
        #expect(try result(inner + [1, 2, 2, 17]) == .dropped(.nextHeader))
        #expect(try result(inner + [1, 2, 2, 41]) == .dropped(.malformed), "IPv4 under IPv6's number")
        #expect(try result(Array(inner[..<26]) + [0, 4]) == .dropped(.malformed), "shorter than it says")
        #expect(try result([1, 2, 2, 4]) == .dropped(.malformed))
    }

    @Test func dropsGenuinePacketsOutsideTheSelectors() throws {
        let pair = AssociationPair()
        let (_, east) = engines(pair)
        let outside = [
            packet(from: "10.3.0.1", payload: 0), packet(to: "10.3.0.1", payload: 0),
            packet(from: "10.2.0.1", to: "10.1.0.1", payload: 0),
        ]
        for (index, inner) in outside.enumerated() {
            let esp = try seal(inner + [1, 2, 2, 4], pair, sequence: UInt32(index + 1))
            #expect(east.open(esp) == .dropped(.outsideSelectors))
        }
        #expect(east.dropCounters[.outsideSelectors] == 3)
        #expect(east.counters(of: ChildID(1))?.inbound.packets == 0)
    }

    @Test func looksAtPortsAndProtocol() throws {
        let dns = TrafficSelector(Prefix("10.2.0.0/16")!, ipProtocol: 17, firstPort: 53, lastPort: 53)
        let pair = AssociationPair(eastSelectors: [dns])
        let (west, east) = engines(pair)
        #expect(east.open(try #require(west.seal(packet()).octets)).packet != nil)
        #expect(west.seal(packet(destinationPort: 54)) == .dropped(.noPolicy))
        #expect(west.seal(packet(ipProtocol: 6)) == .dropped(.noPolicy))
        #expect(west.seal(packet(fragmentOffset: 8)) == .dropped(.noPolicy), "a later fragment shows no port")
        #expect(west.seal(packet(fragmentOffset: 0x2000)).octets != nil, "a first fragment does")
        let wrong = try seal(packet(destinationPort: 54, payload: 0) + [1, 2, 2, 4], pair, sequence: 2)
        #expect(east.open(wrong) == .dropped(.outsideSelectors))
    }
}

@Suite struct KnownPacketTests {
    /// A whole ESP packet of draft-mcgrew-gcm-test-01 (key, salt, SPI a5f8, number 10). What it carries has the next
    /// header 1, which tunnel mode refuses, but only behind a check value and padding that are right.
    @Test func opensAPublishedPacket() throws {
        let key = try #require([UInt8](hex: "feffe9928665731c6d6a8f9467308308" + "cafebabe"))
        let esp = try #require(
            [UInt8](
                hex: "0000a5f80000000a" + "facedbaddecaf888"
                    + "deb22cd9b07c72c16e3a65beeb8df304a5a5897d33ae530f1ba76d5d114d2a5c"
                    + "3de81827c10e9a4f51330d0eec416642cfbb85a5b47e48a4ec3b9ba95d918bd1"
                    + "83b70d3aa8bc6ee4c309e9d85a41ad4a"))
        var association = AssociationPair(suites[0], spi: 0xA5F8).east
        association.keys = KeyMaterial(encryption: Secret(key), integrity: nil)
        let east = InlineEngine()
        east.install(association)
        var forged = esp
        forged[30] ^= 1
        #expect(east.open(forged) == .dropped(.authenticationFailed))
        #expect(east.open(esp) == .dropped(.nextHeader))
        #expect(east.open(esp) == .dropped(.replayed))
    }
}

@Suite struct CongestionTests {
    /// The table of RFC 6040 §4.2, Figure 4: rows inner, columns outer, by number (0 Not-ECT, 1 ECT(1), 2 ECT(0), 3 CE);
    /// `nil` is a drop.
    @Test(arguments: [false, true])
    func combinesByTheTable(v6: Bool) throws {
        let table: [[UInt8?]] = [[0, 0, 0, nil], [1, 1, 1, 3], [2, 1, 2, 3], [3, 3, 3, 3]]
        for inner in 0..<4 {
            for outer in 0..<4 {
                var octets = v6 ? packet(from: "fd01::1", to: "fd02::1") : packet()
                if v6 {
                    octets[1] |= UInt8(inner) << 4
                } else {
                    octets[1] = 0x28 | UInt8(inner)
                    // Checksums near the carry as well.
                    octets[10] = 0
                    octets[11] = 0
                    let sum = octets.withUnsafeBytes {
                        ~InternetChecksum.fold(InternetChecksum.sum($0.baseAddress!, count: 20))
                    }
                    withUnsafeBytes(of: sum) { (octets[10], octets[11]) = ($0[0], $0[1]) }
                }
                let result: UInt8? = octets.withUnsafeMutableBytes { raw in
                    var view = PacketView(raw.baseAddress!, count: raw.count)!
                    #expect(view.trafficClass & 3 == UInt8(inner))
                    guard Congestion.combine(outer: UInt8(outer), raw.baseAddress!, &view) else { return nil }
                    let again = PacketView(raw.baseAddress!, count: raw.count)!
                    #expect(again.trafficClass == view.trafficClass)
                    if !v6 {
                        #expect(again.trafficClass & ~3 == 0x28)
                        #expect(InternetChecksum.fold(InternetChecksum.sum(raw.baseAddress!, count: 20)) == 0xFFFF)
                    }
                    return again.trafficClass & 3
                }
                #expect(result == table[inner][outer], "inner \(inner), outer \(outer)")
            }
        }
    }
}
