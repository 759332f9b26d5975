import Configuration
import Cryptography
import Foundation
import Platform
import Primitives
import RADIUS
import Testing

@testable import Daemon

/// What accounting hears of the daemon itself (RFC 2866 §5.1).
@Suite(.serialized) struct AccountingTests {
    /// A server of accounting on loopback, on a port of its own, that answers when a test says so.
    private final class Server {
        static let secret = Secret(Array("xyzzy5461".utf8))
        let port: UInt16
        private let socket: QuerySocket

        init(_ number: UInt16) throws {
            // Above the kernel's range for sockets without a port, and apart for each process.
            port = 61_000 + UInt16(truncatingIfNeeded: getpid()) % 2_000 * 2 + number
            socket = try QuerySocket(IPAddress("127.0.0.1")!, port: port)
        }

        var settings: RADIUSSettings.Server {
            var server = RADIUSSettings.Server(
                name: "s\(port)", address: IPAddress("127.0.0.1")!, secret: Self.secret)
            server.accountingPort = port
            return server
        }

        /// What has come; all that hold are answered. Loopback delivers at once.
        func take() throws -> [RADIUSPacket] {
            try socket.receive().map { message in
                let packet = try RADIUSPacket(parsing: message.octets)
                #expect(packet.code == .accountingRequest && packet.isRequest(Self.secret))
                let answer = try RADIUSPacket(.accountingResponse, identifier: packet.identifier)
                    .signedResponse(Self.secret, to: packet)
                socket.send(answer.octets, to: message.source)
                return packet
            }
        }

        /// The status of each, all of which say by whom and of what they are.
        func statuses() throws -> [UInt32] {
            try take().compactMap { packet in
                #expect(packet.first(.nasIdentifier) == Array("parley".utf8))
                #expect(packet.first(.accountingSessionID)?.isEmpty == false)
                #expect(packet.first(.eventTimestamp) != nil && packet.first(.userName) == nil)
                #expect(packet.first(.terminateCause) == nil)
                return RADIUSAttribute.number(packet.first(.accountingStatus))
            }
        }
    }

    private func settings(_ servers: [Server], accounts: Bool = true) -> RADIUSSettings {
        var settings = RADIUSSettings()
        settings.servers = servers.map(\.settings)
        settings.accounts = accounts
        return settings
    }

    @Test func everyServerHearsOfBothEnds() throws {
        let servers = [try Server(0), try Server(1)]
        var configuration = Configuration()
        configuration.radius = settings(servers)
        let harness = try ControlHarness(configuration: configuration, files: "/nonexistent")
        let service = harness.loop.userService
        #expect(!service.isQuiet)
        #expect(try servers.map { try $0.statuses() } == [[7], [7]])
        service.serve(loop: harness.loop)
        #expect(service.isQuiet)
        // The same settings once more say nothing.
        service.use(settings(servers), loop: harness.loop)
        #expect(try servers.map { try $0.statuses() } == [[], []])
        service.signOff(loop: harness.loop)
        #expect(!service.isQuiet)
        #expect(try servers.map { try $0.statuses() } == [[8], [8]])
        service.serve(loop: harness.loop)
        #expect(service.isQuiet)
    }

    @Test func reloadsTellOfWhatChanges() throws {
        let (first, second) = (try Server(0), try Server(1))
        var configuration = Configuration()
        configuration.radius = settings([first, second], accounts: false)
        let harness = try ControlHarness(configuration: configuration, files: "/nonexistent")
        let service = harness.loop.userService
        func use(_ servers: [Server], accounts: Bool = true) throws -> [[UInt32]] {
            service.use(settings(servers, accounts: accounts), loop: harness.loop)
            return [try first.statuses(), try second.statuses()]
        }
        #expect(try [first.statuses(), second.statuses()] == [[], []])
        #expect(try use([first]) == [[7], []])
        #expect(try use([first, second]) == [[], [7]])
        #expect(try use([second]) == [[8], []])
        #expect(try use([second], accounts: false) == [[], [8]])
        service.signOff(loop: harness.loop)
        #expect(try [first.statuses(), second.statuses()] == [[], []] && service.isQuiet)
    }
}
