import Capture
import Cryptography
import Explain
import Foundation
import IPsec
import ISAKMP
import KeyManagement
import Primitives
import Testing

/// Every truncation and every single-bit flip of recorded messages: nothing crashes, hangs or grows.
@Suite struct BadInputTests {
    /// The distinct IKE messages of all captures, of each length and exchange one.
    static let recorded: [[UInt8]] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Captures")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path())) ?? []
        var seen: Set<[Int]> = []
        var messages: [[UInt8]] = []
        for name in names.sorted() where name.contains(".pcap") {
            guard let data = try? Data(contentsOf: folder.appending(path: name)),
                let file = try? CaptureFile(Array(data))
            else { continue }
            for packet in PacketReader.packets(of: file) {
                guard case .ike(let octets) = packet.kind, octets.count >= 28, octets.count < 2000 else { continue }
                if seen.insert([octets.count, Int(octets[17]), Int(octets[18])]).inserted { messages.append(octets) }
            }
        }
        return messages
    }()

    private static let local = Endpoint(IPAddress(v4: 0x0A00_0001), port: 500)
    private static let remote = Endpoint(IPAddress(v4: 0x0A00_0002), port: 500)

    static func manager() -> KeyManager {
        let any = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA1_96], prf: [.hmacSHA1],
            keyExchange: [.modp1024, .curve25519])
        let child = ChildPolicy(
            name: "net", proposals: [Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128)])])
        return KeyManager(
            now: Instant(nanoseconds: 0), randomness: .seeded(1),
            policies: PolicyDatabase(connections: [Connection(name: "any", proposals: [any], children: [child])]))
    }

    /// Describes a damaged message and holds the description to its bounds.
    static func describe(_ octets: [UInt8]) -> Bool {
        let description = MessageDescription(octets)
        let fields = DescriptionText.lines(description).count
        let limit = 64 + 8 * octets.count
        return fields <= limit
            && description.problems.allSatisfy { (0...octets.count).contains($0.offset) }
            && description.fields.allSatisfy { isInside($0, 0..<octets.count) }
    }

    /// Whether a field and all within it lie inside the octets around them.
    private static func isInside(_ field: DescribedField, _ outer: Range<Int>) -> Bool {
        guard field.count >= 0, outer.lowerBound <= field.offset, field.offset + field.count <= outer.upperBound else {
            return false
        }
        return field.children.allSatisfy { isInside($0, field.offset..<(field.offset + field.count)) }
    }

    @Test func thereIsEnoughToDamage() {
        #expect(BadInputTests.recorded.count >= 20)
        #expect(Set(BadInputTests.recorded.map { $0[17] >> 4 }).isSuperset(of: [1, 2]))
    }

    @Test func everyTruncationIsDescribedWithinBounds() {
        for message in BadInputTests.recorded {
            for count in 0..<message.count where !BadInputTests.describe(Array(message[..<count])) {
                Issue.record("\(message.count) octets cut to \(count)")
            }
        }
    }

    @Test func everyBitFlipIsDescribedWithinBounds() {
        for message in BadInputTests.recorded {
            for index in message.indices {
                for bit in 0..<8 {
                    var damaged = message
                    damaged[index] ^= 1 << UInt8(bit)
                    if !BadInputTests.describe(damaged) { Issue.record("bit \(bit) of octet \(index)") }
                }
            }
        }
    }

    /// The same messages at the daemon's door: a hostile peer opens no more than admission allows, and all of it ends.
    @Test func keyManagementOutlivesEveryBitFlipAndTruncation() {
        var manager = BadInputTests.manager()
        var now = Instant(nanoseconds: 0)
        func deliver(_ octets: [UInt8]) {
            now = now + .milliseconds(1)
            let effects = manager.handle(
                .datagram(Datagram(local: BadInputTests.local, remote: BadInputTests.remote, octets: octets)), now: now)
            for case .ask(let question, _) in effects {
                _ = manager.handle(.answer(question, .noCredential), now: now)
            }
            if let deadline = manager.nextDeadline, deadline <= now { _ = manager.handle(.deadline, now: now) }
        }
        for message in BadInputTests.recorded {
            for count in 0..<message.count { deliver(Array(message[..<count])) }
            for index in message.indices {
                for bit in 0..<8 {
                    var damaged = message
                    damaged[index] ^= 1 << UInt8(bit)
                    deliver(damaged)
                }
            }
            #expect(manager.sessionCounts.halfOpen <= AdmissionLimits().halfOpenMaximum)
            #expect(manager.snapshots.allSatisfy { $0.state != .established })
        }
        // Whatever was half-open ends.
        for _ in 0..<10_000 {
            guard let deadline = manager.nextDeadline else { break }
            _ = manager.handle(.deadline, now: deadline)
        }
        #expect(manager.residue.isEmpty)
    }
}
