internal import CLibcrypto
package import Primitives

/// Diffie-Hellman on elliptic curves: over prime fields the NIST curves (RFC 5903, RFC 5114) and brainpool (RFC 6954),
/// all of cofactor 1, and over binary fields Oakley's two groups (RFC 2409 §6.3, §6.4), of cofactors 12 and 4.
/// Multiplication takes time that depends on the curve only.
///
/// Private scalars are multiples of the cofactor. A peer's point with a part of small order then tells the peer nothing,
/// and one of small order alone yields the point at infinity, which is refused.
package final class EllipticCurve: @unchecked Sendable {
    // SAFETY: written in init only and freed in deinit; libcrypto only reads a group that is handed to point arithmetic,
    // and nobody writes to the numbers.
    let group: OpaquePointer
    private let primeOrder: BigNumber
    private let cofactor: UInt

    /// What of a point travels in a Key Exchange payload.
    package enum Form: Sendable {
        /// X | Y (RFC 5903 §7).
        case coordinates
        /// X alone (RFC 2409 §6.3): either of the two points will do, since both sides use only X of the product.
        case abscissa
    }

    package let form: Form
    /// Octets of a coordinate, and so of shared secrets.
    package let octets: Int

    /// Octets of public values.
    package var publicOctets: Int { form == .coordinates ? 2 * octets : octets }

    /// Takes over a group whose generator has the order `primeOrder`, or that times a part of `cofactor`.
    init(adopting group: OpaquePointer, primeOrder: BigNumber, cofactor: UInt, form: Form) {
        self.group = group
        self.primeOrder = primeOrder
        self.cofactor = cofactor
        self.form = form
        octets = (Int(EC_GROUP_get_degree(group)) + 7) / 8
    }

    deinit { EC_GROUP_free(group) }

    /// A curve that libcrypto knows. What it calls the order need not be prime: the whole group's is `cofactor` times a
    /// prime.
    private static func named(_ name: Int32, cofactor: UInt = 1, form: Form = .coordinates) -> EllipticCurve? {
        guard let group = EC_GROUP_new_by_curve_name(name) else { return nil }
        do {
            let scratch = try ScratchNumbers()
            let order = try BigNumber()
            guard
                BN_mul(order.pointer, EC_GROUP_get0_order(group), EC_GROUP_get0_cofactor(group), scratch.pointer) == 1,
                BN_div_word(order.pointer, cofactor) == 0
            else { throw CryptographyError.libraryFailure("the order is not a multiple of the cofactor") }
            return EllipticCurve(adopting: group, primeOrder: order, cofactor: cofactor, form: form)
        } catch {
            EC_GROUP_free(group)
            return nil
        }
    }

    /// The curve by its number; `nil` for numbers that are not such curves.
    package static func find(_ group: KeyExchangeID) -> EllipticCurve? {
        switch group {
        case .ec2n155: ec2n155
        case .ec2n185: ec2n185
        case .ecp256: ecp256
        case .ecp384: ecp384
        case .ecp521: ecp521
        case .ecp192: ecp192
        case .ecp224: ecp224
        case .brainpool224: brainpool224
        case .brainpool256: brainpool256
        case .brainpool384: brainpool384
        case .brainpool512: brainpool512
        default: nil
        }
    }

    private static let ec2n155 = named(NID_ipsec3, cofactor: 12, form: .abscissa)
    private static let ec2n185 = named(NID_ipsec4, cofactor: 4, form: .abscissa)
    private static let ecp192 = named(NID_X9_62_prime192v1)
    private static let ecp224 = named(NID_secp224r1)
    private static let ecp256 = named(NID_X9_62_prime256v1)
    private static let ecp384 = named(NID_secp384r1)
    private static let ecp521 = named(NID_secp521r1)
    private static let brainpool224 = named(NID_brainpoolP224r1)
    private static let brainpool256 = named(NID_brainpoolP256r1)
    private static let brainpool384 = named(NID_brainpoolP384r1)
    private static let brainpool512 = named(NID_brainpoolP512r1)

    /// A private scalar: uniform in 1..<order, times the cofactor.
    package func makeScalar(_ randomness: inout Randomness) throws(CryptographyError) -> Secret {
        let drawn = try BigNumber.draw(below: primeOrder, &randomness)
        guard cofactor > 1 else { return drawn }
        let number = try BigNumber(drawn)
        guard BN_mul_word(number.pointer, cofactor) == 1 else { throw .libraryFailure("BN_mul_word") }
        return try number.secret((primeOrder.bits + 7) / 8 + 8)
    }

    /// What travels of the point `scalar × G`.
    package func publicValue(_ scalar: Secret) throws(CryptographyError) -> [UInt8] {
        let number = try BigNumber(scalar)
        let scratch = try ScratchNumbers()
        let point = EC_POINT_new(group)
        defer { EC_POINT_clear_free(point) }
        guard let point, EC_POINT_mul(group, point, number.pointer, nil, nil, scratch.pointer) == 1 else {
            throw .libraryFailure("EC_POINT_mul")
        }
        guard form == .coordinates else { return try abscissa(of: point, scratch).exposed }
        var encoded = [UInt8](repeating: 0, count: 2 * octets + 1)
        let written = EC_POINT_point2oct(
            group, point, POINT_CONVERSION_UNCOMPRESSED, &encoded, encoded.count, scratch.pointer)
        guard written == encoded.count else { throw .libraryFailure("EC_POINT_point2oct") }
        encoded.removeFirst()  // The form octet does not travel.
        return encoded
    }

    /// The x coordinate of `scalar × peer`, of ``octets`` (RFC 5903 §7, RFC 2409 §6.3); `nil` unless `peer` stands for a
    /// point on the curve that is not of small order. A point off the curve would leak the scalar.
    package func sharedSecret(_ scalar: Secret, peer: [UInt8]) throws(CryptographyError) -> Secret? {
        let number = try BigNumber(scalar)
        let scratch = try ScratchNumbers()
        let theirs = EC_POINT_new(group)
        defer { EC_POINT_free(theirs) }
        let product = EC_POINT_new(group)
        defer { EC_POINT_clear_free(product) }
        guard let theirs, let product else { throw .libraryFailure("EC_POINT_new") }
        guard try decode(peer, into: theirs, scratch), EC_POINT_is_on_curve(group, theirs, scratch.pointer) == 1,
            EC_POINT_is_at_infinity(group, theirs) == 0
        else {
            ERR_clear_error()
            return nil
        }
        guard EC_POINT_mul(group, product, nil, theirs, number.pointer, scratch.pointer) == 1 else {
            throw .libraryFailure("EC_POINT_mul")
        }
        guard EC_POINT_is_at_infinity(group, product) == 0 else { return nil }
        return try abscissa(of: product, scratch)
    }

    /// False where the octets stand for no point.
    private func decode(
        _ octets: [UInt8], into point: OpaquePointer, _ scratch: ScratchNumbers
    ) throws(CryptographyError) -> Bool {
        guard octets.count == publicOctets else { return false }
        if form == .coordinates {
            let encoded = [0x04] + octets
            return EC_POINT_oct2point(group, point, encoded, encoded.count, scratch.pointer) == 1
        }
        let x = try BigNumber(octets)
        // libcrypto would reduce a longer one, and give one point several names.
        guard x.bits <= Int(EC_GROUP_get_degree(group)) else { return false }
        return EC_POINT_set_compressed_coordinates(group, point, x.pointer, 0, scratch.pointer) == 1
    }

    private func abscissa(of point: OpaquePointer, _ scratch: ScratchNumbers) throws(CryptographyError) -> Secret {
        let x = try BigNumber()
        guard EC_POINT_get_affine_coordinates(group, point, x.pointer, nil, scratch.pointer) == 1 else {
            throw .libraryFailure("EC_POINT_get_affine_coordinates")
        }
        return try x.secret(octets)
    }
}
