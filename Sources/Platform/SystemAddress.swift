import CPlatform
package import Primitives

extension parley_address {
    init(_ address: IPAddress, port: UInt16 = 0) {
        self.init()
        family = address.family.rawValue
        self.port = port
        // SAFETY: the field has 16 octets; at most 16 are written.
        withUnsafeMutableBytes(of: &octets) { field in
            if address.family == .v4 {
                field.storeBytes(of: UInt32(truncatingIfNeeded: address.value).bigEndian, as: UInt32.self)
            } else {
                field.storeBytes(of: UInt64(truncatingIfNeeded: address.value >> 64).bigEndian, as: UInt64.self)
                field.storeBytes(
                    of: UInt64(truncatingIfNeeded: address.value).bigEndian, toByteOffset: 8, as: UInt64.self)
            }
        }
    }

    init(_ endpoint: Endpoint) { self.init(endpoint.address, port: endpoint.port) }

    /// The address; `nil` where there is none.
    var address: IPAddress? {
        // SAFETY: the field has 16 octets; at most 16 are read.
        withUnsafeBytes(of: octets) { field in
            switch family {
            case 4: IPAddress(v4: UInt32(bigEndian: field.loadUnaligned(as: UInt32.self)))
            case 6:
                IPAddress(
                    v6: UInt128(UInt64(bigEndian: field.loadUnaligned(as: UInt64.self))) << 64
                        | UInt128(UInt64(bigEndian: field.loadUnaligned(fromByteOffset: 8, as: UInt64.self))))
            default: nil
            }
        }
    }

    var endpoint: Endpoint? { address.map { Endpoint($0, port: port) } }
}

/// What the machine knows about its own addresses.
package enum LocalAddresses {
    /// Addresses of interfaces that are up.
    package static func all() -> [IPAddress] {
        var found = [parley_address](repeating: parley_address(), count: 512)
        let count = parley_local_addresses(&found, UInt32(found.count))
        return found.prefix(max(0, Int(count))).compactMap(\.address)
    }

    /// The address that the kernel would send from; `nil` where there is no route. `mark` is what the sender's packets
    /// carry.
    package static func source(for remote: IPAddress, mark: UInt32 = 0) -> IPAddress? {
        var source = parley_address()
        var target = parley_address(remote, port: 500)
        guard parley_source_address(&target, mark, &source) == 0 else { return nil }
        return source.address
    }
}
