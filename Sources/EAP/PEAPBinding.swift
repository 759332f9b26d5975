import Cryptography
import Primitives

/// PEAP's crypto-binding ([MS-PEAP] §2.2.8.1.1, §3.1.5.5): both ends show inside the tunnel that they have the keys of TLS and
/// those of the method inside, so that nobody stands between two tunnels. The method's key then comes of both.
///
///      0                   1                   2                   3
///     |  0 0 | type 12                |  length 56                    |
///     |  reserved     |  version 0    |  received 0   |  0 or 1       |
///     |  nonce, 32 octets ...
///     |  compound MAC, 20 octets ...
struct PEAPBinding: Sendable {
    /// Who says it.
    enum Direction: UInt8, Sendable {
        case request = 0
        case response = 1
    }

    static let type: UInt16 = 12
    static let nonceOctets = 32
    private static let macOctets = 20
    /// Octets behind type and length.
    static let valueOctets = 4 + nonceOctets + macOctets
    private static let compoundOctets = 40
    /// Octets of the inside method's key that count.
    private static let insideOctets = 32

    /// IPMK, of 40 octets.
    private let compoundKey: Secret
    /// CMK, of 20 octets.
    private let macKey: Secret

    /// From TLS's keys, of which 40 octets count, and what the method inside made; one without a key counts as zeros.
    ///
    ///     IPMK | CMK = PRF+(TK[0..39], "Inner Methods Compound Keys" | ISK, 60)
    init(tunnel: Secret, inside: Secret?) throws(CryptographyError) {
        let own = inside.map { $0[0..<min($0.count, PEAPBinding.insideOctets)] } ?? Secret([])
        let zeros = Secret([UInt8](repeating: 0, count: PEAPBinding.insideOctets - own.count))
        let keys = try PEAPBinding.expand(
            tunnel[0..<min(tunnel.count, PEAPBinding.compoundOctets)], "Inner Methods Compound Keys",
            Secret(concatenating: [own, zeros]), count: PEAPBinding.compoundOctets + PEAPBinding.macOctets)
        compoundKey = keys[0..<PEAPBinding.compoundOctets]
        macKey = keys[PEAPBinding.compoundOctets..<keys.count]
    }

    /// MSK, of 64 octets: the first half of PRF+(IPMK, "Session Key Generating Function" | 0, 128).
    var masterSessionKey: Secret {
        get throws(CryptographyError) {
            try PEAPBinding.expand(compoundKey, "Session Key Generating Function", Secret([0]), count: 64)
        }
    }

    ///     T1 = HMAC-SHA-1(K, S | 1 | 0 | 0), Tn = HMAC-SHA-1(K, Tn-1 | S | n | 0 | 0)
    private static func expand(
        _ key: Secret, _ label: String, _ seed: Secret, count: Int
    ) throws(CryptographyError) -> Secret {
        var blocks: [Secret] = []
        var length = 0
        while length < count {
            let previous: [Octets] = blocks.last.map { [.secret($0)] } ?? []
            let block = try PseudorandomFunction.derive(
                .hmacSHA1, key: key,
                previous + [
                    .open(Array(label.utf8)), .secret(seed),
                    .open([UInt8(truncatingIfNeeded: blocks.count + 1), 0, 0]),
                ])
            blocks.append(block)
            length += block.count
        }
        return Secret(concatenating: blocks)[0..<count]
    }

    /// The whole TLV: 60 octets.
    ///
    /// - Parameter nonce: ``nonceOctets`` octets.
    func octets(_ direction: Direction, nonce: [UInt8]) throws(CryptographyError) -> [UInt8] {
        let head = PEAPBinding.head(direction, nonce)
        return head + (try mac(head))
    }

    private static func head(_ direction: Direction, _ nonce: [UInt8]) -> [UInt8] {
        var head: [UInt8] = []
        head.append(bigEndian: type)
        head.append(bigEndian: UInt16(valueOctets))
        return head + [0, 0, 0, direction.rawValue] + nonce
    }

    /// Over the TLV with zeros in its place, and PEAP's number.
    private func mac(_ head: [UInt8]) throws(CryptographyError) -> [UInt8] {
        try PseudorandomFunction.compute(
            .hmacSHA1, key: macKey,
            [.open(head + [UInt8](repeating: 0, count: PEAPBinding.macOctets) + [EAPPacket.MethodType.peap.rawValue])])
    }

    /// The nonce of a TLV's value that the other end made with the same keys; `nil`: it did not. Compared in constant time.
    func nonce(of value: [UInt8], _ direction: Direction) throws(CryptographyError) -> [UInt8]? {
        guard value.count == PEAPBinding.valueOctets, value[1] == 0, value[3] == direction.rawValue else { return nil }
        let nonce = Array(value[4..<4 + PEAPBinding.nonceOctets])
        // What is reserved, and the version that was received, are the other end's to say.
        var head = PEAPBinding.head(direction, nonce)
        head.replaceSubrange(4..<8, with: value[0..<4])
        return ConstantTime.equal(try mac(head), Array(value.suffix(PEAPBinding.macOctets))) ? nonce : nil
    }
}
