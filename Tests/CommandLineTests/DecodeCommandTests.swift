import ArgumentParser
import Foundation
import Testing

@testable import parley

@Suite struct DecodeCommandTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Captures")

    private func end(_ arguments: [String]) -> Int32 {
        do {
            var command = try Parley.parseAsRoot(["decode"] + arguments)
            try command.run()
            return 0
        } catch let code as ExitCode {
            return code.rawValue
        } catch {
            return Parley.exitCode(for: error).rawValue
        }
    }

    private func path(_ name: String) -> String { DecodeCommandTests.folder.appending(path: name).path() }

    @Test func whatIsWholeEndsWith0() {
        for name in ["ISAKMP_sa_setup.pcap", "ikev2four.pcap"] {
            #expect(end([path(name), "--strict"]) == 0, "\(name)")
            #expect(end([path(name), "--strict", "--json"]) == 0, "\(name)")
        }
    }

    /// A message, a packet below IKE (its ESP header is cut off), and a file that ends inside a record.
    @Test func whatIsBrokenEndsWith1OnlyWhereItIsAskedFor() throws {
        let cut = FileManager.default.temporaryDirectory.appending(path: "cut-\(UUID().uuidString).pcap")
        defer { try? FileManager.default.removeItem(at: cut) }
        try Data(contentsOf: DecodeCommandTests.folder.appending(path: "ikev2four.pcap")).dropLast().write(to: cut)
        for path in [path("isakmpv1-attr-oobr.pcap"), path("esp_truncated.pcap"), cut.path()] {
            #expect(end([path]) == 0, "\(path)")
            #expect(end([path, "--strict"]) == EndCode.failure.rawValue, "\(path)")
            #expect(end([path, "--strict", "--json"]) == EndCode.failure.rawValue, "\(path)")
        }
        #expect(end(["/nonexistent.pcap"]) == EndCode.failure.rawValue)
    }
}
