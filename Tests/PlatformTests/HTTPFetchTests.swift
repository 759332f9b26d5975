import Glibc
import Primitives
import Synchronization
import Testing

@testable import Platform

/// Fetching over HTTP from a server of the test's, which says one thing to one client.
@Suite struct HTTPFetchTests {
    /// Answers one request on a thread of its own; what it was comes back when the fetch is through.
    private func exchange(
        _ answer: String, path: String = "/x", body: [UInt8] = [], contentType: String? = nil, maximum: Int = 1000
    ) throws -> (result: Result<[UInt8], FetchFailure>, request: String) {
        let (listener, port) = TCP.listen(IPAddress(v4: 0x7F00_0001))
        try #require(listener >= 0)
        let seen = Box()
        Threads.start {
            let client = accept(listener, nil, nil)
            var request: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while true {
                let count = read(client, &buffer, buffer.count)
                if count <= 0 { break }
                request += buffer[..<count]
                let text = String(decoding: request, as: UTF8.self)
                if text.contains("\r\n\r\n"), body.isEmpty || request.suffix(body.count).elementsEqual(body) { break }
            }
            seen.put(String(decoding: request, as: UTF8.self))
            let octets = Array(answer.utf8)
            _ = octets.withUnsafeBytes { send(client, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            close(client)
            close(listener)
        }
        let request = FetchRequest(
            "http://127.0.0.1:\(port)\(path)", body: body, contentType: contentType, maximumOctets: maximum,
            patience: .seconds(20))
        let result = HTTPFetch.perform(request)
        return (result, seen.wait())
    }

    private final class Box: Sendable {
        private let pipe = Wakeup()
        private let text = Mutex("")

        func put(_ new: String) {
            text.withLock { $0 = new }
            pipe.signal()
        }

        func wait() -> String {
            _ = Poller.wait([Poller.Interest(pipe.descriptor)], milliseconds: 20_000)
            return text.withLock { $0 }
        }
    }

    @Test func getsWhatIsThere() throws {
        let (result, request) = try exchange("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        #expect(try result.get() == Array("hello".utf8))
        #expect(request.hasPrefix("GET /x HTTP/1.1\r\n"))
        #expect(try exchange("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").result.get() == [])
    }

    @Test func postsWithItsType() throws {
        let (result, request) = try exchange(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", body: [0x30, 0x00, 0x41],
            contentType: "application/ocsp-request")
        #expect(try result.get() == Array("ok".utf8))
        #expect(request.hasPrefix("POST /x HTTP/1.1\r\n"))
        #expect(request.contains("Content-Type: application/ocsp-request\r\n"))
        #expect(request.contains("Content-Length: 3\r\n") && request.hasSuffix("\u{30}\u{0}\u{41}"))
    }

    @Test func whatIsTooLongIsGivenUp() throws {
        let long = String(repeating: "x", count: 1001)
        for head in ["Content-Length: 1001\r\n", ""] {
            let result = try exchange("HTTP/1.1 200 OK\r\n\(head)\r\n\(long)").result
            #expect(throws: FetchFailure(description: "the answer is longer than 1000 octets")) { try result.get() }
        }
        #expect(try exchange("HTTP/1.1 200 OK\r\n\r\n\(long.dropLast())").result.get().count == 1000)
    }

    @Test(arguments: ["404 Not Found", "500 Internal Server Error", "204 No Content"])
    func otherAnswersAreNone(_ status: String) throws {
        let result = try exchange("HTTP/1.1 \(status)\r\nContent-Length: 0\r\n\r\n").result
        #expect(throws: FetchFailure(description: "the server answers \(status.prefix(3))")) { try result.get() }
    }

    /// Nobody's answer makes us read a file, or speak another protocol.
    @Test func onlyHTTP() throws {
        for uri in ["file:///etc/hostname", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "", "http://"] {
            let result = HTTPFetch.perform(FetchRequest(uri, maximumOctets: 1000, patience: .seconds(5)))
            #expect(throws: FetchFailure.self) { try result.get() }
        }
        let moved = try exchange(
            "HTTP/1.1 302 Found\r\nLocation: file:///etc/hostname\r\nContent-Length: 0\r\n\r\n"
        ).result
        #expect(throws: FetchFailure.self) { try moved.get() }
    }
}
