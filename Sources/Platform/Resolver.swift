import CPlatform
import Glibc
package import Primitives

/// Names to addresses, by the system's resolver. Blocks.
package enum Resolver {
    /// What a name stands for, and for how long that is good; `nil` where the DNS does not say, as of names in the machine's
    /// own files.
    package struct Resolution: Hashable, Sendable {
        package var addresses: [IPAddress]
        package var lifetime: Duration?

        package init(_ addresses: [IPAddress], lifetime: Duration? = nil) {
            self.addresses = addresses
            self.lifetime = lifetime
        }
    }

    /// The addresses of a name with their lifetime: the system's choice of addresses, and the DNS's TTL.
    package static func resolve(_ name: String) -> Resolution {
        let found = addresses(of: name)
        return Resolution(found, lifetime: found.isEmpty ? nil : lifetime(of: name))
    }

    /// The least TTL of a name's records in the DNS.
    ///
    /// - Parameter server: an IPv4 address and port to ask instead of the system's.
    package static func lifetime(of name: String, server: Endpoint? = nil) -> Duration? {
        var seconds: UInt32 = 0
        // SAFETY: the name, the address and the result live for the call, which keeps none of them.
        let code: Int32
        if let server {
            var address = parley_address(server)
            code = parley_name_lifetime(name, &address, &seconds)
        } else {
            code = parley_name_lifetime(name, nil, &seconds)
        }
        return code == 0 ? .seconds(Int64(seconds)) : nil
    }

    /// The addresses of a name in the system's order of preference, without repetitions; empty where it has none.
    package static func addresses(of name: String) -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [IPAddress] = []
        var next = list
        // SAFETY: the list belongs to us until freeaddrinfo; each entry says its own family and so its size.
        while let entry = next?.pointee {
            if let address = address(entry), !found.contains(address) { found.append(address) }
            next = entry.ai_next
        }
        return found
    }

    private static func address(_ entry: addrinfo) -> IPAddress? {
        guard let pointer = UnsafeRawPointer(entry.ai_addr) else { return nil }
        switch entry.ai_family {
        case AF_INET:
            var address = pointer.loadUnaligned(as: sockaddr_in.self).sin_addr
            return IPAddress(octets: withUnsafeBytes(of: &address) { Array($0) })
        case AF_INET6:
            var address = pointer.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            return IPAddress(octets: withUnsafeBytes(of: &address) { Array($0) })
        default: return nil
        }
    }
}
