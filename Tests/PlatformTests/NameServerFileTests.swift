import Foundation
import Primitives
import Testing

@testable import Platform

/// Name servers of gateways in a `resolv.conf`.
@Suite struct NameServerFileTests {
    private static let theirs = "# written by somebody\nsearch example.org\nnameserver 192.0.2.53\n"
    private let servers = ["10.2.0.53", "fd00:2::53"].map { IPAddress($0)! }

    @Test func ourLinesComeAndGo() {
        let with = NameServerFile.text(Self.theirs, servers)
        #expect(
            with == "nameserver 10.2.0.53 # by parley\nnameserver fd00:2::53 # by parley\n" + Self.theirs)
        #expect(NameServerFile.text(with, servers) == with)
        #expect(NameServerFile.text(with, []) == Self.theirs)
        #expect(NameServerFile.text(with, [servers[1]]) == "nameserver fd00:2::53 # by parley\n" + Self.theirs)
        #expect(NameServerFile.text("", []) == "")
        #expect(NameServerFile.text("nameserver 192.0.2.1", []) == "nameserver 192.0.2.1")
        // No more than a resolver looks at.
        let many = (1...9).map { IPAddress(v4: 0x0A00_0000 + $0) }
        #expect(NameServerFile.text("", many).split(separator: "\n").count == 3)
    }

    @Test func theFileStaysTheSameFile() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("resolv-\(UUID()).conf").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try Self.theirs.write(toFile: path, atomically: true, encoding: .utf8)
        func number() throws -> Int? {
            try FileManager.default.attributesOfItem(atPath: path)[.systemFileNumber] as? Int
        }
        let before = try number()
        let file = NameServerFile(path)
        try file.put(servers)
        #expect(try String(contentsOfFile: path, encoding: .utf8).hasPrefix("nameserver 10.2.0.53 # by parley\n"))
        try NameServerFile(path).put([])
        #expect(try String(contentsOfFile: path, encoding: .utf8) == Self.theirs)
        #expect(try number() == before)
    }

    @Test func aLinkIsAnothersAndNothingIsMadeForNothing() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("resolv-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (target, link) = (folder.appendingPathComponent("target").path, folder.appendingPathComponent("link").path)
        try Self.theirs.write(toFile: target, atomically: true, encoding: .utf8)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: target)
        #expect(throws: PlatformError.self) { try NameServerFile(link).put(servers) }
        try NameServerFile(link).put([])
        #expect(try String(contentsOfFile: target, encoding: .utf8) == Self.theirs)
        let none = folder.appendingPathComponent("none").path
        try NameServerFile(none).put([])
        #expect(!FileManager.default.fileExists(atPath: none))
    }
}
