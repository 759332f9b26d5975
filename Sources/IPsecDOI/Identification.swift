package import IPsec
package import Primitives

/// The body of an identification payload (RFC 2407 §4.6.2): type, protocol, port, data.
package enum Identification {
    /// An end of the ISAKMP SA, any protocol and port.
    package static func body(_ identity: Identity) -> [UInt8] { [identity.kind.rawValue, 0, 0, 0] + identity.octets }

    /// Who an end of the ISAKMP SA says it is.
    package static func identity(_ body: [UInt8]) throws(ParseError) -> Identity {
        var reader = ByteReader(body)
        let kind = try reader.readUInt8()
        // Protocol and port are 0 and 0, or UDP and a port of IKE (RFC 2407 §4.6.2); nothing depends on them.
        _ = try reader.read(3)
        let octets = Array(reader.readRest())
        guard !octets.isEmpty else { throw .invalid(offset: 4, rule: "an identity is not empty") }
        guard octets.count == lengths[kind, default: octets.count] else {
            throw .invalid(offset: 4, rule: "addresses, subnets and ranges have their own length (RFC 2407 §4.6.2)")
        }
        return Identity(Identity.Kind(rawValue: kind), octets: octets)
    }

    /// Octets of data, by type, where that is fixed (RFC 2407 §4.6.2.2 to §4.6.2.9).
    private static let lengths: [UInt8: Int] = [1: 4, 4: 8, 5: 16, 6: 32, 7: 8, 8: 32]

    /// A side of an IPsec SA: an address, a subnet or a range.
    package static func body(_ selector: TrafficSelector) -> [UInt8] {
        let isV4 = selector.family == .v4
        var body: [UInt8]
        var data: [UInt8]
        if selector.first == selector.last {
            body = [isV4 ? 1 : 5]
            data = selector.first.octets
        } else if let prefix = selector.prefix {
            body = [isV4 ? 4 : 6]
            let hostBits = UInt128(prefix.address.family.bitCount - prefix.length)
            let mask = hostBits == 128 ? 0 : ~((UInt128(1) << hostBits) - 1)
            data = prefix.address.octets + IPAddress(family: selector.family, value: mask).octets
        } else {
            body = [isV4 ? 7 : 8]
            data = selector.first.octets + selector.last.octets
        }
        // One port or all of them: a range of ports has no form here.
        let port = selector.firstPort == selector.lastPort ? selector.firstPort : 0
        body.append(selector.ipProtocol)
        body.append(bigEndian: port)
        return body + data
    }

    /// - Throws: for identities that are no addresses, and for masks with holes.
    package static func selector(_ body: [UInt8]) throws(ParseError) -> TrafficSelector {
        var reader = ByteReader(body)
        let kind = try reader.readUInt8()
        let ipProtocol = try reader.readUInt8()
        let port = try reader.readUInt16()
        let octets = Array(reader.readRest())
        let half = octets.count / 2
        var selector: TrafficSelector?
        switch (kind, octets.count) {
        case (1, 4), (5, 16): selector = IPAddress(octets: octets).map { TrafficSelector($0) }
        case (4, 8), (6, 32):
            guard let address = IPAddress(octets: octets[..<half]), let mask = IPAddress(octets: octets[half...]) else {
                break
            }
            let length = mask.value.nonzeroBitCount
            guard let prefix = Prefix(address, length: length),
                Prefix(.last(mask.family), length: length)?.address == mask
            else { throw .invalid(offset: 4 + half, rule: "a subnet's mask has no holes (RFC 2407 §4.6.2.5)") }
            selector = TrafficSelector(prefix)
        case (7, 8), (8, 32):
            guard let first = IPAddress(octets: octets[..<half]), let last = IPAddress(octets: octets[half...]) else {
                break
            }
            selector = TrafficSelector(first: first, last: last)
        default: break
        }
        guard var selector else {
            throw .invalid(offset: 0, rule: "a side of an IPsec SA is an address, subnet or range (RFC 2407 §4.6.2)")
        }
        selector.ipProtocol = ipProtocol
        if port != 0 {
            selector.firstPort = port
            selector.lastPort = port
        }
        return selector
    }
}
