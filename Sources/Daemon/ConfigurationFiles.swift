package import Configuration
import Glibc

/// Reads configurations from the file system.
package enum ConfigurationFiles {
    /// A file larger than this was not written by a person.
    private static let maximumOctets = 16 * 1024 * 1024
    /// Files that one `include` may name.
    private static let maximumFiles = 10_000

    /// Reads and checks a `swanctl.conf`, or the one in a directory, with all that it includes, over the settings of a
    /// `strongswan.conf`.
    ///
    /// - Parameter settingsFile: that file; without it, the one of ``settingsFile(beside:)``.
    package static func load(
        _ path: String, settingsFile: String? = nil
    ) -> Result<Configuration, ConfigurationErrors> {
        let file = file(path)
        let settings: Configuration.Settings
        switch loadSettings(settingsFile ?? self.settingsFile(beside: path)) {
        case .success(let loaded): settings = loaded
        case .failure(let errors): return .failure(errors)
        }
        switch read(file) {
        case .failure(let failure): return .failure(unreadable(file, failure))
        case .success(let source):
            do {
                let directory = directory(of: file)
                return .success(
                    try Configuration.read(source, settings: settings, loader: include) { name in
                        KeyFiles.octets(name.hasPrefix("/") ? name : joined(joined(directory, "pubkey"), name))
                    })
            } catch {
                return .failure(error)
            }
        }
    }

    /// Reads a `strongswan.conf`; the defaults where there is none.
    package static func loadSettings(_ path: String?) -> Result<Configuration.Settings, ConfigurationErrors> {
        guard let path else { return .success(Configuration.Settings()) }
        switch read(path) {
        case .failure(let failure): return .failure(unreadable(path, failure))
        case .success(let source):
            do { return .success(try Configuration.Settings.read(source, loader: include)) } catch {
                return .failure(error)
            }
        }
    }

    /// The `strongswan.conf` that belongs to a `swanctl.conf` or its directory: the one beside it, or the one above a
    /// directory `swanctl`, as `/etc/strongswan.conf` lies above `/etc/swanctl`.
    package static func settingsFile(beside path: String) -> String? {
        let directory = directory(of: file(path))
        var candidates = [joined(directory, "strongswan.conf")]
        if directory.split(separator: "/").last == "swanctl" {
            candidates.append(joined(self.directory(of: directory), "strongswan.conf"))
        }
        return candidates.first { access($0, F_OK) == 0 }
    }

    private static func unreadable(_ file: String, _ failure: IncludeFailure) -> ConfigurationErrors {
        let position = SourcePosition(file: file, line: 1, column: 1)
        return ConfigurationErrors([Diagnostic("cannot read the file: \(failure.reason)", at: position)])
    }

    /// The files that a pattern names, in the order of their names. A relative pattern starts at the including file.
    private static func include(_ pattern: String, from: String) -> Result<[SourceFile], IncludeFailure> {
        var path = pattern
        if !pattern.hasPrefix("/"), let slash = from.lastIndex(of: "/") { path = from[...slash] + pattern }
        let hasWildcards = pattern.contains { "*?[".contains($0) }
        let paths = hasWildcards ? expand(path) : [path]
        guard paths.count <= maximumFiles else { return .failure(IncludeFailure("more than \(maximumFiles) files")) }
        var files: [SourceFile] = []
        for path in paths where !(hasWildcards && isDirectory(path)) {
            switch read(path) {
            case .success(let file): files.append(file)
            case .failure(let failure):
                return .failure(IncludeFailure(hasWildcards ? "\(path): \(failure.reason)" : failure.reason))
            }
        }
        return .success(files)
    }

    /// Paths that a pattern matches, sorted.
    private static func expand(_ pattern: String) -> [String] {
        var matches = glob_t()
        defer { globfree(&matches) }
        guard glob(pattern, 0, nil, &matches) == 0 else { return [] }
        // SAFETY: after success gl_pathv holds gl_pathc terminated strings, until globfree.
        return (0..<Int(matches.gl_pathc)).compactMap { index in
            matches.gl_pathv[index].map { String(cString: $0) }
        }
    }

    private static func read(_ path: String) -> Result<SourceFile, IncludeFailure> {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return .failure(IncludeFailure(String(cString: strerror(errno)))) }
        defer { close(descriptor) }
        var octets: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count == 0 { break }
            if count < 0 {
                if errno == EINTR { continue }
                return .failure(IncludeFailure(String(cString: strerror(errno))))
            }
            octets += buffer[..<count]
            if octets.count > maximumOctets {
                return .failure(IncludeFailure("it is larger than \(maximumOctets) octets"))
            }
        }
        guard let text = String(validating: octets, as: UTF8.self) else {
            return .failure(IncludeFailure("it is not UTF-8 text"))
        }
        return .success(SourceFile(name: path, text: text))
    }

    /// The directory of a file, in which swanctl's other directories lie.
    static func directory(of file: String) -> String {
        file.lastIndex(of: "/").map { String(file[..<$0]) } ?? "."
    }

    /// The file that a path means: itself, or the `swanctl.conf` of a directory.
    static func file(_ path: String) -> String { isDirectory(path) ? joined(path, "swanctl.conf") : path }

    private static func isDirectory(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func joined(_ directory: String, _ name: String) -> String {
        directory.hasSuffix("/") ? directory + name : directory + "/" + name
    }
}
