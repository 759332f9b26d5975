import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Nobody learns from what an end does whether the padding of a ciphertext held (Bleichenbacher 1998): with any
/// ciphertext it says the same, at the same time, in the same number of octets, until the HASH does not match.
@Suite struct PaddingOracleTests {
    /// What somebody in the middle puts in the place of a ciphertext.
    enum Forgery: CaseIterable {
        /// Nothing: the peer's own.
        case none
        /// A ciphertext whose padding holds, of a message that the peer did not send.
        case another
        /// One whose padding holds, of an address with too many octets: what stands in for a broken ciphertext may be so.
        case unreadable
        /// The smallest numbers, whose padding does not hold.
        case zero, one, two
        /// One bit of the peer's own changed.
        case flipped
        /// Above the modulus.
        case large
        case short, long, empty
    }

    /// What somebody on the path sees an end do, and how the end stands: neither octets nor names.
    struct Conduct: Equatable {
        var sent: [Int]
        var headers: [[UInt8]]
        var order: [String]
        var questions: [String]
        var timers: [String]
        var isClosed: Bool
        var isNegotiating: Bool

        init(_ end: Pair.End) {
            sent = end.sent.map(\.octets.count)
            // Exchange, flags and message ID.
            headers = end.sent.map { Array($0.octets[17..<24]) }
            order = end.order
            questions = end.questions.map {
                switch $0 {
                case .decrypt(_, let ciphertexts): "decrypt \(ciphertexts.map(\.lengths))"
                case .encrypt(_, let messages): "encrypt \(messages.map(\.count))"
                default: "?"
                }
            }
            timers = end.timers.map { "\($0.key) \($0.value)" }.sorted()
            isClosed = end.closed != nil
            if case .negotiating = end.session.phase { isNegotiating = true } else { isNegotiating = false }
        }
    }

    /// The datagram with another body for its first payload of a type.
    private static func replacing(
        _ type: PayloadType, in datagram: Datagram, _ forge: ([UInt8]) -> [UInt8]
    ) throws -> Datagram {
        var reader = ByteReader(datagram.octets)
        let header = try Header(from: &reader)
        var payloads = try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        let index = try #require(payloads.firstIndex { $0.type == type })
        payloads[index].body = forge(payloads[index].body)
        var forged = datagram
        forged.octets = Message(header: header, payloads: payloads).octets
        return forged
    }

    private static func forged(_ forgery: Forgery, _ body: [UInt8], for key: PublicKey, isNonce: Bool) -> [UInt8] {
        func number(_ last: UInt8) -> [UInt8] { [UInt8](repeating: 0, count: body.count - 1) + [last] }
        switch forgery {
        case .none: return body
        case .another:
            let other = isNonce ? [UInt8](repeating: 1, count: 32) : [2, 0, 0, 0] + Array("nobody.example".utf8)
            return (try? key.encrypt(Secret(other))) ?? []
        case .unreadable:
            let other = isNonce ? [UInt8](repeating: 2, count: 32) : [1, 0, 0, 0] + Array("left.example".utf8)
            return (try? key.encrypt(Secret(other))) ?? []
        case .zero: return number(0)
        case .one: return number(1)
        case .two: return number(2)
        case .flipped: return Array(body.dropLast()) + [body[body.count - 1] ^ 1]
        case .large: return [UInt8](repeating: 0xFF, count: body.count)
        case .short: return Array(body.dropFirst())
        case .long: return [0] + body
        case .empty: return []
        }
    }

