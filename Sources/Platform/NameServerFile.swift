import Glibc
package import Primitives

/// A `resolv.conf` with name servers that a gateway gave us: our lines stand in front of all others and say whose they are, so that
/// they can be taken back, by a later process as well where this one is killed.
package struct NameServerFile: Sendable {
    package let path: String
    /// Behind what the resolver reads of a line.
    private static let mark = "# by parley"
    /// What a resolver looks at.
    private static let maximumServers = 3
    private static let maximumOctets = 1024 * 1024

    package init(_ path: String) { self.path = path }

    /// The text with these servers' lines in front, and none of ours besides.
    package static func text(_ old: String, _ servers: [IPAddress]) -> String {
        let kept = old.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.hasSuffix(mark) }
        let ours = servers.prefix(maximumServers).map { "nameserver \($0) \(mark)\n" }
        return ours.joined() + kept.joined(separator: "\n")
    }

    /// Puts servers in place of those that stand there as ours; nothing is written where nothing changes. The file is written in
    /// place, since it may be mounted alone. A symbolic link is another program's, which would not know of it.
    package func put(_ servers: [IPAddress]) throws(PlatformError) {
        var status = stat()
        if lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK {
            if servers.isEmpty { return }
            throw PlatformError("write \(path), which is a link of another program's", code: ELOOP)
        }
        let old =
            NewFile.exists(path)
            ? String(decoding: try FileContents.read(path, maximum: Self.maximumOctets), as: UTF8.self) : ""
        let new = Self.text(old, servers)
        if new == old { return }
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw PlatformError("open \(path)", code: errno) }
        defer { NewFile.close(descriptor) }
        try NewFile.write(Array(new.utf8), to: descriptor)
    }
}
