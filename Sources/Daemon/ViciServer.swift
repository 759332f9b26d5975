import Control
import IPsec
import KeyManagement
import Platform

/// The clients of the control socket: reads their requests, has them performed one at a time each, writes answers and
/// events back.
final class ViciServer {
    /// Events that clients may register for.
    private static let events: Set<String> = [
        "log", "control-log", "list-sa", "list-conn", "ike-updown", "child-updown",
    ]
    /// Clients beyond this are turned away.
    static let clientMaximum = 64

    private let listener: ControlListener
    private(set) var clients: [Int32: ViciClient] = [:]

    init(listener: ControlListener) { self.listener = listener }

    /// Whether a client has a request that waits for nothing but its turn.
    var wantsTurn: Bool { clients.values.contains { $0.wantsTurn } }

    var interests: [Poller.Interest] {
        [Poller.Interest(listener.descriptor)]
            + clients.map { Poller.Interest($0.key, wantsToWrite: $0.value.wantsToWrite) }
    }

    /// Reads, performs and writes what the ready descriptors allow.
    func serve(_ ready: Set<Int32>, loop: ControlLoop) {
        if ready.contains(listener.descriptor) {
            while let stream = listener.accept() {
                guard clients.count < ViciServer.clientMaximum else { continue }
                clients[stream.descriptor] = ViciClient(stream: stream, events: ViciServer.events)
            }
        }
        for (descriptor, client) in clients {
            if ready.contains(descriptor) { client.read() }
            client.perform(loop)
            client.flush()
            if client.isGone { clients[descriptor] = nil }
        }
    }

    /// Sends a log line to those who follow the log, and to those whose command is running.
    func publish(_ line: LogLine) {
        guard !clients.isEmpty else { return }
        var message = ViciMessage()
        message.add("group", line.group.rawValue)
        message.add("level", line.level)
        message.add("thread", "1")
        if let session = line.session {
            message.add("ikesa-name", line.connection)
            message.add("ikesa-uniqueid", session)
        }
        message.add("msg", line.text)
        for client in clients.values {
            client.publish("log", message)
            if client.follows(line) { client.publish("control-log", message) }
        }
    }

    /// Sends an event with its lines.
    func publish(_ event: Event, _ lines: [LogLine], loop: ControlLoop) {
        guard !clients.isEmpty else { return }
        for line in lines { publish(line) }
        let name: String
        let isUp: Bool
        var child: ChildID?
        switch event.kind {
        case .session(.established): (name, isUp) = ("ike-updown", true)
        case .closed: (name, isUp) = ("ike-updown", false)
        case .session(.childEstablished(let id)): (name, isUp, child) = ("child-updown", true, id)
        case .session(.childClosed(let id)): (name, isUp, child) = ("child-updown", false, id)
        case .session, .dropped: return
        }
        guard var snapshot = event.snapshot, clients.values.contains(where: { $0.isSubscribed(to: name) }) else {
            return
        }
        snapshot.children = snapshot.children.filter { $0.id == child }
        var message = ViciMessage()
        if isUp { message.add("up", flag: true) }
        message.entries += loop.message(of: snapshot).entries
        for client in clients.values { client.publish(name, message) }
    }

    /// Writes what is left, as far as the clients take it.
    func finish() {
        for client in clients.values { client.flush() }
    }
}
