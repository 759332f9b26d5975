import Control
import Platform

/// One client of the control socket. What it may make the daemon hold is bounded: input by what a connection takes, output
/// by what one leaves unread, and a streamed answer is made as fast as it is read.
final class ViciClient {
    private let stream: UnixStream
    private var connection: ViciServerConnection
    /// The request behind the one that runs; what comes after it stays in the connection.
    private var waiting: ViciServerConnection.Demand?
    /// A command runs and awaits its answer; with the level up to which its client sees the log.
    private var running: Running?
    private var streaming: Streaming?
    private(set) var isGone = false
    private var commandCount: UInt64 = 0

    private struct Running {
        var number: UInt64
        var logLevel: Int?
    }

    /// An answer of many events, under way.
    private struct Streaming {
        var event: String
        var next: () -> ViciMessage?
        var end: () -> Void
    }

    /// Reads and requests that one client may have in a turn; the others wait no longer than that.
    private static let readsPerTurn = 16
    private static let requestsPerTurn = 64
    /// Octets of a streamed answer that are made before the client has read them.
    static let streamOctets = 256 * 1024
    /// Octets of it that are written in a turn.
    private static let streamOctetsPerTurn = 1024 * 1024

    init(stream: UnixStream, events: Set<String>) {
        self.stream = stream
        connection = ViciServerConnection(events: events)
    }

    /// Octets of answers and events that the client has not taken yet.
    var pendingOctets: Int { connection.pendingOutput.count }
    var wantsToWrite: Bool { !connection.pendingOutput.isEmpty || streaming != nil }
    var wantsTurn: Bool { running == nil && waiting != nil && !isGone }
    func isSubscribed(to event: String) -> Bool { connection.subscriptions.contains(event) }

    func read() {
        for _ in 0..<ViciClient.readsPerTurn where !isGone {
            switch stream.read() {
            case .octets(let octets):
                do {
                    try connection.take(octets)
                    try pull()
                } catch {
                    isGone = true
                }
            case .nothingYet: return
            case .closed: isGone = true
            }
        }
    }

    /// Looks for the next request, and answers subscriptions that stand before it.
    private func pull() throws(ViciError) {
        if waiting == nil { waiting = try connection.nextDemand() }
        if connection.isOverrun { isGone = true }
    }

    /// Performs the waiting requests until one has to wait itself.
    func perform(_ loop: ControlLoop) {
        for _ in 0..<ViciClient.requestsPerTurn {
            guard running == nil, !isGone, case .request(let command, let message)? = waiting else { return }
            waiting = nil
            commandCount += 1
            let number = commandCount
            running = Running(number: number, logLevel: nil)
            let isKnown = ViciCommands.perform(command, message, client: self, loop: loop) { [weak self] response in
                self?.answer(response, to: number)
            }
            if !isKnown {
                connection.refuseCommand()
                running = nil
            }
            do {
                try pull()
            } catch {
                isGone = true
            }
        }
    }

    /// Lets the client see the log lines of its running command up to a level.
    func followLog(upTo level: Int) { running?.logLevel = level }

    func follows(_ line: LogLine) -> Bool {
        guard let level = running?.logLevel else { return false }
        return line.level <= level
    }

    /// The answer to command `number`; later ones (after a timeout was answered already) are dropped.
    private func answer(_ response: ViciMessage, to number: UInt64) {
        guard running?.number == number else { return }
        running = nil
        connection.respond(response)
    }

    func publish(_ event: String, _ message: ViciMessage) {
        connection.publish(event, message)
        if connection.isOverrun { isGone = true }
    }

    /// Publishes what `next` gives until it gives nothing, no faster than the client reads, and then calls `end`.
    func stream(_ event: String, _ next: @escaping () -> ViciMessage?, end: @escaping () -> Void) {
        streaming = Streaming(event: event, next: next, end: end)
    }

    private func fill() {
        while let source = streaming, connection.pendingOutput.count < ViciClient.streamOctets, !isGone {
            if let message = source.next() {
                publish(source.event, message)
            } else {
                streaming = nil
                source.end()
            }
        }
    }

    func flush() {
        var written = 0
        fill()
        while !connection.pendingOutput.isEmpty, !isGone {
            guard let count = stream.write(connection.pendingOutput[...]) else {
                isGone = true
                return
            }
            if count == 0 { return }
            connection.wrote(count)
            written += count
            guard written < ViciClient.streamOctetsPerTurn else { return }
            fill()
        }
    }
}
