import CPlatform
import Glibc
import Primitives

@testable import Platform

/// Blocking TCP for the tests, with a pattern that shows misplaced octets.
enum TCP {
    private static func withAddress<Value>(
        _ address: IPAddress, port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Value
    ) -> Value {
        var v4 = sockaddr_in()
        var v6 = sockaddr_in6()
        let octets = address.octets
        if address.family == .v4 {
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            withUnsafeMutableBytes(of: &v4.sin_addr) { $0.copyBytes(from: octets) }
            return withUnsafePointer(to: &v4) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
        v6.sin6_family = sa_family_t(AF_INET6)
        v6.sin6_port = port.bigEndian
        withUnsafeMutableBytes(of: &v6.sin6_addr) { $0.copyBytes(from: octets) }
        return withUnsafePointer(to: &v6) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
            }
        }
    }

    private static func open(_ address: IPAddress) -> Int32 {
        let descriptor = socket(address.family == .v4 ? AF_INET : AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        // A broken tunnel fails the test rather than hold it.
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
            setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
        }
        return descriptor
    }

    static func listen(_ address: IPAddress) -> (descriptor: Int32, port: UInt16) {
        let descriptor = open(address)
        guard withAddress(address, port: 0, { bind(descriptor, $0, $1) }) == 0, Glibc.listen(descriptor, 1) == 0
        else {
            close(descriptor)
            return (-1, 0)
        }
        return (descriptor, UInt16(clamping: parley_bound_port(descriptor)))
    }

    private static func pattern(_ offset: Int) -> UInt8 { UInt8(truncatingIfNeeded: offset &* 31 &+ offset >> 11) }

    static func receive(_ listener: Int32, octets: Int) -> Bool {
        defer { close(listener) }
        let descriptor = accept(listener, nil, nil)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 1 << 18)
        var received = 0
        while received < octets {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return false }
            for index in 0..<count where buffer[index] != pattern(received + index) { return false }
            received += count
        }
        return write(descriptor, "!", 1) == 1
    }

    static func send(_ address: IPAddress, port: UInt16, octets: Int) -> Bool {
        let descriptor = open(address)
        defer { close(descriptor) }
        guard withAddress(address, port: port, { connect(descriptor, $0, $1) }) == 0 else { return false }
        let buffer = (0..<octets).map(pattern)
        var sent = 0
        while sent < octets {
            let count = buffer.withUnsafeBytes { write(descriptor, $0.baseAddress! + sent, octets - sent) }
            guard count > 0 else { return false }
            sent += count
        }
        var answer: UInt8 = 0
        return read(descriptor, &answer, 1) == 1
    }
}
