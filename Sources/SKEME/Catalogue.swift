/// A building block that SKEME gives to the key exchange above it.
package struct Function: Hashable, Sendable {
    /// Which of SKEME's phases it stands in (Krawczyk 1996 §3).
    package enum Phase: String, Hashable, Sendable {
        /// A key that only the two ends can know.
        case share = "SHARE"
        /// The exchange of Diffie-Hellman values.
        case exchange = "EXCH"
        /// Proof that the values came from the ends.
        case authenticate = "AUTH"
        /// New keys from old ones.
        case rekey = "re-key"
    }

    package let name: String
    package let phase: Phase
    /// What is computed.
    package let equation: String
    package let reference: String
    /// The authentication methods of IKE that need it (RFC 2409 Appendix A, "Authentication Method"); empty for all.
    package let methods: Set<UInt16>

    package init(
        _ name: String, _ phase: Phase, _ equation: String, reference: String, methods: Set<UInt16> = []
    ) {
        self.name = name
        self.methods = methods
        self.phase = phase
        self.equation = equation
        self.reference = reference
    }
}

extension Function {
    /// Pre-shared key, and the same with XAUTH behind it from either end.
    private static let preSharedKey: Set<UInt16> = [1, 65_001, 65_002]
    private static let publicKeyEncryption: Set<UInt16> = [4, 5]

    /// Every function by its name in the code; a test compares the list with the sources.
    package static let all: [Function] = [
        Function(
            "PreSharedKey.seed", .share, "SKEYID = prf(pre-shared key, Ni | Nr)", reference: "RFC 2409 §5",
            methods: preSharedKey),
        Function(
            "PreSharedKey.proof", .authenticate, "HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi | IDii)",
            reference: "RFC 2409 §5"),
        Function(
            "PublicKeyEncryption.seed", .share, "SKEYID = prf(hash(Ni | Nr), CKY-I | CKY-R)",
            reference: "RFC 2409 §5", methods: publicKeyEncryption),
        Function(
            "PublicKeyEncryption.keyName", .share, "HASH(1) = hash(certificate or raw key)",
            reference: "RFC 2409 §5.2", methods: publicKeyEncryption),
        Function(
            "RevisedEncryption.key", .share, "Ne_i = prf(Ni, CKY-I), Ke_i = Ne_i | prf(Ne_i, …)",
            reference: "RFC 2409 §5.3", methods: [5]),
        Function(
            "RevisedEncryption.unpadded", .share, "body = body | zeros | number of zeros",
            reference: "RFC 2409 §5.3", methods: [5]),
        Function(
            "FastRekey.keyMaterial", .rekey, "KEYMAT = prf(SKEYID_d, [g^xy |] protocol | SPI | Ni | Nr)",
            reference: "RFC 2409 §5.5"),
    ]
}
