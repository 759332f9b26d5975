/// The daemon's end of one vici connection: octets in, requests and subscriptions out, and back. A value; its owner
/// does the reading and writing.
package struct ViciServerConnection: Sendable {
    /// What a client wants done. Answer each request with ``respond(_:)`` or ``refuseCommand()`` once.
    package enum Demand: Hashable, Sendable {
        case request(command: String, ViciMessage)
    }

    private var segments = ViciSegments()
    private var output: [UInt8] = []
    private let knownEvents: Set<String>
    /// Events that the client asked for.
    package private(set) var subscriptions: Set<String> = []
    /// Octets of output at which a client that does not read is given up: an answer and a few seconds of events.
    package static let maximumOutputOctets = 2 * 1024 * 1024
    /// Octets of input that may wait: clients ask again when they have the answer, so one whole request and the
    /// beginning of another are plenty.
    package static let maximumInputOctets = 2 * ViciSegments.maximumOctets

    /// - Parameter events: names that clients may register for.
    package init(events: Set<String>) { knownEvents = events }

    /// Takes octets in, to be asked for with ``nextDemand()``.
    ///
    /// - Throws: where the client sends on without waiting for answers; the connection must be closed.
    package mutating func take(_ octets: some Sequence<UInt8>) throws(ViciError) {
        segments.append(octets)
        guard segments.pendingOctets <= ViciServerConnection.maximumInputOctets else {
            throw .unexpected("a client waits for an answer before it asks on")
        }
    }

    /// The next request that has come whole; `nil` where there is none. Subscriptions on the way are answered here.
    ///
    /// - Throws: where the connection must be closed.
    package mutating func nextDemand() throws(ViciError) -> Demand? {
        while let packet = try segments.next() {
            switch packet {
            case .request(let command, let message): return .request(command: command, message)
            case .register(let event):
                if knownEvents.contains(event) {
                    subscriptions.insert(event)
                    send(.eventConfirmed)
                } else {
                    send(.unknownEvent)
                }
            case .unregister(let event): send(subscriptions.remove(event) != nil ? .eventConfirmed : .unknownEvent)
            case .response, .unknownCommand, .eventConfirmed, .unknownEvent, .event:
                throw .unexpected("a client sends requests and subscriptions only")
            }
        }
        return nil
    }

    /// Takes octets in and returns all requests that they complete, in order.
    ///
    /// - Throws: where the connection must be closed.
    package mutating func receive(_ octets: some Sequence<UInt8>) throws(ViciError) -> [Demand] {
        try take(octets)
        var demands: [Demand] = []
        while let demand = try nextDemand() { demands.append(demand) }
        return demands
    }

    /// Answers the oldest unanswered request.
    package mutating func respond(_ message: ViciMessage) {
        if ViciPacket.response(message).segment == nil {
            send(.response(["success": "no", "errmsg": "the answer is larger than a vici segment may be"]))
        } else {
            send(.response(message))
        }
    }

    /// Answers the oldest unanswered request: there is no such command.
    package mutating func refuseCommand() { send(.unknownCommand) }

    /// Sends an event, where the client registered for it.
    package mutating func publish(_ event: String, _ message: ViciMessage) {
        if subscriptions.contains(event) { send(.event(event, message)) }
    }

    private mutating func send(_ packet: ViciPacket) {
        if let segment = packet.segment { output += segment }
    }

    /// Octets that wait to be written.
    package var pendingOutput: [UInt8] { output }
    /// Whether the client has left so much unread that the connection should be closed.
    package var isOverrun: Bool { output.count > ViciServerConnection.maximumOutputOctets }

    /// Forgets the first `count` pending octets, which were written.
    package mutating func wrote(_ count: Int) { output.removeFirst(min(count, output.count)) }

    /// All that waits to be written; nothing is pending afterwards.
    package mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }
}

/// A client's end of one vici connection.
package struct ViciClientConnection: Sendable {
    /// What the daemon sent.
    package enum Arrival: Hashable, Sendable {
        case response(ViciMessage)
        case unknownCommand
        case eventConfirmed
        case unknownEvent
        case event(String, ViciMessage)
    }

    private var segments = ViciSegments()

    package init() {}

    /// The octets of a request; `nil` where it is larger than a segment may be.
    package func request(_ command: String, _ message: ViciMessage = ViciMessage()) -> [UInt8]? {
        ViciPacket.request(command: command, message).segment
    }

    /// The octets that ask for an event, or for no more of it.
    package func register(_ event: String) -> [UInt8] { ViciPacket.register(event: event).segment ?? [] }
    package func unregister(_ event: String) -> [UInt8] { ViciPacket.unregister(event: event).segment ?? [] }

    /// Takes octets in and returns what they complete, in order.
    ///
    /// - Throws: where the connection must be closed.
    package mutating func receive(_ octets: some Sequence<UInt8>) throws(ViciError) -> [Arrival] {
        segments.append(octets)
        var arrivals: [Arrival] = []
        while let packet = try segments.next() {
            switch packet {
            case .response(let message): arrivals.append(.response(message))
            case .unknownCommand: arrivals.append(.unknownCommand)
            case .eventConfirmed: arrivals.append(.eventConfirmed)
            case .unknownEvent: arrivals.append(.unknownEvent)
            case .event(let name, let message): arrivals.append(.event(name, message))
            case .request, .register, .unregister:
                throw .unexpected("a daemon sends answers and events only")
            }
        }
        return arrivals
    }
}
