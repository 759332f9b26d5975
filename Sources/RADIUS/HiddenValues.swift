package import Cryptography

/// What RADIUS hides by the secret that both ends have: passwords, and the keys that EAP made.
package enum HiddenValues {
    /// RFC 2865 §5.2.
    static let maximumPasswordOctets = 128
    private static let block = 16

    /// User-Password: the password in blocks of 16, each with MD5(secret | the block before).
    ///
    /// - Returns: `nil` where it is longer than RADIUS can say.
    package static func password(
        _ password: Secret, _ secret: Secret, authenticator: [UInt8]
    ) throws(CryptographyError) -> [UInt8]? {
        guard (1...maximumPasswordOctets).contains(password.count) else { return nil }
        let rest = (block - password.count % block) % block
        let padded = Secret(concatenating: [password, Secret([UInt8](repeating: 0, count: rest))])
        var hidden: [UInt8] = []
        var previous = authenticator
        for start in stride(from: 0, to: padded.count, by: block) {
            let mask = try Digest.compute(.md5, [.secret(secret), .open(previous)])
            previous = padded[start..<(start + block)].withUnsafeOctets { octets in zip(octets, mask).map { $0 ^ $1 } }
            hidden += previous
        }
        return hidden
    }

    private static let microsoft: [UInt8] = [0, 0, 1, 0x37]
    private static let sendKey: UInt8 = 16
    private static let receiveKey: UInt8 = 17
    /// RFC 3748 §7.10: an MSK has 64 octets at least.
    private static let keyOctets = 64

    /// MSK: MS-MPPE-Recv-Key | MS-MPPE-Send-Key (RFC 2548 §2.4.2, §2.4.3), with zeros to 64 octets; `nil` where the answer has
    /// not both, or they do not open.
    package static func masterSessionKey(
        _ packet: RADIUSPacket, _ secret: Secret, requestAuthenticator: [UInt8]
    ) -> Secret? {
        guard let receive = key(receiveKey, packet, secret, requestAuthenticator),
            let send = key(sendKey, packet, secret, requestAuthenticator)
        else { return nil }
        let count = receive.count + send.count
        let rest = Secret([UInt8](repeating: 0, count: max(0, keyOctets - count)))
        return Secret(concatenating: [receive, send, rest])
    }

    private static func key(
        _ type: UInt8, _ packet: RADIUSPacket, _ secret: Secret, _ authenticator: [UInt8]
    ) -> Secret? {
        for value in packet.all(.vendorSpecific) where value.count > 6 && Array(value[0..<4]) == microsoft {
            // Several of the vendor's attributes may stand in one.
            var rest = value[4...]
            while rest.count >= 2, let kind = rest.first {
                let count = Int(rest[rest.startIndex + 1])
                guard count >= 2, count <= rest.count else { break }
                if kind == type {
                    return try? opened(Array(rest.dropFirst(2).prefix(count - 2)), secret, authenticator)
                }
                rest = rest.dropFirst(count)
            }
        }
        return nil
    }

    /// Salt (two octets, the top bit set), then a length and as many octets of key in blocks of 16, each with MD5(secret |
    /// authenticator | salt), and then MD5(secret | the block before).
    private static func opened(
        _ value: [UInt8], _ secret: Secret, _ authenticator: [UInt8]
    ) throws(CryptographyError) -> Secret? {
        guard value.count >= 2 + block, (value.count - 2) % block == 0, value[0] & 0x80 != 0 else { return nil }
        var clear: [UInt8] = []
        var previous = authenticator + value[0..<2]
        for start in stride(from: 2, to: value.count, by: block) {
            let mask = try Digest.compute(.md5, [.secret(secret), .open(previous)])
            previous = Array(value[start..<(start + block)])
            clear += zip(previous, mask).map { $0 ^ $1 }
        }
        defer { for index in clear.indices { clear[index] = 0 } }
        let count = Int(clear[0])
        guard count > 0, count < clear.count else { return nil }
        return Secret(clear[1...count])
    }
}

extension Secret {
    /// Reads the octets without a copy that stays.
    fileprivate func withUnsafeOctets(_ body: ([UInt8]) -> [UInt8]) -> [UInt8] {
        var copy = exposed
        defer { for index in copy.indices { copy[index] = 0 } }
        return body(copy)
    }
}
