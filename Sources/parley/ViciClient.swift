import ArgumentParser
import Control
import Platform

/// Where the daemon listens: the same option for `run` and for every command that talks to it, as swanctl has it.
struct ControlSocketOption: ParsableArguments {
    static let prefix = "unix://"

    @Option(name: [.customLong("uri"), .customShort("u")], help: "The daemon's control socket, as unix://PATH.")
    var uri = "unix:///run/parley/parley.vici"

    /// The path of the socket.
    var path: String { String(uri.dropFirst(ControlSocketOption.prefix.count)) }

    func validate() throws {
        guard uri.hasPrefix(ControlSocketOption.prefix), !path.isEmpty else {
            throw ValidationError("'\(uri)' is no unix://PATH")
        }
    }
}

/// Why a command did not get its answer.
enum ViciClientError: Error, CustomStringConvertible {
    case cannotConnect(String)
    /// The daemon closed the connection or broke the protocol.
    case lost(String)
    case unknownCommand(String)
    case unknownEvent(String)

    var description: String {
        switch self {
        case .cannotConnect(let reason): "cannot reach the daemon: \(reason)"
        case .lost(let reason): "lost the daemon: \(reason)"
        case .unknownCommand(let name): "the daemon does not know the command '\(name)'"
        case .unknownEvent(let name): "the daemon does not know the event '\(name)'"
        }
    }
}

/// A blocking connection to a daemon.
struct ViciClient {
    private let stream: UnixStream
    private var connection = ViciClientConnection()
    private var arrivals: [ViciClientConnection.Arrival] = []

    init(_ socket: ControlSocketOption) throws(ViciClientError) {
        do {
            stream = try UnixStream.connect(path: socket.path)
        } catch {
            throw .cannotConnect("\(error)")
        }
    }

    /// Sends a request and returns its answer. Events that arrive before it are handed to `event`; `events` are
    /// registered for the time of the request.
    mutating func request(
        _ command: String, _ message: ViciMessage = ViciMessage(), events: [String] = [],
        event: (String, ViciMessage) -> Void = { _, _ in }
    ) throws(ViciClientError) -> ViciMessage {
        for name in events { try register(name, event: event) }
        guard let octets = connection.request(command, message) else { throw .lost("the request is too large") }
        try send(octets)
        while true {
            switch try next() {
            case .response(let answer): return answer
            case .unknownCommand: throw .unknownCommand(command)
            case .event(let name, let message): event(name, message)
            case .eventConfirmed, .unknownEvent: throw .lost("it answered out of turn")
            }
        }
    }

    /// Asks for an event and waits for the confirmation.
    mutating func register(
        _ name: String, event: (String, ViciMessage) -> Void = { _, _ in }
    ) throws(ViciClientError) {
        try send(connection.register(name))
        while true {
            switch try next() {
            case .eventConfirmed: return
            case .unknownEvent: throw .unknownEvent(name)
            case .event(let name, let message): event(name, message)
            case .response, .unknownCommand: throw .lost("it answered out of turn")
            }
        }
    }

    /// Waits for the next event.
    mutating func nextEvent() throws(ViciClientError) -> (name: String, message: ViciMessage) {
        while true {
            if case .event(let name, let message) = try next() { return (name, message) }
        }
    }

    /// Can be read when something has come.
    var descriptor: Int32 { stream.descriptor }

    /// The events that are there once ``descriptor`` can be read, with those that came while an answer was awaited.
    mutating func readEvents() throws(ViciClientError) -> [(name: String, message: ViciMessage)] {
        switch stream.read() {
        case .octets(let octets):
            do {
                arrivals += try connection.receive(octets)
            } catch {
                throw .lost("\(error)")
            }
        case .nothingYet: break
        case .closed: throw .lost("it closed the connection")
        }
        return takeEvents()
    }

    /// The events that have been read already.
    mutating func takeEvents() -> [(name: String, message: ViciMessage)] {
        defer { arrivals = [] }
        return arrivals.compactMap { if case .event(let name, let message) = $0 { (name, message) } else { nil } }
    }

    private func send(_ octets: [UInt8]) throws(ViciClientError) {
        guard stream.writeAll(octets) else { throw .lost("it closed the connection") }
    }

    private mutating func next() throws(ViciClientError) -> ViciClientConnection.Arrival {
        while arrivals.isEmpty {
            switch stream.read() {
            case .octets(let octets):
                do {
                    arrivals = try connection.receive(octets)
                } catch {
                    throw .lost("\(error)")
                }
            case .nothingYet: continue
            case .closed: throw .lost("it closed the connection")
            }
        }
        return arrivals.removeFirst()
    }
}

extension ControlSocketOption {
    /// Runs `body` with a connection. Where the daemon is not there, or goes, the command ends as ``EndCode`` says, with an
    /// object on standard output if it prints `json`.
    func withClient(json: Bool = false, _ body: (inout ViciClient) throws -> Void) throws {
        do {
            var client = try ViciClient(self)
            try body(&client)
        } catch let error as ViciClientError {
            Failure.print("\(error)", json: json)
            switch error {
            case .cannotConnect: throw EndCode.usage.exitCode
            case .lost, .unknownCommand, .unknownEvent: throw EndCode.failure.exitCode
            }
        }
    }
}

extension ViciMessage {
    /// Ends the command where the answer is a refusal, with all that it says.
    ///
    /// - Parameter json: prints the answer itself as well.
    func requireSuccess(_ what: String, json: Bool = false) throws {
        // Answers that list something have no `success`.
        guard element("success") != nil, !flag("success") else { return }
        ConsoleError.print("parley: \(what): \(text("errmsg") ?? "refused without a reason")")
        if json { Console.print(self.json()) }
        throw EndCode.failure.exitCode
    }

    /// Says how a command ended: in words, or as the daemon's answer.
    func print(_ text: String, json: Bool) { Console.print(json ? self.json() : text) }
}
