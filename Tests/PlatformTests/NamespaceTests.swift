import CPlatform
import Cryptography
import DataPlane
import Glibc
import IPsec
import Primitives
import Testing

@testable import Platform

@_silgen_name("setns") private func setns(_ descriptor: Int32, _ kind: Int32) -> Int32

/// Two network namespaces that a veth pair joins: 192.0.2.1 and 192.0.2.2, fd00::1 and fd00::2, with an address of the
/// inner networks each on loopback (10.1.0.1, fd01::1 and 10.2.0.1, fd02::1).
final class TwoHosts: Sendable {
    static let names = ["parley-plane-w-\(getpid())", "parley-plane-e-\(getpid())"]

    /// `nil`, with the reason printed, where the process may not make namespaces.
    init?() {
        guard geteuid() == 0 else {
            print("skipped: network namespaces need root")
            return nil
        }
        guard access("/dev/net/tun", R_OK | W_OK) == 0 else {
            print("skipped: there is no /dev/net/tun")
            return nil
        }
        for name in Self.names { _ = Self.ip("netns del \(name)", quiet: true) }
        guard Self.names.allSatisfy({ Self.ip("netns add \($0)") }),
            Self.ip("link add plane-w netns \(Self.names[0]) type veth peer name plane-e netns \(Self.names[1])")
        else {
            print("skipped: `ip` could not make two namespaces with a veth pair")
            return nil
        }
        for (index, (name, link)) in zip(Self.names, ["plane-w", "plane-e"]).enumerated() {
            for command in [
                "link set lo up", "addr add 192.0.2.\(index + 1)/24 dev \(link)",
                "addr add fd00::\(index + 1)/64 dev \(link) nodad", "addr add 10.\(index + 1).0.1/32 dev lo",
                "addr add fd0\(index + 1)::1/128 dev lo nodad", "link set \(link) up",
            ] { precondition(Self.ip("-n \(name) \(command)"), command) }
        }
    }

    deinit {
        for name in Self.names { _ = Self.ip("netns del \(name)") }
    }

    /// Runs `ip` with these words.
    static func ip(_ words: String, quiet: Bool = false) -> Bool {
        let command = "ip " + words + (quiet ? " 2>/dev/null" : "")
        return run(["/bin/sh", "-c", command])
    }

    static func run(_ words: [String]) -> Bool {
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { arguments.forEach { free($0) } }
        var process = pid_t()
        guard posix_spawn(&process, words[0], nil, nil, &arguments, environ) == 0 else { return false }
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return status == 0
    }

    /// Runs `body` on a thread that lives in the namespace of host 0 or 1; what it opens stays there.
    func on<Value: Sendable>(_ host: Int, _ body: @escaping @Sendable () throws -> Value) throws -> Value {
        let box = ResultBox<Value>()
        Worker {
            let descriptor = open("/run/netns/" + Self.names[host], O_RDONLY)
            precondition(descriptor >= 0 && setns(descriptor, 0x4000_0000) == 0, "the namespace can be entered")
            close(descriptor)
            box.result = Result { try body() }
        }.join()
        return try box.result!.get()
    }

    // SAFETY: written by one thread, read by another after it has joined the first.
    private final class ResultBox<Value>: @unchecked Sendable {
        var result: Result<Value, any Error>?
    }
}

