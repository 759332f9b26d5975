import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Messages in fragments of payload 132.
@Suite struct VendorFragmentationTests {
    /// Proposals enough to fill several packets.
    private static let proposals: [Proposal] = {
        var proposals: [Proposal] = []
        for bits in [128, 192, 256] {
            for group in [
                KeyExchangeID.modp1024, .modp1536, .modp3072, .ecp256, .ecp384, .ecp521, .modp4096, .modp6144,
            ] {
                proposals.append(Pair.ike(bits, .hmacSHA256_128, .hmacSHA256, group))
                proposals.append(Pair.ike(bits, .hmacSHA512_256, .hmacSHA512, group))
            }
        }
        return proposals + [Pair.ike()]
    }()

    private static func pair(
        _ mode: Connection.Fragmentation, _ other: Connection.Fragmentation, isAggressive: Bool = false,
        settings: EngineSettings = EngineSettings()
    ) -> Pair {
        var left = Pair.connection(isLeft: true, ike: proposals, esp: many)
        var right = Pair.connection(isLeft: false, ike: [Pair.ike()], esp: [Pair.esp()])
        left.fragmentation = mode
        right.fragmentation = other
        if isAggressive {
            left.proposals = [Pair.ike()]
            left.isAggressive = true
            right.isAggressive = true
        }
        return Pair(left, right, settings: settings)
    }

    /// More ESP proposals than a packet holds.
    private static let many: [Proposal] =
        (0..<40).map { index in
            Pair.esp(
                Encryption(.aesCBC, keyBits: [128, 192, 256][index % 3]),
                [.hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256, .hmacSHA1_96])
        } + [Pair.esp()]

    private static func isFragment(_ datagram: Datagram) -> Bool { datagram.octets[16] == 132 }

