internal import CLibcrypto

/// MS-CHAP-V2: what a password answers to a challenge (RFC 2759 §8) and the keys that come of it (RFC 3079 §3). MD4 and DES are
/// called below OpenSSL's providers, so that the process needs no legacy one for anything else.
package struct MSCHAPv2: Sendable {
    package static let challengeOctets = 16
    package static let responseOctets = 24
    /// Characters of a password (RFC 2759 §8: 0 to 256).
    static let maximumCharacters = 256

    /// The two challenges and the user's name as it was said: what a response is made for.
    package struct Exchange: Hashable, Sendable {
        package var userName: [UInt8]
        /// 16 octets each.
        package var authenticatorChallenge: [UInt8]
        package var peerChallenge: [UInt8]

        package init(userName: [UInt8], authenticatorChallenge: [UInt8], peerChallenge: [UInt8]) {
            self.userName = userName
            self.authenticatorChallenge = authenticatorChallenge
            self.peerChallenge = peerChallenge
        }

        /// ChallengeHash (§8.2): eight octets. A domain before the name does not count.
        fileprivate var hash: [UInt8] {
            get throws(CryptographyError) {
                let name = userName.lastIndex(of: UInt8(ascii: "\\")).map { Array(userName[($0 + 1)...]) } ?? userName
                let parts: [Octets] = [.open(peerChallenge), .open(authenticatorChallenge), .open(name)]
                return Array(try Digest.compute(.sha1, parts).prefix(8))
            }
        }
    }

    /// NtPasswordHash (§8.3): MD4 of the password in UTF-16, little-endian.
    private let passwordHash: Secret

    /// `nil` where the password is no UTF-8, or too long.
    package init?(password: Secret) {
        let units: Int? = password.withUnsafeBytes { octets in
            var units = 0
            let isBroken = transcode(
                octets.makeIterator(), from: UTF8.self, to: UTF16.self, stoppingOnError: true, into: { _ in units += 1 }
            )
            return isBroken ? nil : units
        }
        guard let units, units <= Self.maximumCharacters else { return nil }
        let wide = Secret(count: units * 2) { (target: UnsafeMutableRawBufferPointer) in
            password.withUnsafeBytes { octets in
                var offset = 0
                _ = transcode(
                    octets.makeIterator(), from: UTF8.self, to: UTF16.self, stoppingOnError: true,
                    into: { unit in
                        target[offset] = UInt8(truncatingIfNeeded: unit)
                        target[offset + 1] = UInt8(truncatingIfNeeded: unit >> 8)
                        offset += 2
                    })
            }
        }
        passwordHash = Self.md4(wide)
    }

    private static func md4(_ secret: Secret) -> Secret {
        Secret(count: 16) { (target: UnsafeMutableRawBufferPointer) in
            // SAFETY: 16 octets are written, as many as `target` has; the input is read for its own length.
            secret.withUnsafeBytes { parley_md4($0.baseAddress, $0.count, target.baseAddress) }
        }
    }

    /// GenerateNTResponse (§8.1), 24 octets.
    package func response(_ exchange: Exchange) throws(CryptographyError) -> [UInt8] {
        let hash = try exchange.hash
        let padded = Secret(concatenating: [passwordHash, Secret([0, 0, 0, 0, 0])])
        var response: [UInt8] = []
        for start in [0, 7, 14] {
            var block = [UInt8](repeating: 0, count: 8)
            let key = padded[start..<(start + 7)]
            // SAFETY: seven, eight and eight octets, each as long as its buffer.
            key.withUnsafeBytes { parley_des_block($0.baseAddress, hash, &block) }
            response += block
        }
        return response
    }

    /// GenerateAuthenticatorResponse (§8.7): `S=` and forty hexadecimal digits, by which the authenticator shows that it has the
    /// password as well.
    package func confirmation(_ exchange: Exchange, response: [UInt8]) throws(CryptographyError) -> [UInt8] {
        let magic1 = Array("Magic server to client signing constant".utf8)
        let magic2 = Array("Pad to make it do more than one iteration".utf8)
        let digest = try Digest.compute(
            .sha1, [.secret(Self.md4(passwordHash)), .open(response), .open(magic1)])
        let final = try Digest.compute(.sha1, [.open(digest), .open(try exchange.hash), .open(magic2)])
        return Array("S=".utf8) + final.flatMap { [Self.digits[Int($0 >> 4)], Self.digits[Int($0 & 15)]] }
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    /// The master session key, 64 octets: MasterReceiveKey | MasterSendKey as the authenticator has them (RFC 3079 §3.3), and zeros.
    package func masterSessionKey(response: [UInt8]) throws(CryptographyError) -> Secret {
        let master = try Digest.compute(
            .sha1,
            [.secret(Self.md4(passwordHash)), .open(response), .open(Array("This is the MPPE Master Key".utf8))])
        let (first, second) = (
            "On the client side, this is the send key; on the server side, it is the receive key.",
            "On the client side, this is the receive key; on the server side, it is the send key."
        )
        var key: [UInt8] = []
        for magic in [first, second] {
            key += try Digest.compute(
                .sha1,
                [
                    .open(Array(master.prefix(16))), .open([UInt8](repeating: 0, count: 40)), .open(Array(magic.utf8)),
                    .open([UInt8](repeating: 0xF2, count: 40)),
                ]
            ).prefix(16)
        }
        return Secret(key + [UInt8](repeating: 0, count: 32))
    }
}