@Suite(.serialized, .timeLimit(.minutes(5))) struct NamespaceTests {
    private static let westNet = [selector("10.1.0.0/16"), selector("fd01::/16")]
    private static let eastNet = [selector("10.2.0.0/16"), selector("fd02::/16")]

    private func engine(_ hosts: TwoHosts, _ host: Int) throws -> UserspaceEngine {
        try hosts.on(host) {
            var configuration = UserspaceConfiguration()
            configuration.tunnelName = "plane%d"
            return try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
        }
    }

    /// Runs `body` with a tunnel between two hosts.
    private func withTunnel(
        _ suite: Suite, outerV6: Bool = false, encapsulated: Bool = true, westNet: [TrafficSelector] = westNet,
        eastNet: [TrafficSelector] = eastNet,
        _ body: (TwoHosts, UserspaceEngine, UserspaceEngine) throws -> Void
    ) throws {
        guard let hosts = TwoHosts() else { return }
        let west = try engine(hosts, 0)
        defer { west.close() }
        let east = try engine(hosts, 1)
        defer { east.close() }
        let ends = (outerV6 ? ["fd00::1", "fd00::2"] : ["192.0.2.1", "192.0.2.2"]).map {
            Endpoint(IPAddress($0)!, port: 4500)
        }
        let pair = ChildPair(
            suite, westEnd: ends[0], eastEnd: ends[1], westNet: westNet, eastNet: eastNet,
            encapsulated: encapsulated)
        try hosts.on(0) { pair.west.forEach(west.install) }
        try hosts.on(1) { pair.east.forEach(east.install) }
        #expect(west.routeFailures == [])
        #expect(east.routeFailures == [])
        try body(hosts, west, east)
    }

    private func ping(_ target: String, from source: String? = nil, size: Int = 56, count: Int = 3) -> Bool {
        let source = source ?? (target.contains(":") ? "fd01::1" : "10.1.0.1")
        return TwoHosts.run([
            "/bin/sh", "-c",
            "ip netns exec \(TwoHosts.names[0]) ping -q -n -c \(count) -i 0.02 -W 5 -s \(size) -I \(source) \(target)"
                + " >/dev/null",
        ])
    }

    @Test(arguments: [
        (Suite(encryption: Encryption(.aesGCM16, keyBits: 256)), false, true),
        (Suite(encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA512_256), false, true),
        (Suite(encryption: Encryption(.chacha20Poly1305)), true, true),
        (Suite(encryption: Encryption(.aesGCM16ImplicitIV, keyBits: 256)), false, true),
        (Suite(encryption: Encryption(.aesGCM16, keyBits: 128)), false, false),
        (Suite(encryption: Encryption(.aesGCM16, keyBits: 128)), true, false),
    ])
    func pingsAndTransfersPass(suite: Suite, outerV6: Bool, encapsulated: Bool) throws {
        try withTunnel(suite, outerV6: outerV6, encapsulated: encapsulated) { hosts, west, east in
            for target in ["10.2.0.1", "fd02::1"] {
                #expect(ping(target))
                #expect(ping(target, size: 1352), "the largest that passes unfragmented, or nearly")
                #expect(ping(target, size: 4000), "fragments")
                #expect(try transfer(hosts, to: target, octets: 2 << 20))
            }
            // The receiver's first: a packet that passes between the two looks counts as sent.
            let theirs = try #require(east.counters(of: ChildID(1)))
            let counters = try #require(west.counters(of: ChildID(1)))
            #expect(counters.outbound.octets > 4 << 20)
            #expect(counters.inbound.packets > 18)
            // A packet may still be on its way; what was received was sent.
            #expect(theirs.inbound.packets <= counters.outbound.packets)
            for engine in [west, east] {
                let drops = engine.dropCounters.nonzero
                // Devices that come up announce themselves over IPv6; no policy covers that.
                #expect(drops.filter { $0.key != .noPolicy } == [:])
            }
        }
    }

    /// Datagrams that an application gives the kernel as one (UDP_SEGMENT): the device takes them as one where it can, and what
    /// comes out are the datagrams, one by one or joined again.
    @Test(arguments: [false, true]) func datagramsInSegmentsArriveAsTheyWere(v6: Bool) throws {
        try withTunnel(Suite(encryption: Encryption(.aesGCM16, keyBits: 256))) { hosts, west, east in
            let ends = (v6 ? ["fd01::1", "fd02::1"] : ["10.1.0.1", "10.2.0.1"]).map { IPAddress($0)! }
            let sender = try hosts.on(0) { try DatagramSocket(.exchange, ends[0], port: 7000, mark: 0) }
            let receiver = try hosts.on(1) { try DatagramSocket(.exchange, ends[1], port: 7000, mark: 0) }
            let buffers = try #require(parley_receiver_create(16, 65_536))
            defer { parley_receiver_destroy(buffers) }
            var (from, to) = (parley_address(ends[0], port: 7000), parley_address(ends[1], port: 7000))
            for round in 0..<10 {
                let octets = (0..<19 * 700 + 100).map { UInt8(truncatingIfNeeded: $0 / 7 &+ round) }
                let wanted = stride(from: 0, to: octets.count, by: 700).map {
                    Array(octets[$0..<min($0 + 700, octets.count)])
                }
                #expect(
                    octets.withUnsafeBytes {
                        parley_send(sender.descriptor, &from, &to, $0.baseAddress, $0.count, 700, 0, 0)
                    } == 0)
                var received: [[UInt8]] = []
                var (descriptor, ready) = (receiver.descriptor, UInt8(0))
                while received.count < wanted.count, parley_wait(&descriptor, &ready, 1, 5_000_000_000) > 0 {
                    var incoming = [parley_incoming](repeating: parley_incoming(), count: 16)
                    let count = Int(parley_receive(receiver.descriptor, buffers, 0, &to, &incoming))
                    for index in 0..<max(0, count) {
                        let buffer = try #require(parley_receiver_buffer(buffers, UInt32(index)))
                        let message = incoming[index]
                        let size = message.segment == 0 ? message.count : message.segment
                        for offset in stride(from: 0, to: message.count, by: size) {
                            let part = UnsafeRawBufferPointer(
                                start: buffer + offset, count: min(size, message.count - offset))
                            received.append(Array(part))
                        }
                    }
                }
                #expect(received == wanted)
            }
            #expect(west.counters(of: ChildID(1))?.outbound.packets == 200)
            #expect(east.counters(of: ChildID(1))?.inbound.packets == 200)
        }
    }

    /// Selectors that are the hosts themselves, as `dynamic` makes them: the tunnel's own packets must pass it by.
    @Test(arguments: [false, true])
    func hostsReachEachOtherThroughATunnelBetweenThem(v6: Bool) throws {
        let (westHost, eastHost) = v6 ? ("fd00::1", "fd00::2") : ("192.0.2.1", "192.0.2.2")
        try withTunnel(
            Suite(encryption: Encryption(.aesGCM16, keyBits: 128)), outerV6: v6,
            westNet: [TrafficSelector(IPAddress(westHost)!)], eastNet: [TrafficSelector(IPAddress(eastHost)!)]
        ) { hosts, west, east in
            #expect(ping(eastHost, from: westHost, count: 5))
            #expect(try transfer(hosts, to: eastHost, octets: 1 << 20))
            let counters = try #require(west.counters(of: ChildID(1)))
            #expect(counters.outbound.octets > 1 << 20)
            #expect(counters.inbound.packets >= 5)
            let datagram = Datagram(
                local: Endpoint(IPAddress(westHost)!, port: 500), remote: Endpoint(IPAddress(eastHost)!, port: 500),
                octets: [1, 2, 3])
            #expect(west.sendIKE(datagram))
            let after = try #require(west.counters(of: ChildID(1)))
            #expect(after.outbound.packets <= counters.outbound.packets + 1, "but for a last acknowledgement")
        }
    }

    @Test func routesAndRulesGoWithTheEngine() throws {
        guard let hosts = TwoHosts() else { return }
        let west = try engine(hosts, 0)
        let ends = ["192.0.2.1", "192.0.2.2"].map { Endpoint(IPAddress($0)!, port: 4500) }
        let pair = ChildPair(westEnd: ends[0], eastEnd: ends[1], westNet: Self.westNet, eastNet: Self.eastNet)
        func shows(_ words: String, _ wanted: String) -> Bool {
            TwoHosts.run(["/bin/sh", "-c", "ip -n \(TwoHosts.names[0]) \(words) | grep -q '\(wanted)'"])
        }
        try hosts.on(0) { pair.west.forEach(west.install) }
        #expect(west.routeFailures == [])
        #expect(shows("route show table 220", "10.2.0.0/16 dev plane0 .*src 10.1.0.1"))
        #expect(shows("-6 route show table 220", "fd02::/16 dev plane0 .*src fd01::1"))
        #expect(shows("rule", "220:.*not from all fwmark 0xdc lookup 220"))
        #expect(shows("-6 rule", "220:.*not from all fwmark 0xdc lookup 220"))
        #expect(try hosts.on(0) { west.sourceAddress(for: ends[1].address) } == ends[0].address)
        // A rekeyed SA needs the same routes; they stay until the last one goes.
        try hosts.on(0) { pair.west.forEach(west.install) }
        try hosts.on(0) { west.remove(pair.west[0].spi, .outbound, of: ChildID(1)) }
        #expect(shows("route show table 220", "10.2.0.0/16"))
        try hosts.on(0) { west.remove(pair.west[0].spi, .outbound, of: ChildID(1)) }
        #expect(!shows("route show table 220", "10.2.0.0/16"))
        #expect(!shows("-6 route show table 220", "fd02::/16"))
        try hosts.on(0) { pair.west.forEach(west.install) }
        #expect(shows("route show table 220", "10.2.0.0/16"))
        try hosts.on(0) { west.close() }
        #expect(!shows("rule", "lookup 220"))
        #expect(!shows("-6 rule", "lookup 220"))
        #expect(west.routeFailures == [])
    }

    /// What an earlier run left on a device that somebody keeps, and of rules, goes; what is others' stays.
    @Test func remainsOfAKilledProcessAreTakenBack() throws {
        guard let hosts = TwoHosts() else { return }
        func ip(_ words: String) -> Bool { TwoHosts.ip("-n \(TwoHosts.names[0]) \(words)") }
        func shows(_ words: String, _ wanted: String) -> Bool {
            TwoHosts.run(["/bin/sh", "-c", "ip -n \(TwoHosts.names[0]) \(words) | grep -q '\(wanted)'"])
        }
        #expect(ip("tuntap add dev kept mode tun multi_queue vnet_hdr"))
        #expect(ip("link set kept up") && ip("addr add 10.8.0.1/32 dev kept"))
        func start(_ name: String) throws -> UserspaceEngine {
            try hosts.on(0) {
                var configuration = UserspaceConfiguration()
                configuration.tunnelName = name
                (configuration.port, configuration.natPort) = (0, 0)
                // A device with several queues lets a second process in.
                configuration.workers = 2
                return try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
            }
        }
        // Lives on, and so keeps the address as a killed one would.
        let first = try start("kept")
        try hosts.on(0) { first.addAddress(IPAddress("10.9.0.1")!) }
        #expect(shows("addr show dev kept", "10.9.0.1"))
        let rules = ["", "-6 "].flatMap { family in
            [
                "\(family)rule add priority 219 ipproto tcp dport 80-90 lookup main protocol 220",
                "\(family)rule add not fwmark 220 priority 220 lookup 220 protocol 220",
                "\(family)rule add priority 219 ipproto udp lookup main protocol static",
                "\(family)rule add priority 220 fwmark 9 lookup 220 protocol static",
            ]
        }
        for rule in rules { #expect(ip(rule)) }
        #expect(ip("route add 10.2.0.0/16 dev kept table 220 proto 220"))
        #expect(ip("route add 10.3.0.0/16 dev kept table 220 proto static"))
        #expect(ip("-6 route add fd02::/16 dev kept table 220 proto 220"))
        // Routes through another device are those of another process, which may live: its rules stay.
        let other = try start("plane%d")
        for family in ["", "-6 "] { #expect(shows("\(family)rule", "220:.*not from all fwmark 0xdc lookup 220")) }
        #expect(shows("route show table 220", "10.2.0.0/16"))
        try hosts.on(0) { other.close() }
        let engine = try start("kept")
        #expect(engine.routeFailures == [])
        for family in ["", "-6 "] {
            #expect(!shows("\(family)rule", "dport 80-90") && !shows("\(family)rule", "not from all"))
            #expect(shows("\(family)rule", "219:.*ipproto udp") && shows("\(family)rule", "220:.*fwmark 0x9"))
        }
        #expect(!shows("route show table 220", "10.2.0.0/16") && !shows("-6 route show table 220", "fd02::"))
        #expect(shows("route show table 220", "10.3.0.0/16") && shows("addr show dev kept", "10.8.0.1"))
        // Kernels before 5.18 do not tell whose an address is.
        let release = Machine.description.release.split(separator: ".").prefix(2).compactMap { Int($0) }
        if !release.lexicographicallyPrecedes([5, 18]) { #expect(!shows("addr show dev kept", "10.9.0.1")) }
        try hosts.on(0) {
            engine.close()
            first.close()
        }
    }

    /// Sends octets over TCP from west to east; whether all arrived as they were.
    private func transfer(_ hosts: TwoHosts, to target: String, octets: Int) throws -> Bool {
        let address = IPAddress(target)!
        let listener = try hosts.on(1) { TCP.listen(address) }
        guard listener.descriptor >= 0 else { return false }
        // SAFETY: written by one thread, read by another after it has joined the first.
        nonisolated(unsafe) var received = false
        let receiver = Worker { received = TCP.receive(listener.descriptor, octets: octets) }
        let sent = try hosts.on(0) { TCP.send(address, port: listener.port, octets: octets) }
        receiver.join()
        return sent && received
    }
}
