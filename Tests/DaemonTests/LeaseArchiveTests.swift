import Foundation
import IPsec
import Platform
import Primitives
import Testing

@testable import Daemon

/// Leases of virtual addresses over a restart.
@Suite struct LeaseArchiveTests {
    private let directory = FileManager.default.temporaryDirectory.appendingPathComponent("parley-\(UUID())").path
    private let pool = AddressPool(name: "pool", IPAddress("10.3.0.0")!, length: 24)!
    private let six = AddressPool(name: "six", IPAddress("fd00::")!, length: 112)!

    private func archive() throws -> LeaseArchive { try LeaseArchive(directory: directory) { Issue.record("\($0)") } }

    @Test func whatWasGivenComesBackWithItsPool() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let first = try archive()
        #expect(first.take([pool, six]).isEmpty)
        let odd = Identity(.keyID, octets: [0, 255, 39, 34])
        let empty = Identity(.keyID, octets: [])
        first.record([
            .given(IPAddress("10.3.0.1")!, pool: "pool", Identity("joe@example.org")!),
            .given(IPAddress("fd00::7")!, pool: "six", odd), .given(IPAddress("10.3.0.2")!, pool: "pool", empty),
        ])
        first.record([
            .given(IPAddress("10.3.0.3")!, pool: "pool", odd), .forgotten(IPAddress("10.3.0.3")!),
            // An address changes hands.
            .given(IPAddress("10.3.0.1")!, pool: "pool", Identity("ann@example.org")!),
            .given(IPAddress("10.3.0.9")!, pool: "pool", .null),
        ])
        first.finish()

        let second = try archive()
        let found = second.take([pool])
        #expect(found.map(\.address) == [IPAddress("10.3.0.2")!, IPAddress("10.3.0.1")!])
        #expect(found.map(\.identity) == [empty, Identity("ann@example.org")!])
        #expect(second.take([pool]).isEmpty, "each comes back once")
        // A pool of that name without the address.
        #expect(try archive().take([AddressPool(name: "pool", IPAddress("10.4.0.0")!, length: 24)!]).isEmpty)
        let sixth = second.take([six])
        #expect(sixth.map(\.identity) == [odd] && sixth.map(\.address) == [IPAddress("fd00::7")!])
        let attributes = try FileManager.default.attributesOfItem(atPath: "\(directory)/leases.sqlite")
        #expect(attributes[.posixPermissions] as? Int == 0o600)
    }

    @Test func whatIsNoDatabaseIsNotOverwritten() throws {
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let text = Data(
            "these are no leases, and they are longer than a header of SQLite's would be, much longer\n".utf8)
        try text.write(to: URL(fileURLWithPath: "\(directory)/leases.sqlite"))
        #expect(throws: LeaseDatabase.Failure.self) { try archive() }
        #expect(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/leases.sqlite")) == text)
    }
}
