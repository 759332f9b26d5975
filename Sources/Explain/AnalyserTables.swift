import Cryptography
package import IPsec
import ISAKMP
import Primitives

/// The keys of SAs as lines of Wireshark's tables, with which it and tshark open a recording. A profile directory that
/// holds the files needs nothing else but `esp.enable_encryption_decode`.
package enum AnalyserTables {
    /// A table, which is a file of that name in a profile directory.
    package enum Table: String, CaseIterable, Sendable {
        case version1 = "ikev1_decryption_table"
        case version2 = "ikev2_decryption_table"
        case esp = "esp_sa"
    }

    /// The keys of an IKE SA; `nil` where the tables have no name for an algorithm.
    package static func line(_ keys: DisclosedKeys) -> (table: Table, text: String)? {
        if keys.version == 1 {
            return (.version1, "\(Cookie(keys.initiatorSPI)),\(hex(keys.initiator.encryption))")
        }
        guard let cipher = version2Name(keys.suite.encryption), let check = version2Name(keys.suite.integrity) else {
            return nil
        }
        let fields = [
            "\(Cookie(keys.initiatorSPI))", "\(Cookie(keys.responderSPI))", hex(keys.initiator.encryption),
            hex(keys.responder.encryption), quoted(cipher), hex(keys.initiator.integrity),
            hex(keys.responder.integrity), quoted(check),
        ]
        return (.version2, fields.joined(separator: ","))
    }

    /// One direction of an ESP SA; `nil` where the table has no name for an algorithm.
    package static func line(_ packets: PacketKeys) -> (table: Table, text: String)? {
        guard let cipher = espName(packets.suite.encryption.id), let check = espName(packets.suite.integrity) else {
            return nil
        }
        let fields = [
            packets.source.family == .v4 ? "IPv4" : "IPv6", "\(packets.source)", "\(packets.destination)",
            "0x\(packets.spi)", cipher, "0x\(hex(packets.keys.encryption))", check,
            packets.keys.integrity.map { "0x\(hex($0))" } ?? "",
        ]
        return (.esp, fields.map(quoted).joined(separator: ","))
    }

    private static func quoted(_ text: String) -> String { "\"\(text)\"" }

    private static func hex(_ secret: Secret?) -> String { secret?.exposed.hex ?? "" }

    private static func version2Name(_ encryption: Encryption) -> String? {
        let bits = encryption.keyBits
        func counted(_ mode: String) -> String {
            "AES-\(mode)-\(bits) with \(encryption.id.tagOctets) octet ICV [RFC5282]"
        }
        return switch encryption.id {
        case .tripleDES: "3DES [RFC2451]"
        case .aesCBC: "AES-CBC-\(bits) [RFC3602]"
        case .aesCTR: "AES-CTR-\(bits) [RFC5930]"
        case .aesGCM8, .aesGCM12, .aesGCM16: counted("GCM")
        case .aesCCM8, .aesCCM12, .aesCCM16: counted("CCM")
        default: nil
        }
    }

    private static func version2Name(_ integrity: IntegrityID?) -> String? {
        switch integrity {
        case nil: "NONE [RFC4306]"
        case .hmacMD5_96?: "HMAC_MD5_96 [RFC2403]"
        case .hmacSHA1_96?: "HMAC_SHA1_96 [RFC2404]"
        case .hmacSHA256_128?: "HMAC_SHA2_256_128 [RFC4868]"
        case .hmacSHA384_192?: "HMAC_SHA2_384_192 [RFC4868]"
        case .hmacSHA512_256?: "HMAC_SHA2_512_256 [RFC4868]"
        default: nil
        }
    }

    private static func espName(_ encryption: EncryptionID) -> String? {
        switch encryption {
        case .null: "NULL"
        case .tripleDES: "TripleDES-CBC [RFC2451]"
        case .aesCBC: "AES-CBC [RFC3602]"
        case .aesCTR: "AES-CTR [RFC3686]"
        case .aesGCM8: "AES-GCM with 8 octet ICV [RFC4106]"
        case .aesGCM12: "AES-GCM with 12 octet ICV [RFC4106]"
        case .aesGCM16: "AES-GCM with 16 octet ICV [RFC4106]"
        default: nil
        }
    }

    private static func espName(_ integrity: IntegrityID?) -> String? {
        switch integrity {
        case nil: "NULL"
        case .hmacMD5_96?: "HMAC-MD5-96 [RFC2403]"
        case .hmacSHA1_96?: "HMAC-SHA-1-96 [RFC2404]"
        case .hmacSHA256_128?: "HMAC-SHA-256-128 [RFC4868]"
        case .hmacSHA384_192?: "HMAC-SHA-384-192 [RFC4868]"
        case .hmacSHA512_256?: "HMAC-SHA-512-256 [RFC4868]"
        default: nil
        }
    }
}
