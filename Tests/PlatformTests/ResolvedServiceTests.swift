import Foundation
import Primitives
import Testing

@testable import Platform

/// What systemd-resolved is told, and whether a file is its.
@Suite struct ResolvedServiceTests {
    private let addresses = ["10.2.0.53", "fd00:2::53"].map { IPAddress($0)! }

    private func words(_ domains: [String] = [], _ search: [String] = []) -> [[String]] {
        ResolvedService.commands(
            ResolvedService.Servers(addresses, domains: domains, searchDomains: search), device: "parley0")
    }

    @Test func serversAreForTheirDomainsOrForAll() {
        let servers = ["dns", "parley0", "10.2.0.53", "fd00:2::53"]
        #expect(words() == [servers, ["domain", "parley0", "~."]])
        #expect(words(["a.example", "b.example"]) == [servers, ["domain", "parley0", "~a.example", "~b.example"]])
        #expect(words([], ["corp.example"]) == [servers, ["domain", "parley0", "corp.example", "~."]])
        let none = ResolvedService.Servers([], domains: ["a.example"], searchDomains: ["b.example"])
        #expect(ResolvedService.commands(none, device: "parley0") == [["revert", "parley0"]])
        #expect(words((0..<200).map { "d\($0).example" })[1].count == 130)
    }

    @Test(arguments: [
        ("/run/systemd/resolve/stub-resolv.conf", true), ("../run/systemd/resolve/stub-resolv.conf", true),
        ("/run/systemd/resolve/resolv.conf", true), ("/usr/lib/systemd/resolv.conf", true),
        ("/run/NetworkManager/resolv.conf", false), ("/run/resolvconf/resolv.conf", false),
    ])
    func linksTellWhoseAFileIs(_ target: String, _ isResolved: Bool) throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("resolv-\(UUID()).conf").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)
        #expect(ResolvedService.keeps(path) == isResolved)
        try FileManager.default.removeItem(atPath: path)
        #expect(!ResolvedService.keeps(path))
        try "nameserver 192.0.2.1\n".write(toFile: path, atomically: true, encoding: .utf8)
        #expect(!ResolvedService.keeps(path))
    }
}
