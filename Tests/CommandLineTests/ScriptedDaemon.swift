import Control
import Foundation
import Glibc
import Platform
import Synchronization

/// A daemon that answers one client as it is told, on a thread of its own.
final class ScriptedDaemon: Sendable {
    /// What a command comes to: events first, then the answer; `nil`: there is no such command.
    typealias Script = @Sendable (String, ViciMessage) -> (events: [(String, ViciMessage)], answer: ViciMessage)?

    let path: String
    private let seen = Mutex<[String]>([])

    /// The requests so far, as `COMMAND {JSON}`.
    var requests: [String] { seen.withLock { $0 } }
    var uri: String { "unix://\(path)" }

    /// - Parameter hangsUp: closes the connection at the first request.
    init(hangsUp: Bool = false, script: @escaping Script) throws {
        path = FileManager.default.temporaryDirectory.path + "/parley-\(UUID().uuidString.prefix(8)).vici"
        // SAFETY: made here so that clients find it at once, and used by the thread alone.
        nonisolated(unsafe) let listener = try ControlListener(path: path)
        Thread.detachNewThread { [self] in
            var entry = pollfd(fd: listener.descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&entry, 1, 20_000) > 0, let stream = listener.accept() else { return }
            var connection = ViciServerConnection(events: ["log", "control-log", "list-sa"])
            while stream.waitReadable(seconds: 20), case .octets(let octets) = stream.read() {
                guard let demands = try? connection.receive(octets) else { return }
                for case .request(let command, let message) in demands {
                    if hangsUp { return }
                    seen.withLock { $0.append("\(command) \(message.json(indentation: 0))") }
                    guard let outcome = script(command, message) else {
                        connection.refuseCommand()
                        continue
                    }
                    for (name, event) in outcome.events { connection.publish(name, event) }
                    connection.respond(outcome.answer)
                }
                guard stream.writeAll(connection.takeOutput()) else { return }
            }
        }
    }
}
