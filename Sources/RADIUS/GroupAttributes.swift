import Primitives

extension RADIUSSettings {
    /// Groups of one user that are looked at.
    private static let maximumGroups = 64
    /// A Class as long as this is a server's own, for its accounting, and no name of a group: charon's rule.
    private static let longClassOctets = 44
    /// Tunnel-Type of ESP in tunnel mode (RFC 2868 §3.1).
    private static let tunnelESP: UInt32 = 9

    /// The groups that an Access-Accept says the user is in: those of Class (RFC 2865 §5.25), and that of Filter-Id (§5.11) where
    /// Tunnel-Type beside it is ESP, as the settings want it. What is no printable text is no name.
    package func groups(in packet: RADIUSPacket) -> [String] {
        var names: [[UInt8]] = []
        if takesClassGroups { names += packet.all(.classText).filter { $0.count < Self.longClassOctets } }
        let isTunnel = packet.all(.tunnelType).contains { value in
            // The first octet is a tag.
            RADIUSAttribute.number(value).map { $0 & 0x00FF_FFFF == Self.tunnelESP } ?? false
        }
        if takesFilterGroups, isTunnel { names += packet.all(.filterID) }
        var groups: [String] = []
        for name in names where !name.isEmpty && name.allSatisfy({ (0x20..<0x7F).contains($0) }) {
            let group = String(decoding: name, as: UTF8.self)
            if groups.count < Self.maximumGroups, !groups.contains(group) { groups.append(group) }
        }
        return groups
    }
}
