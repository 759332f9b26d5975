import CStack
import Primitives
import Testing

/// The TCP/IP stack under the rootless front, as far as it can be asked without a peer. It is the process's, so one test asks.
@Suite struct StackTests {
    private static let own = IPAddress("10.1.0.1")!
    private static let ownV6 = IPAddress("fd00:1::1")!
    private static let peer = IPAddress("10.2.0.1")!
    private static let peerV6 = IPAddress("fd00:2::1")!

    private func connect(_ address: IPAddress, port: UInt16 = 80) -> OpaquePointer? {
        parley_stack_connect(address.family == .v4 ? 4 : 6, address.octets, port)
    }

    /// The packets that it has for the tunnel.
    private func take() -> [[UInt8]] {
        _ = parley_stack_tick()
        var packets: [[UInt8]] = []
        var buffer = [UInt8](repeating: 0, count: 2048)
        while true {
            let count = parley_stack_take(&buffer, buffer.count)
            if count == 0 { return packets }
            packets.append(Array(buffer[..<count]))
        }
    }

    /// An ICMP echo request with a right checksum.
    private func echo(from source: IPAddress, to target: IPAddress, options: [UInt8] = []) -> [UInt8] {
        var packet: [UInt8] = [
            0x45 + UInt8(options.count / 4), 0, 0, UInt8(28 + options.count), 0, 1, 0, 0, 64, 1, 0, 0,
        ]
        packet += source.octets + target.octets + options
        var sum: UInt32 = 0
        for index in stride(from: 0, to: packet.count, by: 2) {
            sum += UInt32(packet[index]) << 8 | UInt32(packet[index + 1])
        }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        packet[10] = UInt8(truncatingIfNeeded: ~sum >> 8)
        packet[11] = UInt8(truncatingIfNeeded: ~sum)
        return packet + [8, 0, 0xF7, 0xFD, 0, 1, 0, 1]
    }

    private func send(_ packet: [UInt8]) { parley_stack_input(packet, packet.count) }

    @Test func reachesOthersAndNeverItself() throws {
        #expect(parley_stack_start(1280, 1) == 0)
        #expect(connect(Self.peer) == nil, "without an address of ours")
        parley_stack_set_address(4, Self.own.octets)
        parley_stack_set_address(6, Self.ownV6.octets)
        #expect(parley_stack_has_address(4) != 0 && parley_stack_has_address(6) != 0)
        #expect(take() == [], "nobody is asked for routers")
        // lwIP ends the process over packets that it would loop back.
        for own in [Self.own, Self.ownV6, IPAddress("127.0.0.1")!, IPAddress("::1")!, IPAddress("::ffff:127.0.0.1")!] {
            #expect(connect(own) == nil, "\(own)")
        }
        for address in [IPAddress("224.0.0.1")!, IPAddress("ff02::1")!, IPAddress("0.0.0.0")!, IPAddress("::")!] {
            #expect(connect(address) == nil, "\(address)")
        }
        // A peer's echo is answered; one that claims to be ours, or has options or another protocol, is not.
        send(echo(from: Self.peer, to: Self.own))
        let answers = take()
        #expect(answers.count == 1 && answers.first.map { Array($0[12..<20]) } == Self.own.octets + Self.peer.octets)
        send(echo(from: Self.own, to: Self.own))
        send(echo(from: IPAddress("127.0.0.1")!, to: Self.own))
        send(echo(from: Self.peer, to: Self.own, options: [1, 1, 1, 0]))
        var other = echo(from: Self.peer, to: Self.own)
        other[9] = 17
        (other[10], other[11]) = (other[10], other[11] &- 16)
        send(other)
        for count in 0..<28 { send(Array(echo(from: Self.peer, to: Self.own).prefix(count))) }
        #expect(take() == [])

        // The first packet of each stream is a SYN whose segment size fits the MTU.
        for (target, header) in [(Self.peer, 20), (Self.peerV6, 40)] {
            let stream = try #require(connect(target))
            #expect(parley_stack_state(stream) == PARLEY_STACK_CONNECTING && parley_stack_room(stream) == 0)
            let packets = take()
            let packet = try #require(packets.first)
            try #require(packets.count == 1 && packet.count > header + 24)
            #expect(Array(packet[(header - target.octets.count)..<header]) == target.octets)
            #expect(packet[header + 13] == 2)
            #expect(Array(packet[(header + 20)..<(header + 24)]) == [2, 4] + bigEndian(UInt16(1280 - header - 20)))
            parley_stack_close(stream)
            // The peer is told, in case it has heard of it.
            #expect(take().allSatisfy { $0.count == header + 20 && $0[header + 13] & 4 != 0 })
        }
        parley_stack_clear_address(4)
        parley_stack_clear_address(6)
        #expect(parley_stack_has_address(4) == 0 && parley_stack_has_address(6) == 0)
        #expect(connect(Self.peer) == nil && connect(Self.peerV6) == nil)
    }

    private func bigEndian(_ value: UInt16) -> [UInt8] { [UInt8(value >> 8), UInt8(value & 0xFF)] }
}
