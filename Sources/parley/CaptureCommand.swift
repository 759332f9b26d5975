import ArgumentParser
import Glibc
import Platform
import Primitives

/// `parley capture`: the traffic of a running daemon as a pcapng file.
struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Write a running daemon's IKE and ESP packets into a pcapng file, as they come.",
        discussion: """
            Packets are taken from the wire, both directions, beside the daemon, which has no work with it; that needs \
            root. With --secrets the keys of the SAs that live and of those that come go into a directory, which Wireshark \
            and tshark take as a profile: WIRESHARK_CONFIG_DIR=DIRECTORY tshark -r FILE shows the file decrypted. The \
            daemon gives its keys to root and to its own user alone, and logs that it does. IKEv1's messages Wireshark \
            opens only where the file has them from the first one on; its ESP always. --opened instead writes the IKE messages with their payloads in the \
            clear, as the daemon reads and writes them: without keys, without ESP and without root. Either file is \
            readable for its owner alone, and whole after every packet. Ends at the bounds, or when interrupted.
            """)

    @Argument(help: "The file to write.", completion: .file())
    var path: String

    @Option(help: "End after this many packets.")
    var count: Int?

    @Option(help: "End before the file has more octets than this, such as 500k, 100m or 2g.")
    var maxSize = "1g"

    @Option(help: "End after this many seconds.")
    var seconds: Double?

    @Option(help: "Only the packets of this connection's peers.")
    var ike: String?

    @Option(help: "Only packets to and from this address; may be given several times.")
    var peer: [String] = []

    @Option(help: "Only packets of this network interface; without it those of all, a bridge's and its ports' alike.")
    var interface: String?

    @Option(help: "A directory for the keys of SAs, as a profile of Wireshark's.", completion: .directory)
    var secrets: String?

    @Flag(help: "Write IKE messages alone, with their payloads in the clear.")
    var opened = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count is at least 1") }
        if let seconds, seconds <= 0 { throw ValidationError("--seconds is more than 0") }
        guard CaptureBounds.octets(maxSize) != nil else {
            throw ValidationError("--max-size is a number of octets of at least 4096, such as 500k, 100m or 2g")
        }
        if opened, secrets != nil || interface != nil || !peer.isEmpty {
            throw ValidationError(
                "--opened writes no keys and looks at no wire: give it without --secrets, --peer and --interface")
        }
    }

    func run() throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Failure.end("cannot write \(path)", json: false) }
        defer { close(descriptor) }
        let bounds = CaptureBounds(packets: count, octets: CaptureBounds.octets(maxSize) ?? .max, seconds: seconds)
        var sink = CaptureSink(descriptor: descriptor, path: path, bounds: bounds)
        if opened {
            try OpenedCapture.run(socket, ike: ike, into: &sink)
        } else {
            var capture = try WireCapture(socket, ike: ike, peers: peer, interface: interface, secrets: secrets)
            try capture.run(into: &sink)
        }
    }
}

/// When a capture ends by itself.
struct CaptureBounds {
    var packets: Int?
    /// Of the file.
    var octets: Int
    var seconds: Double?

    /// Reads `100m`; `nil` for what is none, or less than a packet takes.
    static func octets(_ text: String) -> Int? {
        let units: [Character: Int] = ["k": 1024, "m": 1024 * 1024, "g": 1024 * 1024 * 1024]
        let unit = text.last.flatMap { units[Character($0.lowercased())] }
        guard let number = Int(unit == nil ? text : String(text.dropLast())), number > 0 else { return nil }
        let (product, isTooMuch) = number.multipliedReportingOverflow(by: unit ?? 1)
        return isTooMuch || product < 4096 ? nil : product
    }
}

/// The file that a capture goes into.
struct CaptureSink {
    let descriptor: Int32
    let path: String
    let bounds: CaptureBounds
    private(set) var packets = 0
    private var octets = 0
    private var pending: [UInt8] = []
    private(set) var isFull = false
    private let end: Instant?

    init(descriptor: Int32, path: String, bounds: CaptureBounds) {
        self.descriptor = descriptor
        self.path = path
        self.bounds = bounds
        end = bounds.seconds.map { Clock.now() + .milliseconds(Int64($0 * 1000)) }
    }

    /// Whether a bound is reached.
    var isDone: Bool { isFull || end.map { $0 <= Clock.now() } == true }
    /// Octets that ``flush()`` would write.
    var pendingOctets: Int { pending.count }

    /// Takes the file's beginning in.
    mutating func begin(_ block: [UInt8]) {
        pending += block
        octets += block.count
    }

    /// Takes a packet's block in, unless a bound is reached.
    mutating func add(_ block: [UInt8]) {
        guard !isFull, octets + block.count <= bounds.octets else {
            isFull = true
            return
        }
        pending += block
        octets += block.count
        packets += 1
        if let wanted = bounds.packets, packets >= wanted { isFull = true }
    }

    /// Writes what was taken in: whole blocks.
    mutating func flush() throws {
        guard !pending.isEmpty else { return }
        do {
            try NewFile.write(pending, to: descriptor)
        } catch {
            throw Failure.end("cannot write \(path)", json: false)
        }
        pending = []
    }
}
