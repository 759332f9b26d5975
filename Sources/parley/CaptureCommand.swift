import ArgumentParser
import Capture
import Control
import Glibc
import Platform
import Primitives

/// `parley capture`: the daemon's IKE messages as a pcapng file that Wireshark opens decrypted.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture", abstract: "Write IKE messages as they come into a pcapng file, opened.",
        discussion: """
            The daemon hands out the messages as it reads and writes them, so that the file holds the payloads in the \
            clear, and no keys: identities and configuration data can be read by whoever reads the file. It is made \
            readable for its owner alone. To open a recording of the wire itself, run the daemon with --key-log. \
            Without --count, ends when interrupted; the file is whole after every packet.
            """)

    @Argument(help: "The file to write.", completion: .file())
    var path: String

    @Option(help: "End after this many messages.")
    var count: Int?

    @Option(help: "Only the messages of this connection.")
    var ike: String?

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count is at least 1") }
    }

    func run() throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            ConsoleError.print("parley: cannot write \(path)")
            throw EndCode.failure.exitCode
        }
        defer { close(descriptor) }
        try write(CaptureWriter.beginning, to: descriptor)
        try socket.withClient { client in
            try client.register("ike-message")
            ConsoleError.print("capturing into \(path)")
            var written = 0
            while written < count ?? .max {
                let message = try client.nextEvent().message
                if let ike, message.text("connection") != ike { continue }
                guard let packet = CaptureCommand.packet(message, time: Machine.nanoseconds()) else { continue }
                try write(packet, to: descriptor)
                written += 1
            }
        }
    }

    private func write(_ octets: [UInt8], to descriptor: Int32) throws {
        do {
            try NewFile.write(octets, to: descriptor)
        } catch {
            ConsoleError.print("parley: cannot write \(path)")
            throw EndCode.failure.exitCode
        }
    }

    /// An event as a packet block; `nil` where it lacks something.
    static func packet(_ message: ViciMessage, time: UInt64) -> [UInt8]? {
        func endpoint(_ side: String) -> Endpoint? {
            guard let address = message.text("\(side)-host").flatMap({ IPAddress($0) }),
                let port = message.text("\(side)-port").flatMap({ UInt16($0) })
            else { return nil }
            return Endpoint(address, port: port)
        }
        guard let local = endpoint("local"), let remote = endpoint("remote"),
            var octets = message.text("octets").flatMap({ [UInt8](hex: $0) })
        else { return nil }
        // Between NAT ports four zero octets tell IKE from ESP (RFC 3948 §2.2).
        if local.port != 500 { octets = [0, 0, 0, 0] + octets }
        let isOutgoing = message.flag("outgoing")
        let note = message.flag("protected") ? "travelled encrypted" : "travelled in the clear"
        return CaptureWriter.packet(
            from: isOutgoing ? local : remote, to: isOutgoing ? remote : local, octets, time: time, comment: note)
    }
}
