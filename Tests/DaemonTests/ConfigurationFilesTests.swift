import Configuration
import Daemon
import Foundation
import Testing

/// Reads from a temporary directory of its own.
@Suite final class ConfigurationFilesTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("parley-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: directory.appendingPathComponent("conf.d/deeper"), withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private func write(_ name: String, _ text: String) throws {
        try text.write(to: directory.appendingPathComponent(name), atomically: false, encoding: .utf8)
    }

    private func errors(_ path: String? = nil) -> [String] {
        guard case .failure(let errors) = ConfigurationFiles.load(path ?? directory.path) else { return [] }
        return errors.diagnostics.map { $0.description.replacingOccurrences(of: directory.path + "/", with: "") }
    }

    private let connection = "{ local { auth = psk } \n remote { auth = psk } }"

    @Test func readsADirectoryWithItsIncludes() throws {
        try write(
            "swanctl.conf", "include conf.d/*.conf\ninclude missing/*.conf\nconnections { include conf.d/inner }\n")
        try write("conf.d/b.conf", "connections { b \(connection) }")
        try write("conf.d/a.conf", "connections { a \(connection) }\ninclude deeper/*.conf\n")
        try write("conf.d/ignored.txt", "nonsense")
        try write("conf.d/inner", "c \(connection)")
        try write("conf.d/deeper/d.conf", "secrets { ike { secret = x } }")
        for path in [directory.path, directory.path + "/", directory.appendingPathComponent("swanctl.conf").path] {
            let configuration = try ConfigurationFiles.load(path).get()
            #expect(configuration.connections.map(\.name) == ["a", "b", "c"])
            #expect(configuration.secrets.map(\.name) == ["ike"])
        }
    }

    @Test func namesTheFileThatIsWrong() throws {
        try write("swanctl.conf", "include conf.d/*.conf\ninclude gone.conf\n")
        try write("conf.d/a.conf", "\ncolour = blue\n")
        #expect(
            errors() == [
                "swanctl.conf:2:9: cannot include 'gone.conf': No such file or directory",
                "conf.d/a.conf:2:1: unknown key 'colour' outside of any section",
            ])
    }

    @Test func refusesWhatIsNoText() throws {
        try Data([0x61, 0xFF, 0xFE]).write(to: directory.appendingPathComponent("swanctl.conf"))
        #expect(errors() == ["swanctl.conf:1:1: cannot read the file: it is not UTF-8 text"])
        #expect(
            errors(directory.path + "/nothing") == ["nothing:1:1: cannot read the file: No such file or directory"])
    }

    @Test func aFileThatIncludesItselfEnds() throws {
        try write("swanctl.conf", "include *.conf\n")
        #expect(errors() == ["swanctl.conf:1:9: files include each other more than 10 levels deep"])
    }
}
