package import Cryptography

/// SKEME's fast re-key (Krawczyk 1996 §3.3.4): new keys from a shared one and two nonces, with or without a fresh
/// Diffie-Hellman secret. IKE's Quick Mode derives its key material this way.
package enum FastRekey {
    /// Key material of one direction (RFC 2409 §5.5), `count` octets of K1 | K2 | …:
    ///
    ///     K1 = prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)
    ///     Kn = prf(SKEYID_d, Kn-1 | [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)
    package static func keyMaterial(
        _ prf: PRFID, derivationKey: Secret, sharedSecret: Secret?, protocolID: UInt8, spi: [UInt8],
        initiatorNonce: [UInt8], responderNonce: [UInt8], count: Int
    ) throws(CryptographyError) -> Secret {
        var seed: [Octets] = sharedSecret.map { [.secret($0)] } ?? []
        seed += [.open([protocolID]), .open(spi), .open(initiatorNonce), .open(responderNonce)]
        var blocks: [Secret] = []
        var length = 0
        while length < count {
            let block = try PseudorandomFunction.derive(
                prf, key: derivationKey, (blocks.last.map { [.secret($0)] } ?? []) + seed)
            blocks.append(block)
            length += block.count
        }
        return Secret(concatenating: blocks)[0..<count]
    }
}
