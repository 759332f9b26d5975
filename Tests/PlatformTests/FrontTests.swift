import Primitives
import Testing

@testable import Platform

/// What the rootless front's clients say, and what its options mean.
@Suite struct FrontTests {
    private let greeting: [UInt8] = [5, 2, 2, 0]

    private func request(_ address: [UInt8], command: UInt8 = 1, port: UInt16 = 80) -> [UInt8] {
        [5, command, 0] + address + [UInt8(port >> 8), UInt8(port & 0xFF)]
    }

    @Test func socksConnects() {
        let targets: [([UInt8], FrontTarget)] = [
            ([1, 10, 2, 0, 1], .address(IPAddress("10.2.0.1")!)),
            ([4] + IPAddress("fd00::1")!.octets, .address(IPAddress("fd00::1")!)),
            ([3, 12] + Array("host.example".utf8), .name("host.example")),
            ([3, 8] + Array("10.2.0.1".utf8), .address(IPAddress("10.2.0.1")!)),
        ]
        for (address, target) in targets {
            var handshake = ProxyHandshake(.socks)
            #expect(handshake.take(greeting) == .proceed(reply: [5, 0]))
            #expect(handshake.take([]) == .proceed(reply: []))
            #expect(handshake.take(request(address) + [7, 8]) == .connect(target, port: 80, early: [7, 8]))
        }
        // One octet at a time, and all at once.
        var slow = ProxyHandshake(.socks)
        var steps: [ProxyHandshake.Step] = []
        for octet in greeting + request([1, 10, 2, 0, 1]) { steps.append(slow.take([octet])) }
        let nothing = ProxyHandshake.Step.proceed(reply: [])
        let target = FrontTarget.address(IPAddress("10.2.0.1")!)
        #expect(steps.filter { $0 != nothing } == [.proceed(reply: [5, 0]), .connect(target, port: 80, early: [])])
        var hasty = ProxyHandshake(.socks)
        #expect(hasty.take(greeting + request([1, 10, 2, 0, 1])) == .proceed(reply: [5, 0]))
        #expect(hasty.take([]) == .connect(target, port: 80, early: []))
    }

    @Test func socksRefuses() {
        var old = ProxyHandshake(.socks)
        #expect(old.take([4, 1, 0, 80]) == .refuse(reply: []))
        var secretive = ProxyHandshake(.socks)
        #expect(secretive.take([5, 1, 2]) == .refuse(reply: [5, 0xFF]))
        func refusal(_ octets: [UInt8]) -> UInt8? {
            var handshake = ProxyHandshake(.socks)
            _ = handshake.take(greeting)
            guard case .refuse(let reply) = handshake.take(octets), reply.count == 10 else { return nil }
            return reply[1]
        }
        #expect(refusal(request([1, 10, 2, 0, 1], command: 2)) == 7)
        #expect(refusal(request([1, 10, 2, 0, 1], command: 3)) == 7)
        #expect(refusal(request([9, 10, 2, 0, 1])) == 8)
        #expect(refusal(request([1, 10, 2, 0, 1], port: 0)) == 1)
        #expect(refusal(request([3, 3] + Array("a b".utf8))) == 1)
        #expect(refusal(request([3, 2, 0xFF, 0xFE])) == 1)
        #expect(refusal(request([3, 0])) == 1)
        #expect(refusal([4] + request([1, 10, 2, 0, 1]).dropFirst()) == 1)
        #expect(ProxyHandshake(.socks).reply(.refused) == [5, 5, 0, 1, 0, 0, 0, 0, 0, 0])
    }

    @Test func webConnects() {
        func step(_ text: String) -> ProxyHandshake.Step {
            var handshake = ProxyHandshake(.web)
            return handshake.take(Array(text.utf8))
        }
        #expect(
            step("CONNECT [fd00::1]:443 HTTP/1.1\r\nHost: x\r\n\r\nearly")
                == .connect(.address(IPAddress("fd00::1")!), port: 443, early: Array("early".utf8)))
        #expect(
            step("CONNECT host.example:22 HTTP/1.0\r\n\r\n") == .connect(.name("host.example"), port: 22, early: []))
        #expect(step("CONNECT host.example:22 HTTP/1.1\r\nHost: x\r\n") == .proceed(reply: []))
        func status(_ text: String) -> String? {
            guard case .refuse(let reply) = step(text) else { return nil }
            return String(decoding: reply.dropFirst(9).prefix(3), as: UTF8.self)
        }
        #expect(status("GET http://host.example/ HTTP/1.1\r\n\r\n") == "405")
        #expect(status("CONNECT host.example HTTP/1.1\r\n\r\n") == "400")
        #expect(status("CONNECT host.example:0 HTTP/1.1\r\n\r\n") == "400")
        #expect(status("CONNECT fd00::1:443 HTTP/1.1\r\n\r\n") == "400")
        #expect(status("nonsense\r\n\r\n") == "400")
        #expect(status(String(repeating: "a", count: 8193)) == "431")
        #expect(ProxyHandshake(.web).reply(.open).starts(with: Array("HTTP/1.1 200 ".utf8)))
    }

    @Test func portsAreLoopbacksUnlessTold() {
        #expect(FrontConfiguration.listener("1080") == Endpoint(IPAddress("127.0.0.1")!, port: 1080))
        #expect(FrontConfiguration.listener("0.0.0.0:1080") == Endpoint(IPAddress("0.0.0.0")!, port: 1080))
        #expect(FrontConfiguration.listener("[::1]:1080") == Endpoint(IPAddress("::1")!, port: 1080))
        for wrong in ["", "x", "99999", "::1:1080", "host:1", "[10.0.0.1]:1", "10.0.0.1"] {
            #expect(FrontConfiguration.listener(wrong) == nil, "\(wrong)")
        }
        let forward = FrontConfiguration.Forward("8022=[fd00::1]:22")
        #expect(forward?.local == Endpoint(IPAddress("127.0.0.1")!, port: 8022))
        #expect(forward?.target == .address(IPAddress("fd00::1")!) && forward?.port == 22)
        for wrong in ["8022", "8022=host", "8022=host:0", "=host:1", "8022=:1", "8022=a b:1"] {
            #expect(FrontConfiguration.Forward(wrong) == nil, "\(wrong)")
        }
    }
}
