import Foundation
import Testing

extension Interop {
    /// What ESP in TCP (RFC 9329) looks like on the wire, read by a program that shares no code with Parley, and opened by tshark.
    @Suite struct StreamWires {
        /// Joins both directions of each connection by their sequence numbers, cuts them by RFC 9329 §3, and writes every message as
        /// a UDP datagram of port 4500 for tshark. Prints one line for each direction and message.
        private static let reader = """
            import struct, sys
            source, target = sys.argv[1:3]
            data = open(source, "rb").read()
            flows, order, position = {}, [], 24
            while position + 16 <= len(data):
                seconds, micro, kept, whole = struct.unpack("<IIII", data[position:position + 16])
                frame = data[position + 16:position + 16 + kept]
                position += 16 + kept
                assert kept == whole, "cut while recording"
                if frame[12:14] != b"\\x08\\x00" or frame[23] != 6: continue
                packet = frame[14:]
                header = (packet[0] & 15) * 4
                packet = packet[:struct.unpack("!H", packet[2:4])[0]]
                segment = packet[header:]
                ports = struct.unpack("!HH", segment[:4])
                number = struct.unpack("!I", segment[4:8])[0]
                flow = (packet[12:16], packet[16:20]) + ports
                if segment[13] & 2:
                    flows[flow] = {"first": number + 1, "opens": not segment[13] & 16, "parts": {}}
                    order.append(flow)
                body = segment[(segment[12] >> 4) * 4:]
                if body and flow in flows:
                    parts, offset = flows[flow]["parts"], (number - flows[flow]["first"]) & 0xFFFFFFFF
                    if len(body) > len(parts.get(offset, b"")): parts[offset] = body
            output = open(target, "wb")
            output.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
            for flow in order:
                stream = b""
                for offset, body in sorted(flows[flow]["parts"].items()):
                    assert offset <= len(stream), "a hole in the recording"
                    stream += body[len(stream) - offset:]
                side = "opener" if flows[flow]["opens"] else "other"
                if flows[flow]["opens"]:
                    print(side, flow[3], "prefix", stream[:6].decode("latin1"))
                    stream = stream[6:]
                while stream:
                    length = struct.unpack("!H", stream[:2])[0]
                    assert 2 < length <= len(stream), "a length that does not hold"
                    message, stream = stream[2:length], stream[length:]
                    if message == b"\\xff": kind = "keepalive"
                    elif message[:4] == bytes(4):
                        assert struct.unpack("!I", message[28:32])[0] == len(message) - 4, "IKE of another length"
                        kind = "ike"
                    else: kind = "esp %s %d" % (message[:4].hex(), struct.unpack("!I", message[4:8])[0])
                    print(side, flow[3] if side == "opener" else flow[2], kind)
                    udp = struct.pack("!HHHH", 4500, 4500, 8 + len(message), 0) + message
                    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0) + flow[0] + flow[1]
                    output.write(struct.pack("<IIII", 0, 0, 20 + len(udp), 20 + len(udp)) + ip + udp)
            """

        @Test("others read the stream and what is in it", arguments: [4500, 443], ["aes256gcm16", "aes128-sha256"])
        func reads(_ port: Int, _ suite: String) throws {
            try Lab.with(Scenario(pairing: Pairing(.parley, .parley), version: .v2)) { lab in
                let profile = lab.left.directory.appendingPathComponent("keys")
                try #require(lab.left as? Parley).options = ["--key-log", profile.path]
                var link = Link(.v2).suite(ike: "aes256-sha256-ecp256", esp: suite)
                link.remoteAddress[.right] = "%any"
                link.lines[.left] = ["enable_tcp = yes", "tcp_remote_port = \(port)"]
                link.settings[.right] = ["  tcp_ports = 4500, 443"]
                try lab.network.block("udp")
                try lab.load(link)
                let wire = try Wire(lab.network, directory: lab.directory, snapLength: 65_535)
                try lab.up()
                for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                #expect(try lab.left.rekey(child: "inner").succeeded)
                for side in Side.allCases { #expect(try lab.ping(from: side, count: 20).loss == 0) }
                let spis = try Side.allCases.map { try lab.installed(on: $0).1.spiIn }
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
                let recording = try wire.finish()
                // Nothing but TCP, and nothing of what is inside.
                #expect(recording.strangers.allSatisfy { if case .other(6, _) = $0 { true } else { false } })
                #expect(!recording.contains(Lab.pattern))

                let (script, datagrams) = (
                    lab.directory.appendingPathComponent("reader.py"), lab.directory.appendingPathComponent("read.pcap")
                )
                try Self.reader.write(to: script, atomically: true, encoding: .utf8)
                let lines = try Subprocess.require(
                    ["python3", script.path, wire.path.path, datagrams.path], seconds: 60
                ).split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
                #expect(lines.filter { $0[2] == "prefix" } == [["opener", "\(port)", "prefix", "IKETCP"]])
                #expect(lines.allSatisfy { $0[1] == "\(port)" })
                for end in ["opener", "other"] {
                    let own = lines.filter { $0[0] == end }
                    // IKE_SA_INIT, IKE_AUTH, two of the rekeying, and the Delete of the IKE SA.
                    #expect(own.count { $0[2] == "ike" } >= 5, "\(end)")
                    let packets = own.filter { $0[2] == "esp" }
                    #expect(packets.count >= 80 && Set(packets.map { $0[3] }).count == 2)
                    // Each SA numbers its packets from 1, and TCP keeps their order (RFC 4303 §3.3.3).
                    for (spi, of) in Dictionary(grouping: packets, by: { $0[3] }) {
                        #expect(of.compactMap { Int($0[4]) } == Array(1...of.count), "\(spi)")
                    }
                    #expect(packets.last?[3] == spis[end == "opener" ? 1 : 0])
                }
                let opened = try Subprocess.run(
                    [
                        "tshark", "-r", datagrams.path, "-Y", "icmp.type == 8", "-T", "fields", "-e", "ip.src", "-e",
                        "esp.spi",
                    ],
                    environment: ["WIRESHARK_CONFIG_DIR": profile.path], seconds: 60)
                let pings = opened.output.split(separator: "\n").filter { $0.contains("10.") }
                #expect(opened.succeeded && pings.count >= 80, "\(opened)")
                // Two SAs in each direction.
                #expect(Set(pings).count == 4)
            }
        }
    }
}
