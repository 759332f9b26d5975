import FlyingFox
import Foundation
import Platform
import Synchronization

/// An HTTP server for those who watch: `/metrics` in OpenMetrics text, `/health` for load balancers and probes. It asks
/// the control loop through its inbox, and answers 503 where that does not answer in time; it changes nothing.
final class Observatory: Sendable {
    private let inbox: Inbox
    /// How long the control loop has.
    private static let patience = Duration.seconds(5)

    init(inbox: Inbox) { self.inbox = inbox }

    /// Serves on `port` of the loopback address until the process ends.
    func start(port: UInt16, report: @escaping @Sendable (String) -> Void) {
        Task { [self] in
            do {
                let server = HTTPServer(address: try .inet(ip4: "127.0.0.1", port: port), timeout: 10)
                await server.appendRoute("GET /metrics") { [self] _ in await answer(.metrics) }
                await server.appendRoute("GET /health") { [self] _ in await answer(.health) }
                try await server.run()
            } catch {
                report("the HTTP server on port \(port) ended: \(error)")
            }
        }
    }

    private func answer(_ subject: Subject) async -> HTTPResponse {
        let text = await withCheckedContinuation { (continuation: CheckedContinuation<String?, Never>) in
            let once = Once(continuation)
            inbox.post(.observe(subject) { once.resume($0) })
            Task {
                try? await Task.sleep(for: Observatory.patience)
                once.resume(nil)
            }
        }
        guard let text else {
            return HTTPResponse(statusCode: .serviceUnavailable, body: Data("the control loop does not answer\n".utf8))
        }
        return HTTPResponse(
            statusCode: .ok, headers: [.contentType: subject.contentType], body: Data(text.utf8))
    }

    /// What can be asked for.
    enum Subject: Sendable {
        case metrics, health

        var contentType: String {
            switch self {
            case .metrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            case .health: "application/json"
            }
        }
    }

    /// A continuation that the first of several resumes.
    private final class Once: Sendable {
        private let continuation: Mutex<CheckedContinuation<String?, Never>?>

        init(_ continuation: CheckedContinuation<String?, Never>) { self.continuation = Mutex(continuation) }

        func resume(_ text: String?) {
            let waiting = continuation.withLock { waiting in
                defer { waiting = nil }
                return waiting
            }
            waiting?.resume(returning: text)
        }
    }
}
