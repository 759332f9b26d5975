import IPsec
import ISAKMP

/// How the two ends speak of address translation: as RFC 3947 has it, or as the drafts before it that old gear speaks.
enum NATDialect: Hashable, Sendable, CaseIterable {
    case standard
    case draft03
    case draft02
    /// The vendor ID of draft 02 with a line feed in what is hashed, as many implementations send it.
    case draft02LineFeed

    /// MD5 of the name of the document; the first one is RFC 3947 §3.1's.
    var vendorID: [UInt8] {
        switch self {
        case .standard:
            [0x4A, 0x13, 0x1C, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5C, 0x57, 0x28, 0xF2, 0x0E, 0x95, 0x45, 0x2F]
        case .draft03:
            [0x7D, 0x94, 0x19, 0xA6, 0x53, 0x10, 0xCA, 0x6F, 0x2C, 0x17, 0x9D, 0x92, 0x15, 0x52, 0x9D, 0x56]
        case .draft02:
            [0xCD, 0x60, 0x46, 0x43, 0x35, 0xDF, 0x21, 0xF8, 0x7C, 0xFD, 0xB2, 0xFC, 0x68, 0xB6, 0xA4, 0x48]
        case .draft02LineFeed:
            [0x90, 0xCB, 0x80, 0x91, 0x3E, 0xBB, 0x69, 0x6E, 0x08, 0x63, 0x81, 0xB5, 0xEC, 0x42, 0x7B, 0x1F]
        }
    }

    var isDraft: Bool { self != .standard }
    /// NAT-D: 20 (RFC 3947 §3.2), a private number in the drafts.
    var discovery: PayloadType { isDraft ? .natDiscoveryDraft : .natDiscovery }
    /// NAT-OA: 21 (RFC 3947 §5.2), a private number in the drafts.
    var originalAddress: PayloadType { isDraft ? .natOriginalAddressDraft : .natOriginalAddress }

    /// The best that a peer announces; we know them all.
    static func best(among vendors: [[UInt8]]) -> NATDialect? { allCases.first { vendors.contains($0.vendorID) } }
}

extension IKEv1Session {
    /// What we announce: an initiator all that it knows, a responder the dialect that it chose.
    func vendorIDs(for connection: Connection?) -> [Payload] {
        var bodies = isInitiator ? NATDialect.allCases.map(\.vendorID) : nat.dialect.map { [$0.vendorID] } ?? []
        bodies.append(DeadPeerDetection.vendorID)
        if connection?.fragmentation != .no { bodies.append(VendorFragmentation.vendorID) }
        if connection?.localExtendedRound != nil || connection?.remoteExtendedRound != nil {
            bodies.append(ExtendedAuthentication.vendorID)
        }
        if connection?.usesTransactions == true { bodies.append(Unity.vendorID) }
        return bodies.map { Payload(.vendorID, body: $0) }
    }

    mutating func noteVendors(_ payloads: [Payload], _ negotiation: inout Negotiation) {
        let vendors = payloads.filter { $0.type == .vendorID }.map(\.body)
        nat.dialect = NATDialect.best(among: vendors)
        configuration.isPeerUnity = vendors.contains(where: Unity.isVendorID)
        // The last two octets are the version (RFC 3706 §5.1).
        negotiation.supportsDeadPeerDetection = vendors.contains {
            $0.starts(with: DeadPeerDetection.vendorID.dropLast(2))
        }
        if vendors.contains(where: VendorFragmentation.isAnnounced(by:)) { fragmentation.peerTakes = true }
    }
}
