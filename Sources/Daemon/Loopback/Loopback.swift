package import Control
import Cryptography
import Explain
import IPsec
import KeyManagement
import Platform
import Primitives
import Simulation

/// Two peers in one process: an IKE negotiation over the loopback interface, then pings and a TCP transfer through the
/// ESP tunnel between two in-process hosts. Needs no privilege.
package struct Loopback {
    /// What one run came to.
    package struct Report: Sendable {
        package var pingsAnswered: Int
        package var transferredOctets: Int
        package var transferSeconds: Double
        /// ESP packets in both directions.
        package var packets: UInt64
        /// The initiator's SAs, as `list-sa` shows them.
        package var status: [ViciMessage]
        /// The messages, as the initiator saw them.
        package var ladder: [String]
    }

    package struct Failure: Error, CustomStringConvertible {
        package let description: String
    }

    package static let pings: UInt16 = 3
    package static let transferOctets = 4 << 20

    static let address = IPAddress(v4: 0x7F00_0001)

    private let inbox = LoopbackInbox()
    private let left: LoopbackHost
    private let right: LoopbackHost
    private var client: TransferClient
    private var echo: EchoHost

    /// - Parameter version: 1 or 2.
    private init(version: Int) throws(Failure) {
        let planes: [UserspaceEngine]
        do {
            planes = [
                try LoopbackHost.openPlane(0, inbox: inbox), try LoopbackHost.openPlane(1, inbox: inbox),
            ]
        } catch { throw Failure(description: "\(error)") }
        var randomness = Randomness.system
        let key = randomness.octets(32)
        let inner = [IPAddress(v4: 0x0A01_0001), IPAddress(v4: 0x0A02_0001)]
        let names = ["left", "right"]
        func host(_ own: Int, _ other: Int) -> LoopbackHost {
            let connection = Loopback.connection(
                version == 1 ? .v1 : .v2, name: names[other], remotePort: planes[other].boundNATPort,
                identities: (names[own], names[other]), networks: (inner[own], inner[other]))
            return LoopbackHost(plane: planes[own], connection: connection, key: Secret(key))
        }
        left = host(0, 1)
        right = host(1, 0)
        client = TransferClient(
            address: inner[0], peer: inner[1], data: randomness.octets(Loopback.transferOctets))
        echo = EchoHost(address: inner[1])
    }

    private static func connection(
        _ version: IKEVersion, name: String, remotePort: UInt16, identities: (String, String),
        networks: (IPAddress, IPAddress)
    ) -> Connection {
        // The first phase of IKEv1 has no AEAD.
        let isVersion1 = version == .v1
        let ike =
            isVersion1
            ? Proposal(
                .ike, encryption: [Encryption(.aesCBC, keyBits: 256)], integrity: [.hmacSHA256_128],
                prf: [.hmacSHA256], keyExchange: [.ecp256])
            : Proposal(
                .ike, encryption: [Encryption(.aesGCM16, keyBits: 256)], prf: [.hmacSHA256],
                keyExchange: [.curve25519])
        let esp = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 256)], extendedSequenceNumbers: [false])
        func network(_ address: IPAddress) -> DynamicSelector {
            .fixed(Prefix(address, length: 24).map { TrafficSelector($0) } ?? TrafficSelector(address))
        }
        let child = ChildPolicy(
            name: "net", proposals: [esp], localSelectors: [network(networks.0)],
            remoteSelectors: [network(networks.1)])
        var connection = Connection(name: name, proposals: [ike], children: [child])
        connection.version = version
        connection.localAddresses = [.range(address, address)]
        connection.remoteAddresses = [.range(address, address)]
        connection.remotePort = remotePort
        connection.localIdentity = Identity(.fqdn, octets: Array(identities.0.utf8))
        connection.remoteIdentity = .exactly(Identity(.fqdn, octets: Array(identities.1.utf8)))
        return connection
    }

    /// Runs a negotiation, the traffic and the end.
    ///
    /// - Throws: where something did not come about within its time; why.
    package static func run(version: Int) throws(Failure) -> Report {
        var loopback = try Loopback(version: version)
        defer {
            loopback.left.plane.close()
            loopback.right.plane.close()
        }
        return try loopback.run()
    }

    private mutating func run() throws(Failure) -> Report {
        left.command(.initiate(connection: nil, child: "net"))
        try wait("the tunnel") { !$0.left.replies.isEmpty }
        guard case .done = left.replies[0] else {
            throw Failure(description: (["no tunnel"] + left.failures + right.failures).joined(separator: "\n"))
        }
        for number in 1...Loopback.pings {
            guard left.plane.sendPacket(client.ping(number: number).octets) else {
                throw Failure(description: "no SA covers the ping")
            }
            try wait("the reply to ping \(number)") { $0.client.pingsAnswered >= Int(number) }
        }
        let start = Clock.now()
        send(client.start(), from: left)
        try wait("the transfer") { $0.client.isFinished }
        let seconds = Double((Clock.now() - start).wholeNanoseconds) / 1e9
        guard echo.received == Loopback.transferOctets, echo.sum == client.sum else {
            throw Failure(description: "the stream arrived damaged")
        }
        let report = Report(
            pingsAnswered: client.pingsAnswered, transferredOctets: echo.received, transferSeconds: seconds,
            packets: left.packets, status: left.status, ladder: Ladder.lines(left.traces))
        left.command(.terminate(Target(child: "net")))
        left.command(.shutDown)
        try wait("the end") { $0.left.isIdle && $0.right.isIdle }
        return report
    }

    /// Carries what arrives and fires timers until `isDone`; gives up after ten seconds.
    private mutating func wait(_ what: String, until isDone: (Loopback) -> Bool) throws(Failure) {
        let end = Clock.now() + .seconds(10)
        while !isDone(self) {
            if Clock.now() >= end { throw Failure(description: "\(what) did not come about within ten seconds") }
            let ready = Poller.wait([Poller.Interest(inbox.wakeup.descriptor)], milliseconds: 20)
            left.fireTimers()
            right.fireTimers()
            for (host, item) in inbox.take() { carry(item, to: host) }
            // Quiet: something may have been lost.
            if ready.isEmpty { send(client.repeatUnacknowledged(), from: left) }
        }
    }

    private mutating func carry(_ item: LoopbackInbox.Item, to host: Int) {
        let receiver = host == 0 ? left : right
        switch item {
        case .datagram(let datagram): receiver.feed(.datagram(datagram))
        case .inboundTraffic(let child): receiver.feed(.traffic(.inbound(child)))
        case .packet(let octets):
            guard let packet = InternetPacket(octets) else { return }
            send(host == 0 ? client.receive(packet) : echo.receive(packet), from: receiver)
        }
    }

    private func send(_ packets: [InternetPacket], from host: LoopbackHost) {
        for packet in packets { _ = host.plane.sendPacket(packet.octets) }
    }
}
