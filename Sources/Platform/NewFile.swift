import Glibc

/// Files that are written whole.
package enum NewFile {
    /// Writes a file, in place of one that is there: readers see the old one or the new one.
    ///
    /// - Parameter isPrivate: its owner alone may read it, else everybody may.
    /// - Throws: the failing call and its `errno`.
    package static func write(_ octets: [UInt8], to path: String, isPrivate: Bool = false) throws(PlatformError) {
        let temporary = "\(path).\(getpid())~"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, isPrivate ? 0o600 : 0o644)
        guard descriptor >= 0 else { throw PlatformError("open", code: errno) }
        do throws(PlatformError) {
            defer { Glibc.close(descriptor) }
            try write(octets, to: descriptor)
            guard rename(temporary, path) == 0 else { throw PlatformError("rename", code: errno) }
        } catch {
            unlink(temporary)
            throw error
        }
    }

    /// Opens a file that only grows, makes it where it is missing, and keeps everybody but its owner from reading it.
    /// A symbolic link is refused.
    ///
    /// - Returns: a descriptor that the caller closes.
    package static func openPrivateLog(_ path: String) throws(PlatformError) -> Int32 {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw PlatformError("open \(path)", code: errno) }
        guard fchmod(descriptor, 0o600) == 0 else {
            let code = errno
            Glibc.close(descriptor)
            throw PlatformError("chmod \(path)", code: code)
        }
        return descriptor
    }

    package static func close(_ descriptor: Int32) { _ = Glibc.close(descriptor) }

    /// Writes all octets to an open file, in one call where the system takes them so.
    package static func write(_ octets: [UInt8], to descriptor: Int32) throws(PlatformError) {
        var rest = octets[...]
        while !rest.isEmpty {
            // SAFETY: the pointer is used within the closure, for the octets that it covers.
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw PlatformError("write", code: errno)
            }
            rest = rest.dropFirst(count)
        }
    }

    /// Makes a directory and those above it where they are missing.
    package static func makeDirectory(_ path: String, isPrivate: Bool = false) throws(PlatformError) {
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex, !exists(String(path[..<slash])) {
            try makeDirectory(String(path[..<slash]))
        }
        if mkdir(path, isPrivate ? 0o700 : 0o755) != 0, errno != EEXIST { throw PlatformError("mkdir", code: errno) }
    }

    package static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

    /// The names in a directory, sorted; none where there is no such directory.
    package static func names(in directory: String) -> [String] {
        guard let stream = opendir(directory) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            // SAFETY: d_name is terminated, and lives until the next readdir.
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }
}
