import ISAKMP

/// Names in the header and of payloads.
enum HeaderNames {
    static func flags(_ flags: UInt8, isVersion2: Bool) -> String {
        let names: [(UInt8, String)] =
            isVersion2
            ? [(0x08, "initiator"), (0x10, "version"), (0x20, "response")]
            : [(0x01, "encryption"), (0x02, "commit"), (0x04, "authentication only")]
        var set = names.filter { flags & $0.0 != 0 }.map(\.1)
        let rest = names.reduce(flags) { $0 & ~$1.0 }
        if rest != 0 { set.append("unknown 0x\(String(rest, radix: 16))") }
        return set.isEmpty ? "none" : set.joined(separator: ", ")
    }
}

/// Payload types (RFC 2408 §3.1, RFC 7296 §3.2 and IANA's registries).
enum PayloadNames {
    static func of(_ type: UInt8, _ header: Header) -> String {
        guard header.majorVersion != 2 else { return version2[type] ?? "unknown (\(type))" }
        if isDraftDetection(type, header) { return "NAT-D (draft)" }
        return version1[type] ?? "unknown (\(type))"
    }

    /// The drafts 4 to 8 of NAT traversal numbered NAT-D as RFC 6407 numbers its KEK. A KEK travels encrypted, in
    /// exchanges of its own; what stands in an IKE SA's first exchange is NAT-D.
    static func isDraftDetection(_ type: UInt8, _ header: Header) -> Bool {
        type == 15 && [.identityProtection, .aggressive].contains(header.exchange)
    }

    /// Every type that has a name, in order.
    static func all(isVersion2: Bool) -> [(number: UInt8, name: String)] {
        (isVersion2 ? version2 : version1).filter { $0.key != 0 }.sorted { $0.key < $1.key }
            .map { ($0.key, $0.value) }
    }

    private static let version1: [UInt8: String] = [
        0: "none", 1: "Security Association", 2: "Proposal", 3: "Transform", 4: "Key Exchange", 5: "Identification",
        6: "Certificate", 7: "Certificate Request", 8: "Hash", 9: "Signature", 10: "Nonce", 11: "Notification",
        12: "Delete", 13: "Vendor ID", 14: "Attributes", 15: "SA KEK (SAK)", 16: "SA TEK (SAT)", 17: "Key Download",
        18: "Sequence Number", 19: "Proof of Possession", 20: "NAT-D", 21: "NAT-OA", 22: "Group Associated Policy",
        128: "vendor fragmentation", 130: "NAT-D (draft)", 131: "NAT-OA (draft)", 132: "Fragment",
    ]

    private static let version2: [UInt8: String] = [
        0: "none", 33: "Security Association", 34: "Key Exchange", 35: "Identification - Initiator",
        36: "Identification - Responder", 37: "Certificate", 38: "Certificate Request", 39: "Authentication",
        40: "Nonce", 41: "Notify", 42: "Delete", 43: "Vendor ID", 44: "Traffic Selector - Initiator",
        45: "Traffic Selector - Responder", 46: "Encrypted and Authenticated", 47: "Configuration",
        48: "Extensible Authentication", 49: "Generic Secure Password Method", 50: "Group Identification",
        51: "Group Security Association", 52: "Key Download", 53: "Encrypted and Authenticated Fragment",
        54: "Puzzle Solution",
    ]
}
