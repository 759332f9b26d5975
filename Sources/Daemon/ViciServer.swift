import Control
import IPsec
import KeyManagement
import Platform

/// The clients of the control socket: reads their requests, has them performed one at a time each, writes answers and
/// events back.
final class ViciServer {
    /// Events that clients may register for.
    private static let events: Set<String> = [
        "log", "control-log", "list-sa", "list-policy", "list-conn", "list-cert", "list-authority", "ike-updown",
        "ike-rekey", "ike-update", "child-updown", "child-rekey", "alert", "decision", "ike-message",
    ]
    /// Clients beyond this are turned away.
    static let clientMaximum = 1024

    private let listener: ControlListener
    /// Whether a client listens for keys, and so is given those of SAs that come.
    private(set) var sharesKeys = false
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
                clients[stream.descriptor] = ViciClient(stream: stream, events: ViciServer.events(for: stream))
            }
        }
        for (descriptor, client) in clients {
            if ready.contains(descriptor) { client.read() }
            client.perform(loop)
            client.flush()
            if client.isGone { clients[descriptor] = nil }
        }
        noteListeners(loop)
    }

    /// Looks whether anybody listens for keys.
    func noteListeners(_ loop: ControlLoop) {
        let sharesKeys = clients.values.contains { !$0.isGone && $0.isSubscribed(to: CaptureCommands.keyEvent) }
        if sharesKeys != self.sharesKeys {
            self.sharesKeys = sharesKeys
            loop.shareKeys(sharesKeys)
        }
    }

    /// The events that a client may register for: keys are for root and for the daemon's own user.
    private static func events(for stream: UnixStream) -> Set<String> {
        guard let user = stream.peerUser, user == 0 || user == Machine.user else { return events }
        return events.union([CaptureCommands.keyEvent])
    }

    /// Sends a log line to those who follow the log, and to those whose command is running.
    func publish(_ line: LogLine) {
        guard !clients.isEmpty else { return }
        func message(_ thread: Bool) -> ViciMessage {
            var message = ViciMessage()
            message.add("group", line.group.rawValue)
            message.add("level", line.level)
            if thread { message.add("thread", "1") }
            if let session = line.session {
                message.add("ikesa-name", line.connection)
                message.add("ikesa-uniqueid", session)
            }
            message.add("msg", line.text)
            return message
        }
        let (toAll, toOne) = (message(true), message(false))
        for client in clients.values {
            client.publish("log", toAll)
            if client.follows(line) { client.publish("control-log", toOne) }
        }
    }

    /// Sends an event with its lines.
    func publish(_ event: Event, _ lines: [LogLine], loop: ControlLoop) {
        guard !clients.isEmpty else { return }
        for line in lines { publish(line) }
        for (name, message) in ViciEvents.messages(event, loop: loop) { publish(name, message) }
    }

    func hasListener(_ name: String) -> Bool { clients.values.contains { $0.isSubscribed(to: name) } }

    /// Sends an event to those who asked for it.
    func publish(_ name: String, _ message: @autoclosure () -> ViciMessage) {
        guard hasListener(name) else { return }
        let message = message()
        for client in clients.values { client.publish(name, message) }
    }

    /// Writes what is left, as far as the clients take it.
    func finish() {
        for client in clients.values { client.flush() }
    }
}
