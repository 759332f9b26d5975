import Foundation
import Testing

@testable import Daemon

@Suite struct StandingSecretTests {
    @Test func itOutlivesARestartAndIsOursAlone() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("parley-\(UUID())/state").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = try StandingSecret.load(directory: directory)
        let second = try StandingSecret.load(directory: directory)
        #expect(first.count == StandingSecret.octetCount && first == second)
        let file = "\(directory)/secret"
        let attributes = try FileManager.default.attributesOfItem(atPath: file)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        // What is no secret of ours is not overwritten.
        try Data([1, 2, 3]).write(to: URL(fileURLWithPath: file))
        #expect(throws: (any Error).self) { try StandingSecret.load(directory: directory) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == Data([1, 2, 3]))
    }
}
