import Capture
import Control
import Daemon
import Platform
import Primitives

/// The daemon's packets from the wire, and the keys that it gives away, until a bound is reached.
struct WireCapture {
    private let tap: PacketTap
    private var filter: PeerFilter
    private let ike: String?
    /// Asks which packets are the daemon's.
    private var asking: ViciClient
    /// Listens for keys.
    private var keys: (client: ViciClient, log: KeyLog)?
    private var lastQuestion = Clock.now()

    /// Octets that are written at once.
    private static let batch = 1 << 20
    /// How often a connection's peers are asked for.
    private static let interval = Duration.milliseconds(250)

    init(
        _ socket: ControlSocketOption, ike: String?, peers: [String], interface: String?, secrets: String?
    ) throws {
        let addresses = peers.map { IPAddress($0) }
        if let index = addresses.firstIndex(of: nil) {
            throw Failure.end("'\(peers[index])' is no address", json: false, .usage)
        }
        self.ike = ike
        filter = PeerFilter(peers: peers.isEmpty ? nil : Set(addresses.compactMap { $0 }))
        do {
            asking = try ViciClient(socket)
            let scope = try WireCapture.scope(&asking, ike)
            filter.connectionPeers = scope.peers
            if let secrets { keys = try WireCapture.listen(socket, secrets) }
            tap = try PacketTap(interface: interface, datagramPorts: scope.datagrams, streamPorts: scope.streams)
        } catch let error as ViciClientError {
            ConsoleError.print("parley: \(error)")
            if case .cannotConnect = error { throw EndCode.usage.exitCode }
            throw EndCode.failure.exitCode
        } catch let error as PlatformError {
            let hint = error.isPermission ? ": seeing the wire needs root; --opened writes IKE messages without it" : ""
            throw Failure.end("\(error)\(hint)", json: false)
        }
    }

    /// The daemon's ports, and the peers of a connection.
    private static func scope(
        _ client: inout ViciClient, _ ike: String?
    ) throws -> (datagrams: [UInt16], streams: [UInt16], peers: Set<IPAddress>?) {
        var message = ViciMessage()
        message.add("ike", optional: ike)
        let answer = try client.request("capture-scope", message)
        try answer.requireSuccess("capture")
        func ports(_ key: String) -> [UInt16] { Array(answer.list(key).compactMap { UInt16($0) }.prefix(8)) }
        return (
            ports("udp-ports"), ports("tcp-ports"),
            ike == nil ? nil : Set(answer.list("peers").compactMap { IPAddress($0) })
        )
    }

    private static func listen(_ socket: ControlSocketOption, _ directory: String) throws -> (ViciClient, KeyLog) {
        let log = try KeyLog(directory: directory)
        log.complain = { ConsoleError.print("parley: \($0)") }
        var client = try ViciClient(socket)
        let answer: ViciMessage
        do throws(ViciClientError) {
            answer = try client.request("list-keys", events: ["capture-keys"]) { _, message in note(message, log) }
        } catch {
            guard case .unknownEvent = error else { throw error }
            throw Failure.end("the daemon gives its keys to root and to its own user alone", json: false)
        }
        try answer.requireSuccess("capture")
        ConsoleError.print(
            "the keys of SAs, living and new, go to \(directory): who reads them reads the traffic")
        return (client, log)
    }

    private static func note(_ message: ViciMessage, _ log: KeyLog) {
        if let missing = message.text("missing") { log.lacks(missing) }
        guard let table = message.text("table"), let line = message.text("line") else { return }
        _ = log.append(line, to: table)
    }

    mutating func run(into sink: inout CaptureSink) throws {
        sink.begin(CaptureWriter.beginning)
        try sink.flush()
        ConsoleError.print("capturing into \(sink.path)")
        while !sink.isDone { try turn(&sink, milliseconds: 100) }
        // The keys of the last packets are under way.
        if keys != nil { try turn(&sink, milliseconds: 200) }
        ConsoleError.print("\(sink.packets) packets captured")
    }

    private mutating func turn(_ sink: inout CaptureSink, milliseconds: Int32) throws {
        let descriptors = [tap.descriptor] + (keys.map { [$0.client.descriptor] } ?? [])
        let ready = Poller.wait(descriptors.map { Poller.Interest($0) }, milliseconds: milliseconds)
        do {
            if let descriptor = keys?.client.descriptor, ready.contains(descriptor) {
                for event in try keys?.client.readEvents() ?? [] { note(event.message) }
            }
            for event in keys?.client.takeEvents() ?? [] { note(event.message) }
            while let packet = tap.read() {
                take(packet, &sink)
                if sink.pendingOctets >= WireCapture.batch { try sink.flush() }
                if sink.isFull { break }
            }
            if Clock.now() - lastQuestion >= WireCapture.interval {
                lastQuestion = Clock.now()
                let lost = tap.takeLost()
                if lost > 0 { ConsoleError.print("parley: \(lost) packets came faster than they could be written") }
                if ike != nil { filter.connectionPeers = try WireCapture.scope(&asking, ike).peers }
                for packet in filter.release() { sink.add(packet) }
            }
        } catch let error as ViciClientError {
            try sink.flush()
            throw Failure.end("\(error)", json: false)
        }
        try sink.flush()
    }

    private func note(_ message: ViciMessage) {
        if let log = keys?.log { WireCapture.note(message, log) }
    }

    private mutating func take(_ tapped: TappedPacket, _ sink: inout CaptureSink) {
        guard let packet = WirePacket(tapped.octets) else { return }
        let verdict = filter.verdict(packet)
        guard verdict != .leave else { return }
        for octets in packet.packets(segment: tapped.segment, lacksChecksum: tapped.lacksChecksum) {
            let block = CaptureWriter.packet(octets, time: tapped.time)
            if verdict == .take { sink.add(block) } else { filter.hold(block, of: packet) }
        }
    }
}

/// Which packets a capture wants, by their peers. Those of a peer that may yet turn out to be the connection's wait a while.
struct PeerFilter {
    enum Verdict: Hashable { case take, leave, hold }

    /// The addresses that were asked for; `nil`: any.
    var peers: Set<IPAddress>?
    /// Those of the connection that was asked for; `nil`: any.
    var connectionPeers: Set<IPAddress>?
    private var held: [(ends: [IPAddress], block: [UInt8])] = []
    private static let heldMaximum = 128

    init(peers: Set<IPAddress>?, connectionPeers: Set<IPAddress>? = nil) {
        self.peers = peers
        self.connectionPeers = connectionPeers
    }

    func verdict(_ packet: WirePacket) -> Verdict {
        let ends = [packet.source, packet.destination]
        if let peers, !ends.contains(where: peers.contains) { return .leave }
        guard let connectionPeers, !ends.contains(where: connectionPeers.contains) else { return .take }
        return packet.isExchange ? .hold : .leave
    }

    /// Keeps a packet until its peer is known, or others have taken its place.
    mutating func hold(_ block: [UInt8], of packet: WirePacket) {
        if held.count >= PeerFilter.heldMaximum { held.removeFirst() }
        held.append(([packet.source, packet.destination], block))
    }

    /// Those whose peer is known by now, oldest first.
    mutating func release() -> [[UInt8]] {
        guard let connectionPeers, !held.isEmpty else { return [] }
        var released: [[UInt8]] = []
        var rest: [(ends: [IPAddress], block: [UInt8])] = []
        for packet in held {
            if packet.ends.contains(where: connectionPeers.contains) {
                released.append(packet.block)
            } else {
                rest.append(packet)
            }
        }
        held = rest
        return released
    }
}
