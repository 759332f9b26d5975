import CCurl
import Glibc
import Primitives

/// One question over HTTP, and what it may cost.
package struct FetchRequest: Hashable, Sendable {
    /// `http` alone: what is fetched so is signed, or checked by its hash.
    package var uri: String
    /// What is sent along, with its type: then it is a POST, else a GET.
    package var body: [UInt8]
    package var contentType: String?
    package var maximumOctets: Int
    /// For all of it: the name, the connection, redirections and the answer.
    package var patience: Duration

    package init(
        _ uri: String, body: [UInt8] = [], contentType: String? = nil, maximumOctets: Int, patience: Duration
    ) {
        self.uri = uri
        self.body = body
        self.contentType = contentType
        self.maximumOctets = maximumOctets
        self.patience = patience
    }
}

/// Why nothing was fetched, in words.
package struct FetchFailure: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(description: String) { self.description = description }
}

/// HTTP by libcurl. Blocks: for threads that may wait.
package enum HTTPFetch {
    private static let isPrepared: Bool = {
        parley_fetch_prepare()
        return true
    }()

    /// Makes libcurl ready, which must happen before other threads fetch.
    package static func prepare() { _ = isPrepared }

    /// The body of an answer whose status is 200.
    package static func perform(_ request: FetchRequest) -> Result<[UInt8], FetchFailure> {
        prepare()
        var octets: UnsafeMutablePointer<UInt8>?
        var count = 0
        var reason = [CChar](repeating: 0, count: Int(PARLEY_FETCH_REASON))
        let milliseconds = Int(clamping: max(1, request.patience.wholeNanoseconds / 1_000_000))
        // SAFETY: every pointer outlives the call, which keeps none of them.
        let result = request.uri.withCString { uri in
            request.body.withUnsafeBufferPointer { body in
                func perform(_ contentType: UnsafePointer<CChar>?) -> Int32 {
                    var fetch = parley_fetch(
                        uri: uri, content_type: contentType, body: body.baseAddress, body_count: body.count,
                        maximum_octets: request.maximumOctets, milliseconds: milliseconds)
                    return parley_fetch(&fetch, &octets, &count, &reason)
                }
                return request.contentType.map { $0.withCString { perform($0) } } ?? perform(nil)
            }
        }
        defer { free(octets) }
        guard result == 0 else {
            let text = reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            return .failure(FetchFailure(description: String(decoding: text, as: UTF8.self)))
        }
        // SAFETY: on success `octets` holds `count` octets, or is null where there are none.
        return .success(Array(UnsafeBufferPointer(start: octets, count: count)))
    }
}
