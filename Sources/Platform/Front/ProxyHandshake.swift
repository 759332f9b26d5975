import Primitives

/// What a client of a proxy says before its stream begins, and what it is answered. A value: octets in, a step out.
package struct ProxyHandshake: Sendable {
    package enum Kind: Hashable, Sendable {
        /// SOCKS5 (RFC 1928).
        case socks
        /// HTTP's CONNECT (RFC 9110 §9.3.6).
        case web
    }

    package enum Step: Hashable, Sendable {
        /// Say this, and wait for more; where there was something to say, more may already be there: ask with nothing.
        case proceed(reply: [UInt8])
        /// Connect; what the client already sent behind its request belongs to the stream.
        case connect(FrontTarget, port: UInt16, early: [UInt8])
        /// Say this and end.
        case refuse(reply: [UInt8])
    }

    /// How connecting came out.
    package enum Outcome: Hashable, Sendable {
        case open
        case failed
        case noRoute
        case unreachable
        case refused
    }

    /// Octets of a whole request of HTTP, headers included.
    private static let maximumRequest = 8192

    package let kind: Kind
    private var received: [UInt8] = []
    private var hasChosenMethod = false

    package init(_ kind: Kind) { self.kind = kind }

    /// Takes what the client sent.
    package mutating func take(_ octets: some Sequence<UInt8>) -> Step {
        received += octets
        switch kind {
        case .socks: return takeSocks()
        case .web: return takeWeb()
        }
    }

    /// What the client is told of the connection that it asked for.
    package func reply(_ outcome: Outcome) -> [UInt8] {
        switch (kind, outcome) {
        case (.socks, .open): Self.socksReply(0)
        case (.socks, .failed): Self.socksReply(1)
        case (.socks, .noRoute): Self.socksReply(3)
        case (.socks, .unreachable): Self.socksReply(4)
        case (.socks, .refused): Self.socksReply(5)
        case (.web, .open): Array("HTTP/1.1 200 Connection established\r\n\r\n".utf8)
        case (.web, .unreachable): Self.webReply("504 Gateway Timeout")
        case (.web, _): Self.webReply("502 Bad Gateway")
        }
    }

    // MARK: SOCKS5

    private mutating func takeSocks() -> Step {
        if !hasChosenMethod {
            // §3: version, count, methods.
            guard received.first.map({ $0 == 5 }) != false else { return .refuse(reply: []) }
            guard received.count >= 2, received.count >= 2 + Int(received[1]) else { return .proceed(reply: []) }
            let count = 2 + Int(received[1])
            guard received[2..<count].contains(0) else { return .refuse(reply: [5, 0xFF]) }
            received.removeFirst(count)
            hasChosenMethod = true
            return .proceed(reply: [5, 0])
        }
        // §4: version, command, 0, kind of address, address, port.
        guard received.count >= 5 else { return .proceed(reply: []) }
        guard received[0] == 5 else { return .refuse(reply: Self.socksReply(1)) }
        guard received[1] == 1 else { return .refuse(reply: Self.socksReply(7)) }
        let (start, count): (Int, Int)
        switch received[3] {
        case 1: (start, count) = (4, 4)
        case 3: (start, count) = (5, Int(received[4]))
        case 4: (start, count) = (4, 16)
        default: return .refuse(reply: Self.socksReply(8))
        }
        guard received.count >= start + count + 2 else { return .proceed(reply: []) }
        let host = received[start..<(start + count)]
        let port = UInt16(received[start + count]) << 8 | UInt16(received[start + count + 1])
        var target: FrontTarget?
        if received[3] == 3 {
            target = String(validating: host, as: UTF8.self).flatMap { FrontTarget($0) }
        } else {
            target = IPAddress(octets: host).map { .address($0) }
        }
        guard let target, port != 0 else { return .refuse(reply: Self.socksReply(1)) }
        return .connect(target, port: port, early: Array(received[(start + count + 2)...]))
    }

    /// §6; the bound address is left unsaid.
    private static func socksReply(_ code: UInt8) -> [UInt8] { [5, code, 0, 1, 0, 0, 0, 0, 0, 0] }

    // MARK: HTTP

    private func takeWeb() -> Step {
        guard let end = headerEnd() else {
            return received.count > Self.maximumRequest
                ? .refuse(reply: Self.webReply("431 Request Header Fields Too Large")) : .proceed(reply: [])
        }
        let head = received[..<end]
        let line = head.prefix { $0 != 0x0D && $0 != 0x0A }
        guard let text = String(validating: line, as: UTF8.self) else {
            return .refuse(reply: Self.webReply("400 Bad Request"))
        }
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else {
            return .refuse(reply: Self.webReply("400 Bad Request"))
        }
        guard words[0] == "CONNECT" else {
            return .refuse(reply: Self.webReply("405 Method Not Allowed", further: "Allow: CONNECT\r\n"))
        }
        guard let (host, port) = FrontConfiguration.split(words[1]), port != 0, let target = FrontTarget(host) else {
            return .refuse(reply: Self.webReply("400 Bad Request"))
        }
        return .connect(target, port: port, early: Array(received[end...]))
    }

    /// Where the empty line behind the headers ends.
    private func headerEnd() -> Int? {
        let mark: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A]
        guard received.count >= mark.count else { return nil }
        for index in 0...(min(received.count, Self.maximumRequest) - mark.count)
        where received[index..<(index + mark.count)].elementsEqual(mark) {
            return index + mark.count
        }
        return nil
    }

    private static func webReply(_ status: String, further: String = "") -> [UInt8] {
        Array("HTTP/1.1 \(status)\r\n\(further)Content-Length: 0\r\nConnection: close\r\n\r\n".utf8)
    }
}
