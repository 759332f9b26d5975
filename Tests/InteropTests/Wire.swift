import Foundation

/// A recording by tcpdump of what passes between the router and the right host.
final class Wire {
    private let tcpdump: Subprocess
    let path: URL
    private let network: Network

    /// Starts recording and returns once tcpdump listens. `snapLength`: octets kept of each frame.
    init(_ network: Network, directory: URL, snapLength: Int = 320) throws {
        self.network = network
        path = directory.appendingPathComponent("wire-\(UUID().uuidString.prefix(8)).pcap")
        tcpdump = try Subprocess(
            ["ip", "netns", "exec", network.router, "tcpdump", "-i", Side.right.rawValue, "-n", "-U"]
                + ["--immediate-mode", "-s", "\(snapLength)", "-B", "16384", "-Z", "root", "-w", path.path],
            outputPath: directory.appendingPathComponent("tcpdump-\(UUID().uuidString.prefix(8))"))
        let tcpdump = tcpdump
        try eventually("tcpdump listens") { tcpdump.output.contains("listening on") }
    }

    /// What has been recorded so far.
    func recorded() throws -> Recording { try Recording(Array(Data(contentsOf: path))) }

    /// Ends the recording and reads it, when all that passed until now is in it: a question for an address that
    /// nobody has marks the end.
    func finish() throws -> Recording {
        let mark = try network.askForNobody()
        try eventually("the mark is recorded") { try recorded().questions.contains(mark) }
        tcpdump.signal(SIGINT)
        if tcpdump.wait(seconds: 5) == nil { tcpdump.stop() }
        guard tcpdump.output.contains("0 packets dropped by kernel") else { throw LabFailure(tcpdump.output) }
        return try recorded()
    }
}

/// The frames of a classic pcap file of an Ethernet or raw IP device.
struct Recording {
    /// Each frame from its IP header on; frames that hold no IP are left out.
    let packets: [ArraySlice<UInt8>]
    /// The IPv4 addresses that somebody asked for by ARP.
    let questions: Set<String>
    /// Octets of the longest IP packet.
    let longest: Int

    init(_ file: [UInt8]) throws {
        func word(_ at: Int) -> Int {
            Int(file[at]) | Int(file[at + 1]) << 8 | Int(file[at + 2]) << 16 | Int(file[at + 3]) << 24
        }
        guard file.count >= 24, word(0) == 0xa1b2_c3d4 else { throw LabFailure("not a little-endian pcap file") }
        let isEthernet = word(20) == 1
        var packets: [ArraySlice<UInt8>] = []
        var questions: Set<String> = []
        var longest = 0
        var position = 24
        while position + 16 <= file.count {
            let end = position + 16 + word(position + 8)
            guard end <= file.count else { break }
            var frame = file[(position + 16)..<end]
            if isEthernet {
                let start = frame.startIndex
                let type = frame.count > 14 ? Int(frame[start + 12]) << 8 | Int(frame[start + 13]) : 0
                if type == 0x0806, frame.count >= 42 {
                    questions.insert(frame[(start + 38)..<(start + 42)].map(String.init).joined(separator: "."))
                }
                frame = type == 0x0800 || type == 0x86dd ? frame.dropFirst(14) : []
            }
            if !frame.isEmpty {
                packets.append(frame)
                longest = max(longest, word(position + 12) - (isEthernet ? 14 : 0))
            }
            position = end
        }
        self.packets = packets
        self.questions = questions
        self.longest = longest
    }

    /// What an observer makes of a packet on the path between the two daemons.
    enum Kind: Hashable {
        case ike, espInUDP, keepalive, fragment
        case other(protocol: UInt8, detail: String)
    }

    var kinds: [Kind: Int] { packets.reduce(into: [:]) { $0[Recording.kind($1), default: 0] += 1 } }

    /// Packets that are neither IKE nor ESP in UDP (RFC 3948 §2): none may be seen between the daemons.
    var strangers: [Kind] {
        kinds.keys.filter { if case .other = $0 { true } else { false } }
    }

    /// Octets of each packet of a kind, as its IP header says: what was recorded may be cut.
    func lengths(of kind: Kind) -> [Int] {
        packets.filter { Recording.kind($0) == kind }.map { packet in
            let start = packet.startIndex
            func number(_ at: Int) -> Int { Int(packet[start + at]) << 8 | Int(packet[start + at + 1]) }
            return packet[start] >> 4 == 6 ? number(4) + 40 : number(2)
        }
    }

    static func kind(_ packet: ArraySlice<UInt8>) -> Kind {
        let bytes = Array(packet)
        guard let first = bytes.first else { return .other(protocol: 0, detail: "empty") }
        guard bytes.count >= 40 || first >> 4 == 4 && bytes.count >= 20 else {
            return .other(protocol: 0, detail: "short")
        }
        let isSixth = first >> 4 == 6
        let inner = bytes[isSixth ? 6 : 9]
        if isSixth ? inner == 44 : Int(bytes[6] & 0x1f) << 8 | Int(bytes[7]) != 0 { return .fragment }
        let header = isSixth ? 40 : Int(first & 15) * 4
        guard inner == 17, bytes.count >= header + 9 else { return .other(protocol: inner, detail: "not UDP") }
        func port(_ at: Int) -> Int { Int(bytes[header + at]) << 8 | Int(bytes[header + at + 1]) }
        if port(0) == 500 || port(2) == 500 { return .ike }
        guard port(0) == 4500 || port(2) == 4500 else {
            return .other(protocol: 17, detail: "ports \(port(0)), \(port(2))")
        }
        if port(4) == 9, bytes[header + 8] == 0xff { return .keepalive }
        guard bytes.count >= header + 12 else { return .other(protocol: 17, detail: "short") }
        return bytes[(header + 8)..<(header + 12)].allSatisfy { $0 == 0 } ? .ike : .espInUDP
    }

    /// Whether the octets occur anywhere in any packet.
    func contains(_ pattern: [UInt8]) -> Bool { packets.contains { Recording.find(pattern, in: $0) } }

    private static func find(_ pattern: [UInt8], in packet: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first, packet.count >= pattern.count else { return false }
        for start in packet.startIndex...(packet.endIndex - pattern.count) where packet[start] == first {
            if packet[start..<(start + pattern.count)].elementsEqual(pattern) { return true }
        }
        return false
    }
}
