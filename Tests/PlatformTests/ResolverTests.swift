import CPlatform
import Glibc
import IPsec
import Primitives
import Testing

@testable import Platform

/// How long a name's addresses are good, as a DNS server of the test's own says.
@Suite struct ResolverTests {
    /// A record of the name that was asked.
    private struct Record {
        var type: UInt16
        var lifetime: UInt32
        var data: [UInt8]

        init(_ type: UInt16, _ lifetime: UInt32, _ data: [UInt8]) {
            self.type = type
            self.lifetime = lifetime
            self.data = data
        }
    }

    /// An answer to a query.
    private static func answer(_ query: [UInt8], _ records: [Record]) -> [UInt8] {
        func two(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
        // The question ends behind the root label and its type and class; what may follow (EDNS) is left out.
        var end = 12
        while end < query.count, query[end] != 0 { end += Int(query[end]) + 1 }
        let question = Array(query[12..<min(end + 5, query.count)])
        var octets = Array(query[..<2]) + [0x81, 0x80, 0, 1] + two(UInt16(records.count)) + [0, 0, 0, 0] + question
        for record in records {
            octets += [0xC0, 12] + two(record.type) + [0, 1]
            octets += two(UInt16(record.lifetime >> 16)) + two(UInt16(record.lifetime & 0xFFFF))
            octets += two(UInt16(record.data.count)) + record.data
        }
        return octets
    }

    /// Answers two queries (A and AAAA) on a port of its own, and says what the resolver made of it.
    private static func lifetime(
        a: [Record], aaaa: [Record]
    ) throws -> Duration? {
        let loopback = IPAddress(v4: 0x7F00_0001)
        var local = parley_address(Endpoint(loopback, port: 0))
        // SAFETY: the address lives for the call.
        let descriptor = parley_datagram_socket(&local, 0, 0)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        let port = UInt16(parley_bound_port(descriptor))
        Threads.start {
            for _ in 0..<2 {
                guard !Poller.wait([Poller.Interest(descriptor)], milliseconds: 60_000).isEmpty else { return }
                var buffer = [UInt8](repeating: 0, count: 1500)
                var from = sockaddr_storage()
                var size = socklen_t(MemoryLayout<sockaddr_storage>.size)
                // SAFETY: the buffers live for the calls, which are told their sizes.
                let count = withUnsafeMutablePointer(to: &from) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        recvfrom(descriptor, &buffer, buffer.count, 0, $0, &size)
                    }
                }
                guard count > 16 else { return }
                var end = 12
                while end < count, buffer[end] != 0 { end += Int(buffer[end]) + 1 }
                let isIPv6 = end + 2 < count && buffer[end + 2] == 28
                let octets = answer(Array(buffer[..<count]), isIPv6 ? aaaa : a)
                _ = withUnsafePointer(to: &from) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        sendto(descriptor, octets, octets.count, 0, $0, size)
                    }
                }
            }
        }
        return Resolver.lifetime(of: "gw.parley.example.", server: Endpoint(loopback, port: port))
    }

    @Test func theLeastTTLOfAllRecordsCounts() throws {
        let v4 = [Record(1, 300, [192, 0, 2, 1]), Record(1, 30, [192, 0, 2, 2])]
        let v6 = [Record(28, 70, [0x20, 1] + [UInt8](repeating: 1, count: 14))]
        #expect(try Self.lifetime(a: v4, aaaa: v6) == .seconds(30))
        #expect(try Self.lifetime(a: [Record(1, 300, [192, 0, 2, 1])], aaaa: v6) == .seconds(70))
        #expect(try Self.lifetime(a: [Record(1, 0, [192, 0, 2, 1])], aaaa: v6) == .seconds(0))
    }

    @Test func aNameWithoutRecordsHasNone() throws {
        #expect(try Self.lifetime(a: [], aaaa: []) == nil)
        // A record of another kind says nothing of addresses.
        #expect(try Self.lifetime(a: [Record(16, 5, [1, 65])], aaaa: []) == nil)
    }

    @Test func theMachinesOwnNamesHaveAddresses() {
        let found = Resolver.resolve("localhost")
        #expect(found.addresses.contains(IPAddress(v4: 0x7F00_0001)) || found.addresses.contains(IPAddress("::1")!))
    }
}
