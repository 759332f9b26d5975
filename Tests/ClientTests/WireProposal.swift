import Cryptography
import IPsec
import ISAKMP
import Primitives

@testable import IKEv2

/// A proposal as a client writes it: its transforms in the client's order (RFC 7296 §3.3).
struct WireProposal: Sendable {
    /// Of one transform: a type and a number, and the bits of its key where the client says them.
    struct Transform: Sendable {
        var kind: UInt8
        var number: UInt16
        var keyBits: UInt16?

        static func cipher(_ id: EncryptionID, _ bits: UInt16? = nil) -> Transform {
            Transform(kind: 1, number: id.rawValue, keyBits: bits)
        }
        /// DES, which this project does not have.
        static let des = Transform(kind: 1, number: 2)
        static func prf(_ id: PRFID) -> Transform { Transform(kind: 2, number: id.rawValue) }
        static func integrity(_ id: IntegrityID) -> Transform { Transform(kind: 3, number: id.rawValue) }
        static func group(_ id: KeyExchangeID) -> Transform { Transform(kind: 4, number: id.rawValue) }
        /// Extended sequence numbers: 0 without, 1 with.
        static func sequence(_ number: UInt16 = 0) -> Transform { Transform(kind: 5, number: number) }
    }

    var transforms: [Transform]

    init(_ transforms: [Transform]) { self.transforms = transforms }

    /// One cipher with SHA's three uses of one size, as Windows offers them: encryption, integrity, prf, group.
    static func windows(
        _ cipher: Transform, _ hash: (integrity: IntegrityID, prf: PRFID), _ group: KeyExchangeID
    ) -> WireProposal {
        WireProposal([cipher, .integrity(hash.integrity), .prf(hash.prf), .group(group)])
    }

    static let sha1 = (integrity: IntegrityID.hmacSHA1_96, prf: PRFID.hmacSHA1)
    static let sha256 = (integrity: IntegrityID.hmacSHA256_128, prf: PRFID.hmacSHA256)
    static let sha384 = (integrity: IntegrityID.hmacSHA384_192, prf: PRFID.hmacSHA384)

    var groups: [KeyExchangeID] { transforms.filter { $0.kind == 4 }.map { KeyExchangeID(rawValue: $0.number) } }

    /// An SA payload with proposals that are numbered from 1.
    ///
    /// - Parameter spi: none in IKE_SA_INIT, 4 octets for ESP.
    static func payload(_ proposals: [WireProposal], protocol securityProtocol: UInt8, spi: [UInt8]) -> Payload {
        var body: [UInt8] = []
        for (index, proposal) in proposals.enumerated() {
            var inner: [UInt8] = []
            for (place, transform) in proposal.transforms.enumerated() {
                inner += [place + 1 < proposal.transforms.count ? 3 : 0, 0]
                inner.append(bigEndian: UInt16(transform.keyBits == nil ? 8 : 12))
                inner += [transform.kind, 0]
                inner.append(bigEndian: transform.number)
                if let bits = transform.keyBits {
                    inner.append(bigEndian: UInt16(0x800E))
                    inner.append(bigEndian: bits)
                }
            }
            body += [index + 1 < proposals.count ? 2 : 0, 0]
            body.append(bigEndian: UInt16(8 + spi.count + inner.count))
            body += [UInt8(index + 1), securityProtocol, UInt8(spi.count), UInt8(proposal.transforms.count)]
            body += spi + inner
        }
        return Payload(.securityAssociationV2, body: body)
    }
}
