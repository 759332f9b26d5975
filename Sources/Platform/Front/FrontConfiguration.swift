package import Primitives

/// A host as a proxy's client names it.
package enum FrontTarget: Hashable, Sendable {
    case address(IPAddress)
    case name(String)

    /// Reads an address, or a name of at most 255 letters, digits, hyphens, underscores and dots.
    package init?(_ text: some StringProtocol) {
        if let address = IPAddress(text) {
            self = .address(address)
            return
        }
        let octets = Array(text.utf8)
        guard (1...255).contains(octets.count), text.contains(where: \.isLetter),
            octets.allSatisfy({
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0)
                    || [0x2D, 0x2E, 0x5F].contains($0)
            })
        else { return nil }
        self = .name(String(text))
    }
}

/// What the rootless front offers to programs of this machine: ways into the tunnel that need neither a TUN device nor a
/// right, for TCP.
package struct FrontConfiguration: Hashable, Sendable {
    /// A local port whose connections all go to one place.
    package struct Forward: Hashable, Sendable {
        package var local: Endpoint
        package var target: FrontTarget
        package var port: UInt16

        package init(local: Endpoint, target: FrontTarget, port: UInt16) {
            self.local = local
            self.target = target
            self.port = port
        }

        /// `8022=10.2.0.1:22` or `[::1]:8022=host.example:22`.
        package init?(_ text: String) {
            guard let equals = text.firstIndex(of: "="), let local = FrontConfiguration.listener(text[..<equals]),
                let (host, port) = FrontConfiguration.split(text[text.index(after: equals)...]), port != 0,
                let target = FrontTarget(host)
            else { return nil }
            self.init(local: local, target: target, port: port)
        }
    }

    /// Where SOCKS5 is spoken (RFC 1928), without authentication.
    package var socks: [Endpoint] = []
    /// Where HTTP's CONNECT is answered (RFC 9110 §9.3.6).
    package var web: [Endpoint] = []
    package var forwards: [Forward] = []
    /// Our addresses inside the tunnel, one of each family at most; virtual addresses take their place.
    package var addresses: [IPAddress] = []
    /// Connections at a time; others wait to be accepted.
    package var maximumConnections = 256

    package init() {}

    package var isEmpty: Bool { socks.isEmpty && web.isEmpty && forwards.isEmpty }

    /// A place to listen: a port of the loopback address, or `ADDRESS:PORT`. `nil` where it is neither.
    package static func listener(_ text: some StringProtocol) -> Endpoint? {
        if let port = UInt16(text) { return Endpoint(IPAddress(v4: 0x7F00_0001), port: port) }
        guard let (host, port) = split(text), let address = IPAddress(host) else { return nil }
        return Endpoint(address, port: port)
    }

    /// Host and port: `10.2.0.1:80`, `[fd00::1]:80`, `host.example:80`.
    static func split(_ text: some StringProtocol) -> (host: String, port: UInt16)? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
            return nil
        }
        let host = text[..<colon]
        if host.hasPrefix("[") {
            let inner = host.dropFirst().dropLast()
            return host.hasSuffix("]") && inner.contains(":") ? (String(inner), port) : nil
        }
        return host.isEmpty || host.contains(":") ? nil : (String(host), port)
    }
}
