import Capture
import Explain
import Foundation
import Primitives
import Testing

@Suite struct MessageDescriptionTests {
    static func messages(_ name: String) throws -> [MessageDescription] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let octets = Array(try Data(contentsOf: folder.appending(path: "Captures/\(name)")))
        return PacketReader.packets(of: try CaptureFile(octets)).compactMap { packet in
            if case .ike(let message) = packet.kind { MessageDescription(message) } else { nil }
        }
    }

    /// Every field of a message with that name, in order.
    static func values(_ name: String, in message: MessageDescription) -> [String] {
        func collect(_ field: DescribedField) -> [String] {
            (field.name == name ? [field.value] : []) + field.children.flatMap(collect)
        }
        return message.fields.flatMap(collect)
    }

    @Test func mainModeIsNamed() throws {
        let messages = try MessageDescriptionTests.messages("ISAKMP_sa_setup.pcap")
        let first = try #require(messages.first)
        #expect(first.summary == "IKEv1 Main Mode: Security Association, Vendor ID, Vendor ID, Vendor ID")
        // As tshark has it: AES-CBC, SHA, group 1, pre-shared key, 86,400 seconds.
        #expect(MessageDescriptionTests.values("Encryption", in: first).first == "AES-CBC")
        #expect(MessageDescriptionTests.values("Hash", in: first).first == "SHA1")
        #expect(MessageDescriptionTests.values("Group", in: first).first == "MODP-768")
        #expect(MessageDescriptionTests.values("Authentication method", in: first).first == "pre-shared key")
        #expect(MessageDescriptionTests.values("Life duration", in: first).first == "86400")
        #expect(messages.allSatisfy { $0.problems.isEmpty })
        #expect(messages[6].summary.hasPrefix("IKEv1 Quick Mode f2b7862: Encrypted payloads"))
    }

    @Test func cookieAndRetryAreNamed() throws {
        let messages = try MessageDescriptionTests.messages("ikev2four.pcap")
        #expect(MessageDescriptionTests.values("Type", in: messages[1]).contains("COOKIE"))
        #expect(
            messages[3].summary
                == "IKEv2 IKE_SA_INIT response 0: Security Association, Key Exchange, Nonce, Notify, Notify")
        #expect(
            MessageDescriptionTests.values("Type", in: messages[3]).suffix(2)
                == ["NAT_DETECTION_SOURCE_IP", "NAT_DETECTION_DESTINATION_IP"])
        #expect(messages.allSatisfy { $0.problems.isEmpty })
    }

    @Test func proposalsAreNamed() throws {
        let first = try #require(try MessageDescriptionTests.messages("ikev2pI2.pcap").first)
        #expect(
            MessageDescriptionTests.values("Identifier", in: first).prefix(4)
                == ["AES-CBC", "HMAC-SHA1-96", "HMAC-SHA1", "MODP-1536"])
    }

    /// The malformed captures: the octet where the first rule breaks.
    @Test(arguments: [
        ("isakmp-pointer-loop.pcap", 24), ("isakmp-no-none-np.pcapng", 24), ("isakmp-delete-segfault.pcap", 17),
        ("ikev2-id-normal.pcap", 37), ("ikev1_id_ipv6_addr_subnet-oobr.pcap", 24),
        ("isakmpv1-attr-oobr.pcap", 24),
    ])
    func whatIsBrokenIsSaidWhereItBreaks(name: String, offset: Int) throws {
        let message = try #require(try MessageDescriptionTests.messages(name).first)
        let problem = try #require(message.problems.first)
        #expect(problem.offset == offset)
        #expect(DescriptionText.lines(message).contains { $0.contains("! octet \(offset): ") })
    }

    @Test func theRestOfABrokenMessageIsStillDescribed() throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let file = try CaptureFile(Array(try Data(contentsOf: folder.appending(path: "Captures/ikev2pI2.pcap"))))
        guard case .ike(var octets) = PacketReader.packets(of: file)[0].kind else {
            Issue.record("no message")
            return
        }
        // The first transform's length becomes 4: it is broken, and nonce and KE are still there.
        octets[42] = 0
        octets[43] = 4
        let message = MessageDescription(octets)
        #expect(message.problems.map(\.offset) == [42])
        #expect(message.summary.hasSuffix("Key Exchange, Nonce, Vendor ID"))
        #expect(!MessageDescriptionTests.values("Nonce", in: message).isEmpty)
    }
}

/// Numbers that mean one thing here and another there.
@Suite struct AmbiguousNumberTests {
    /// A message of version 1 (or 2) with one payload.
    private func message(_ type: UInt8, _ body: [UInt8], exchange: UInt8 = 2, version: UInt8 = 0x10) -> [UInt8] {
        var octets: [UInt8] = Array(repeating: 1, count: 16) + [type, version, exchange, 0, 0, 0, 0, 0]
        octets.append(bigEndian: UInt32(32 + body.count))
        octets += [0, 0]
        octets.append(bigEndian: UInt16(4 + body.count))
        return octets + body
    }

    @Test func payload15IsNATDetectionInAFirstExchangeAndAKeyElsewhere() {
        let hash = [UInt8](repeating: 7, count: 20)
        let first = MessageDescription(message(15, hash))
        #expect(first.summary == "IKEv1 Main Mode: NAT-D (draft)")
        #expect(MessageDescriptionTests.values("Hash of address and port", in: first).count == 1)
        #expect(MessageDescription(message(15, hash, exchange: 4)).summary.hasSuffix("NAT-D (draft)"))
        let group = MessageDescription(message(15, hash, exchange: 33))
        #expect(group.summary.hasSuffix("SA KEK (SAK)"))
        #expect(MessageDescriptionTests.values("Data", in: group).count == 1)
    }

    @Test func identityType12IsAListInVersion1() {
        let identity: [UInt8] = [12, 0, 0, 0, 1, 2, 3, 4]
        let first = MessageDescription(message(5, identity))
        #expect(MessageDescriptionTests.values("Type", in: first) == ["list"])
        let second = MessageDescription(message(35, identity, exchange: 35, version: 0x20))
        #expect(MessageDescriptionTests.values("Type", in: second) == ["FC name"])
        let null = MessageDescription(message(5, [13, 0, 0, 0, 1]))
        #expect(MessageDescriptionTests.values("Type", in: null) == ["unknown (13)"])
    }
}