    /// Runs up to and with the answer to a message in which one ciphertext was exchanged.
    private func conduct(
        _ method: Pair.Method, _ type: PayloadType, _ forgery: Forgery, against side: Pair.Side
    ) throws -> (Conduct, Pair) {
        var pair = try Pair.withKeys(method)
        let key = try TestKeys.privateKey(side == .responder ? method.right : method.left).publicKey
        // Which message holds the ciphertexts for the side.
        let number = (method.isAggressive ? 0 : 2) + (side == .responder ? 0 : 1)
        pair.network = { _, sent, datagram in
            guard sent == number else { return [datagram] }
            let forged = try? Self.replacing(type, in: datagram) {
                Self.forged(forgery, $0, for: key, isNonce: type == .nonce)
            }
            return forged.map { [$0] } ?? []
        }
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        for _ in 0...number { pair.deliverOne() }
        return (Conduct(pair[side]), pair)
    }

    @Test(arguments: Pair.Method.encryption, Forgery.allCases)
    func aResponderAnswersEveryCiphertextAlike(_ method: Pair.Method, _ forgery: Forgery) throws {
        let types: [PayloadType] = method.number == .rsaEncryption ? [.nonce, .identification] : [.nonce]
        for type in types {
            let (expected, _) = try conduct(method, type, .none, against: .responder)
            #expect(expected.sent.count == (method.isAggressive ? 1 : 2) && expected.isNegotiating)
            var (seen, pair) = try conduct(method, type, forgery, against: .responder)
            #expect(seen == expected, "\(type)")
            // What is left is the proof, which holds where nothing was exchanged.
            pair.settle()
            pair.run(for: .seconds(120))
            #expect(pair.responder.usable.isEmpty == (forgery != .none), "\(type)")
            #expect(pair.responder.installed.isEmpty == (forgery != .none))
        }
    }

    /// An initiator of Main Mode sends message 5 whatever message 4 held. In Aggressive Mode HASH_R comes with the
    /// ciphertexts, and nothing is sent to any that does not fit them.
    @Test(arguments: Pair.Method.encryption, Forgery.allCases)
    func anInitiatorTreatsEveryCiphertextAlike(_ method: Pair.Method, _ forgery: Forgery) throws {
        let types: [PayloadType] = method.number == .rsaEncryption ? [.nonce, .identification] : [.nonce]
        for type in types {
            let standard: Forgery = method.isAggressive ? .another : .none
            let (expected, _) = try conduct(method, type, standard, against: .initiator)
            var (seen, pair) = try conduct(method, type, forgery, against: .initiator)
            if forgery != .none || !method.isAggressive { #expect(seen == expected, "\(type)") }
            pair.settle()
            pair.run(for: .seconds(120))
            // In Aggressive Mode the true message 2 comes again, and counts; Main Mode's exchange has gone on.
            #expect(pair.initiator.usable.isEmpty == (forgery != .none && !method.isAggressive), "\(type)")
        }
    }

    /// Noise in the place of what the revised mode encrypts with the nonce's key is treated alike too, a public value that
    /// is no point of the group included.
    @Test func noiseBehindTheNonceIsTreatedAlike() throws {
        for method in Pair.Method.encryption where method.number == .revisedRSAEncryption {
            let group = Pair.ike(128, .hmacSHA256_128, .hmacSHA256, .ecp256)
            func run(_ type: PayloadType?) throws -> Conduct {
                var pair = try Pair.withKeys(
                    method, initiator: { $0.proposals = [group] }, responder: { $0.proposals = [group] })
                let number = method.isAggressive ? 0 : 2
                pair.network = { _, sent, datagram in
                    guard sent == number, let type else { return [datagram] }
                    let forged = try? Self.replacing(type, in: datagram) { $0.map { $0 ^ 0x55 } }
                    return forged.map { [$0] } ?? []
                }
                pair.give(.command(.createChild(name: "net")), to: .initiator)
                for _ in 0...number { pair.deliverOne() }
                return Conduct(pair.responder)
            }
            let expected = try run(nil)
            #expect(expected.isNegotiating && !expected.sent.isEmpty)
            #expect(try run(.keyExchange) == expected)
            #expect(try run(.identification) == expected)
            #expect(try run(.nonce) == expected)
        }
    }
}
