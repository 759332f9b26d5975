import Configuration
import Control
import Cryptography
import Foundation
import IPsec
import Logging
import Platform
import Primitives

@testable import Daemon

/// A daemon's control loop with its vici server on a socket of its own, without a TUN device and without a thread: a test
/// says when it has a turn.
final class ControlHarness {
    let path: String
    let server: ViciServer
    let loop: ControlLoop
    private let plane: UserspaceEngine

    /// - Parameter connections: to addresses where nobody answers.
    convenience init(_ connections: [Connection] = []) throws {
        try self.init(configuration: Configuration(connections: connections), files: "/nonexistent")
    }

    /// - Parameter files: where `plan` and `reload` look.
    init(configuration inForce: Configuration, files: String) throws {
        Machine.raiseDescriptorLimit()
        path = FileManager.default.temporaryDirectory.appending(path: "vici-\(UUID().uuidString.prefix(8))").path
        var configuration = UserspaceConfiguration()
        configuration.port = 0
        configuration.natPort = 0
        configuration.tunnelName = nil
        configuration.bindAddress = IPAddress(v4: 0x7F00_0001)
        plane = try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
        server = ViciServer(listener: try ControlListener(path: path))
        loop = ControlLoop(
            files: files, configuration: inForce, inbox: Inbox(), plane: plane,
            server: server, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    deinit { plane.close() }

    /// What one pass of the loop does for the control socket.
    func turn() {
        server.serve(Poller.wait(server.interests, milliseconds: 0), loop: loop)
    }

    func client() throws -> TestClient { try TestClient(path: path, harness: self) }

    /// A connection whose children are as long to describe as `selectors` says.
    static func connection(_ name: String, selectors: Int = 1) -> Connection {
        let esp = Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128)])
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: [.curve25519])
        let networks = (0..<selectors).map { index in
            DynamicSelector.fixed(TrafficSelector(IPAddress(v4: 0x0A00_0000 + UInt32(index))))
        }
        var connection = Connection(
            name: name, proposals: [ike],
            children: [ChildPolicy(name: "\(name)-net", proposals: [esp], remoteSelectors: networks)])
        connection.version = .v2
        let nobody = IPAddress(v4: 0x7F00_0009)
        connection.localAddresses = [.range(IPAddress(v4: 0x7F00_0001), IPAddress(v4: 0x7F00_0001))]
        connection.remoteAddresses = [.range(nobody, nobody)]
        return connection
    }
}

/// A client that writes and reads octets as a test wants them, and gives the daemon its turns meanwhile.
final class TestClient {
    private var stream: UnixStream?
    private var connection = ViciClientConnection()
    private unowned let harness: ControlHarness
    private(set) var isClosed = false
    private var arrivals: [ViciClientConnection.Arrival] = []

    init(path: String, harness: ControlHarness) throws {
        self.harness = harness
        let stream = try UnixStream.connect(path: path)
        _ = fcntl(stream.descriptor, F_SETFL, O_NONBLOCK)
        self.stream = stream
        harness.turn()
    }

    func close() { stream = nil }

    /// Writes what the socket takes now; how much that was.
    func write(_ octets: some Collection<UInt8>) -> Int {
        let octets = Array(octets)
        guard let count = stream?.write(octets[...]) else {
            isClosed = true
            return 0
        }
        return count
    }

    /// Writes everything, with turns for the daemon in between.
    func send(_ octets: [UInt8]) {
        var rest = octets[...]
        while !rest.isEmpty, !isClosed {
            rest = rest.dropFirst(write(rest))
            harness.turn()
        }
    }

    /// Reads what is there.
    func read() throws {
        while let stream, !isClosed {
            switch stream.read() {
            case .octets(let octets): arrivals += try connection.receive(octets)
            case .nothingYet: return
            case .closed: isClosed = true
            }
        }
    }

    /// What has arrived after at most `turns` of the daemon, once there are `count` of them.
    func arrivals(_ count: Int = 1, turns: Int = 50) throws -> [ViciClientConnection.Arrival] {
        for _ in 0..<turns where arrivals.count < count && !isClosed {
            harness.turn()
            try read()
        }
        defer { arrivals = [] }
        return arrivals
    }

    /// Whether the daemon closes the connection within some turns.
    func isTurnedAway(turns: Int = 50) throws -> Bool {
        for _ in 0..<turns where !isClosed {
            harness.turn()
            try read()
        }
        return isClosed
    }

    static func request(_ command: String, _ message: ViciMessage = ViciMessage()) -> [UInt8] {
        ViciClientConnection().request(command, message) ?? []
    }

    /// A request with its answer.
    func ask(_ command: String, _ message: ViciMessage = ViciMessage()) throws -> ViciMessage? {
        send(TestClient.request(command, message))
        guard case .response(let answer)? = try arrivals().last else { return nil }
        return answer
    }
}
