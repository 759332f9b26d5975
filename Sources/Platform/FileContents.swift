import Glibc

/// Files, read whole.
package enum FileContents {
    /// The octets of a file, or of what a pipe brings.
    ///
    /// - Throws: the failing call and its `errno`; EFBIG beyond `maximum` octets.
    package static func read(_ path: String, maximum: Int = 1 << 30) throws(PlatformError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw PlatformError("open", code: errno) }
        defer { close(descriptor) }
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { return octets }
            guard count > 0 else {
                if errno == EINTR { continue }
                throw PlatformError("read", code: errno)
            }
            guard octets.count + count <= maximum else { throw PlatformError("read", code: EFBIG) }
            octets += buffer[..<count]
        }
    }
}
