package import Cryptography
package import ISAKMP
package import Oakley
package import Primitives

/// The functions that the framework is lent for DOI 0: Oakley's groups, HMAC as prf, AES-GCM for messages.
///
/// The numbers of a transform are those of RFC 2409 Appendix A where it has them, since DOI 0 (RFC 2408 §3.4) has none of
/// its own: hashes, authentication methods, groups. Its ciphers have no integrity, which RFC 2412 §2.3.1 demands: AES-GCM has
/// a number of the range for private use.
package struct ModeFunctions: ExchangeFunctions {
    package typealias DOI = GenericDOI
    package typealias Key = Secret
    package typealias KeyPair = Oakley.KeyPair

    /// Groups that the two ends have defined for themselves (RFC 2412 §2.8), by the 32 bits that name them.
    package private(set) var privateGroups: [UInt32: CheckedGroup] = [:]
    package static let maximumPrivateGroups = 8

    package init() {}

    /// - Returns: whether there was room, and the name was free.
    package mutating func define(_ name: UInt32, _ group: CheckedGroup) -> Bool {
        guard name > UInt32(UInt16.max), privateGroups[name] == nil,
            privateGroups.count < Self.maximumPrivateGroups
        else { return false }
        privateGroups[name] = group
        return true
    }

    package func suite(_ choice: SecurityAssociationPayload) -> ExchangeSuite? {
        guard choice.proposals.count == 1, choice.proposals[0].protocolID == GenericDOI.protocolISAKMP,
            choice.proposals[0].transforms.count == 1
        else { return nil }
        guard let suite = ModeProposal.suite(choice.proposals[0].transforms[0]) else { return nil }
        guard suite.group == 0 || isKnown(suite.group) else { return nil }
        return suite
    }

    private func isKnown(_ group: UInt32) -> Bool {
        privateGroups[group] != nil
            || UInt16(exactly: group).map { KeyDetermination.supports(KeyExchangeID(rawValue: $0)) } == true
    }

    // MARK: Octets

    package func key(_ octets: [UInt8]) -> Secret { Secret(octets) }
    package func exposed(_ key: Secret) -> [UInt8] { key.exposed }
    package func part(_ key: Secret, _ range: Range<Int>) -> Secret { key[range] }
    package func count(_ key: Secret) -> Int { key.count }
    package func random(_ count: Int, _ randomness: inout Randomness) -> Secret { Secret.random(count, &randomness) }
    package func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool { ConstantTime.equal(left, right) }

    package func join(_ values: [Value<Secret>]) -> Secret {
        Secret(
            concatenating: values.map { value in
                switch value {
                case .open(let octets): Secret(octets)
                case .secret(let secret): secret
                }
            })
    }

    // MARK: prf

    package func prf(
        _ suite: ExchangeSuite, key: [Value<Secret>], _ data: [Value<Secret>]
    ) throws(FunctionFailure) -> Secret {
        guard let prf = HashID(rawValue: suite.hash).prf else { throw FunctionFailure() }
        let parts = data.map { value -> Octets in
            switch value {
            case .open(let octets): .open(octets)
            case .secret(let secret): .secret(secret)
            }
        }
        do {
            return try PseudorandomFunction.derive(prf, key: join(key), parts)
        } catch { throw FunctionFailure() }
    }

    // MARK: Groups

    package func makeKeyPair(
        _ suite: ExchangeSuite, _ randomness: inout Randomness
    ) throws(FunctionFailure) -> Oakley.KeyPair {
        do throws(OakleyError) {
            if let group = privateGroups[suite.group] {
                return try KeyDetermination.generate(in: group, labelled: .none, &randomness)
            }
            guard let number = UInt16(exactly: suite.group) else { throw OakleyError.unsupportedGroup(.none) }
            return try KeyDetermination.generate(KeyExchangeID(rawValue: number), &randomness)
        } catch { throw FunctionFailure() }
    }

    package func publicValue(_ pair: Oakley.KeyPair) -> [UInt8] { pair.publicValue }

    package func sharedSecret(_ pair: Oakley.KeyPair, peer: [UInt8]) throws(FunctionFailure) -> Secret {
        do throws(OakleyError) {
            return try KeyDetermination.sharedSecret(pair, peer: peer)
        } catch { throw FunctionFailure() }
    }

    // MARK: Messages

    /// AES-GCM with a key and salt for each sender: prf+(key, 1 or 2 for the role) (RFC 7296 §2.13), and the message's
    /// number as IV.
    private func direction(
        _ suite: ExchangeSuite, _ key: Secret, _ sender: Role
    ) throws(FunctionFailure) -> (Encryption, Secret) {
        guard suite.cipher == ModeProposal.aesGCM, let prf = HashID(rawValue: suite.hash).prf else {
            throw FunctionFailure()
        }
        let encryption = Encryption(.aesGCM16, keyBits: suite.keyBits)
        do {
            let material = try PseudorandomFunction.expand(
                prf, key: key, seed: [.open([sender == .initiator ? 1 : 2])], count: encryption.keyMaterialOctets)
            return (encryption, material)
        } catch { throw FunctionFailure() }
    }

    private func iv(_ number: UInt64) -> [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: number)
        return octets
    }

    package func seal(
        _ suite: ExchangeSuite, key: Secret, sender: Role, number: UInt64, header: [UInt8], _ plaintext: [UInt8]
    ) throws(FunctionFailure) -> [UInt8] {
        let (encryption, material) = try direction(suite, key, sender)
        do {
            return try MessageCipher.seal(
                encryption, key: material, explicitIV: iv(number), additionalData: header, plaintext)
        } catch { throw FunctionFailure() }
    }

    package func open(
        _ suite: ExchangeSuite, key: Secret, sender: Role, number: UInt64, header: [UInt8], _ ciphertext: [UInt8]
    ) throws(FunctionFailure) -> [UInt8] {
        let (encryption, material) = try direction(suite, key, sender)
        do {
            return try MessageCipher.open(
                encryption, key: material, explicitIV: iv(number), additionalData: header, ciphertext)
        } catch { throw FunctionFailure() }
    }

    package func sealingOctets(_ suite: ExchangeSuite) -> Int { EncryptionID.aesGCM16.tagOctets }
}

extension AntiCloggingCookie {
    /// With HMAC-SHA-256 under a secret of this node (RFC 2408 §2.5.3).
    package init(secret: Secret, period: Duration = AntiCloggingCookie.defaultPeriod) {
        self.init(period: period) { octets in
            (try? PseudorandomFunction.compute(.hmacSHA256, key: secret, [.open(octets)]))
                ?? [UInt8](repeating: 0, count: 32)
        }
    }
}
