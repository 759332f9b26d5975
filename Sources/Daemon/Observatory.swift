import FlyingFox
import Foundation
import Platform
import Synchronization

/// An HTTP server for those who watch: `/metrics` in OpenMetrics text, `/health` for load balancers and probes, and a page
/// for people at `/` with its data at `/status.json`. It asks the control loop through its inbox, and answers 503 where that
/// does not answer in time; it changes nothing. Hosts other than this machine's own names are refused, so that no page from
/// elsewhere, whose name was made to lead here, reads what a browser on this machine may see.
final class Observatory: Sendable {
    private let inbox: Inbox
    /// How long the control loop has.
    private static let patience = Duration.seconds(5)

    init(inbox: Inbox) { self.inbox = inbox }

    /// Serves on `port` of the loopback address until the process ends.
    func start(port: UInt16, report: @escaping @Sendable (String) -> Void) {
        Task { [self] in
            do {
                // Its own lines would stand on standard output, in a form of their own.
                let server = HTTPServer(
                    address: try .inet(ip4: "127.0.0.1", port: port), timeout: 10, logger: .disabled)
                await server.appendRoute("GET /metrics") { [self] in await answer(.metrics, to: $0) }
                await server.appendRoute("GET /health") { [self] in await answer(.health, to: $0) }
                await server.appendRoute("GET /status.json") { [self] in await answer(.dashboard, to: $0) }
                await server.appendRoute("GET /") { Observatory.page(for: $0) }
                try await server.run()
            } catch {
                report("the HTTP server on port \(port) ended: \(error)")
            }
        }
    }

    // MARK: Who may ask

    /// Whether a Host field names this machine's loopback address, with or without a port.
    static func isOwn(host: String?) -> Bool {
        guard let host, host.utf8.count <= 64 else { return false }
        let name = host.hasSuffix("]") ? host[...] : host.prefix { $0 != ":" }
        let rest = host.dropFirst(name.count)
        guard rest.isEmpty || (rest.first == ":" && UInt16(rest.dropFirst()) != nil) else { return false }
        return ["127.0.0.1", "localhost"].contains(name.lowercased())
    }

    private static let stranger = HTTPResponse(
        statusCode: HTTPStatusCode(421, phrase: "Misdirected Request"), headers: common,
        body: Data("ask for 127.0.0.1 or localhost\n".utf8))

    /// What every answer says: it is nobody else's, and stays with who asked.
    private static let common: HTTPHeaders = [
        HTTPHeader("X-Content-Type-Options"): "nosniff", HTTPHeader("Referrer-Policy"): "no-referrer",
        HTTPHeader("Cross-Origin-Resource-Policy"): "same-origin", .cacheControl: "no-store",
    ]

    // MARK: Answers

    private static func page(for request: HTTPRequest) -> HTTPResponse {
        guard isOwn(host: request.headers[.host]) else { return stranger }
        let nonce =
            String(UInt64.random(in: 0...UInt64.max), radix: 16)
            + String(UInt64.random(in: 0...UInt64.max), radix: 16)
        var headers = common
        headers[.contentType] = "text/html; charset=utf-8"
        headers[HTTPHeader("X-Frame-Options")] = "DENY"
        headers[HTTPHeader("Content-Security-Policy")] =
            "default-src 'none'; script-src 'nonce-\(nonce)'; style-src 'nonce-\(nonce)'; connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        return HTTPResponse(statusCode: .ok, headers: headers, body: Data(DashboardPage.html(nonce: nonce).utf8))
    }

    private func answer(_ subject: Subject, to request: HTTPRequest) async -> HTTPResponse {
        guard Observatory.isOwn(host: request.headers[.host]) else { return Observatory.stranger }
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
        var headers = Observatory.common
        headers[.contentType] = subject.contentType
        return HTTPResponse(statusCode: .ok, headers: headers, body: Data(text.utf8))
    }

    /// What can be asked for.
    enum Subject: Sendable {
        case metrics, health, dashboard

        var contentType: String {
            switch self {
            case .metrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
            case .health, .dashboard: "application/json"
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