    private func expectTunnel(_ pair: Pair, _ place: SourceLocation = #_sourceLocation) {
        for side in Pair.Side.allCases { #expect(pair[side].usable.count == 1, sourceLocation: place) }
        #expect(pair.disagreements == [], sourceLocation: place)
    }

    @Test("long messages go in fragments to a peer that takes them, the first one whole")
    func announced() {
        var pair = Self.pair(.yes, .yes)
        pair.establish()
        expectTunnel(pair)
        let sent = pair.initiator.sent
        #expect(!Self.isFragment(sent[0]) && sent[0].octets.count > 1280)
        let fragments = sent.filter(Self.isFragment)
        #expect(fragments.count >= 2)
        // Each fits a packet of 1280 octets.
        #expect(fragments.allSatisfy { $0.octets.count <= 1280 - 28 - 4 })
        #expect(fragments.allSatisfy { $0.octets[18] == 2 && $0.octets[19] == 0 })
        #expect(sent.allSatisfy { Self.isFragment($0) || $0.octets.count <= 1248 || $0.octets[18] == 2 })
    }

    @Test("fragment_size says how large a packet may be", arguments: [576, 1500])
    func size(octets: Int) {
        var settings = EngineSettings()
        settings.fragmentOctetsV4 = octets
        var pair = Self.pair(.force, .yes, settings: settings)
        pair.establish()
        expectTunnel(pair)
        let longest = pair.initiator.sent.map(\.octets.count).max() ?? 0
        #expect(longest <= octets - 28 - 4 && longest > octets - 28 - 4 - 16, "\(longest)")
    }

    @Test("force cuts the first message, too")
    func forced() {
        var pair = Self.pair(.force, .yes)
        pair.establish()
        expectTunnel(pair)
        #expect(pair.initiator.sent.prefix(2).allSatisfy(Self.isFragment))
    }

    @Test("accept and no send none; no neither announces nor takes them")
    func unwanted() {
        for mode in [Connection.Fragmentation.accept, .no] {
            var pair = Self.pair(mode, .yes)
            pair.establish()
            expectTunnel(pair)
            #expect(!pair.initiator.sent.contains(where: Self.isFragment))
        }
        var deaf = Self.pair(.yes, .no)
        deaf.establish()
        expectTunnel(deaf)
        #expect(!deaf.initiator.sent.contains(where: Self.isFragment))
        #expect(!deaf.initiator.session.fragmentation.peerTakes)
    }

    @Test("lost, doubled and disordered fragments cost time only", arguments: 0..<6)
    func badNetwork(kind: Int) {
        var pair = Self.pair(.force, .yes)
        var lost = false
        var held: [Datagram] = []
        pair.network = { _, number, datagram in
            guard Self.isFragment(datagram) else { return [datagram] }
            switch kind {
            case 0: return [datagram, datagram]
            case 1, 2, 3:
                if number == kind - 1, !lost {
                    lost = true
                    return []
                }
                return [datagram]
            case 4:
                // Pairs swap places.
                held.append(datagram)
                guard held.count == 2 else { return [] }
                defer { held = [] }
                return held.reversed()
            default:
                // Quick Mode's: what is said in clear has no protection of its own.
                var damaged = datagram
                if !lost, damaged.octets[8..<16].contains(where: { $0 != 0 }) {
                    lost = true
                    damaged.octets[60] ^= 1
                }
                return [damaged]
            }
        }
        pair.establish()
        pair.run(for: .seconds(30))
        // Where pairs swap, an odd one out waits for the repetition.
        if kind == 4 { pair.run(for: .seconds(60)) }
        expectTunnel(pair)
    }

    @Test("what is collected before authentication is bounded, and ends with the half-open time")
    func bounded() throws {
        var pair = Pair()
        func fragment(_ number: UInt8, _ count: Int, id: UInt16 = 7, isLast: Bool = false) -> Datagram {
            var body: [UInt8] = []
            body.append(bigEndian: id)
            body += [number, isLast ? 1 : 0] + [UInt8](repeating: number, count: count)
            let header = Header(
                initiator: Cookie(99), responder: .zero, majorVersion: 1, exchange: .identityProtection)
            return Datagram(
                local: Endpoint(Pair.right, port: 500), remote: Endpoint(Pair.left, port: 500),
                octets: Message(header: header, payloads: [Payload(.fragment, body: body)]).octets)
        }
        for number in 1...100 { pair.give(.datagram(fragment(UInt8(number), 1200)), to: .responder) }
        let held = pair.responder.session.fragmentation.collection.octets
        #expect(held > 0 && held <= VendorFragmentation.maximumOctets)
        #expect(pair.responder.sent.isEmpty)
        pair.run(for: .seconds(40))
        #expect(pair.responder.closed == .refused(.timeout) && pair.responder.timers.isEmpty)
    }

    @Test("broken fragments are refused by name", arguments: 0..<6)
    func broken(kind: Int) throws {
        let message = [UInt8](repeating: 0, count: 3000)
        var header = Header(initiator: Cookie(1), responder: Cookie(2), majorVersion: 1, exchange: .identityProtection)
        header.length = 3000
        var octets: [UInt8] = []
        header.write(to: &octets)
        var piece = try #require(VendorFragmentation.fragments(octets + message.dropFirst(28), room: 1248).first)
        switch kind {
        case 0: piece[34] = 0  // number 0
        case 1: piece.removeLast(piece.count - 36)  // no room for the head
        case 2: piece[28] = 13  // another payload follows
        case 3: piece += [1, 2, 3]  // something behind it
        case 4: piece.overwrite(bigEndian: UInt16(8), at: 30)  // an empty piece
        default: piece.overwrite(bigEndian: UInt16(4000), at: 30)
        }
        #expect(throws: Fault.self) { try VendorFragmentation.Fragment(piece) }
    }

    @Test("a message is put together whatever the order of its fragments, and not from two messages")
    func collection() throws {
        var octets: [UInt8] = []
        var header = Header(initiator: Cookie(1), responder: Cookie(2), majorVersion: 1, exchange: .quickMode)
        header.length = 5000
        header.write(to: &octets)
        octets += (0..<4972).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let fragments = try VendorFragmentation.fragments(octets, room: 1248).map {
            try VendorFragmentation.Fragment($0)
        }
        #expect(fragments.count == 5 && fragments.map(\.number) == [1, 2, 3, 4, 5])
        #expect(fragments.map(\.isLast) == [false, false, false, false, true])
        var randomness = Randomness.seeded(3)
        for _ in 0..<20 {
            var order = fragments + fragments
            for index in order.indices { order.swapAt(index, Int(randomness.below(UInt64(order.count)))) }
            var collection = VendorFragmentation.Collection()
            var whole: [UInt8]?
            for fragment in order where whole == nil { whole = try collection.add(fragment) }
            #expect(whole == octets && collection.isEmpty)
        }
        var other = fragments[0]
        other.id &+= 1
        var mixed = VendorFragmentation.Collection()
        for fragment in fragments.dropFirst() { #expect(try mixed.add(fragment) == nil) }
        #expect(try mixed.add(other) == nil && mixed.octets == other.piece.count)
    }
}
