import Cryptography
import Foundation
import ISAKMP
import KeyDeterminationModes
import Primitives
import Testing

/// What goes over the wire, as another program understands it: scapy, where Debian's python3-scapy is there.
@Suite struct WireDecodingTests {
    private static let interpreter = "/usr/bin/python3"

    private static func run(_ arguments: [String], input: String = "") -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: interpreter)
        process.arguments = arguments
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
        } catch { return (-1, "") }
        // Less than a pipe holds.
        stdin.fileHandleForWriting.write(Data(input.utf8))
        try? stdin.fileHandleForWriting.close()
        let output = stdout.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    private static let hasScapy: Bool = {
        let isThere = run(["-c", "import scapy.layers.isakmp"]).status == 0
        if !isThere {
            print("WireDecodingTests are skipped: \(interpreter) has no scapy (apt-get install python3-scapy)")
        }
        return isThere
    }()

    @Test(.enabled(if: WireDecodingTests.hasScapy)) func scapyReadsEveryMessageOfEveryExchange() throws {
        var lines: [String] = []
        var expected: [String] = []
        func add(_ wire: Wire) {
            // Every message that was sent, as its sender understood it.
            let traced = (0..<2).flatMap { wire.messages($0).filter(\.isSent) }
            for (_, octets) in wire.sent {
                guard let message = traced.first(where: { $0.octets == octets }) else { continue }
                lines.append(octets.hex)
                let payloads = message.payloads.map { "\($0.type.rawValue):\($0.body.count)" }.joined(separator: ",")
                let flags = message.header.flags.rawValue | (message.isEncrypted ? 1 : 0)
                let shown = message.isEncrypted || payloads.isEmpty ? "-" : payloads
                expected.append(
                    "\(message.header.exchange.rawValue) \(flags) \(message.header.messageID) \(shown)")
            }
        }
        for example in ExchangesRunTests.firstPhase {
            var wire = Wire(phaseOne: [ExchangeOffering(example.description, Wire.policy(1, [example.suite]))])
            wire.begin(example.description, Wire.policy(0, [example.suite]))
            wire.settle()
            add(wire)
        }
        for example in ExchangesRunTests.secondPhase {
            var wire = Wire(
                phaseOne: [ExchangeOffering(FrameworkExchanges.base, Wire.policy(1))],
                phaseTwo: [ExchangeOffering(example.description, Wire.policy(1))])
            let id = wire.begin(FrameworkExchanges.base, Wire.policy(0))
            wire.settle()
            var policy = Wire.policy(0)
            policy.given[OakleyModes.externalKey] = .secret(Secret(Array("elsewhere".utf8)))
            policy.given[OakleyModes.groupDescriptor] = .open([1, 2, 3])
            wire.feed(.begin(example.description, policy), to: id, at: 0)
            wire.settle()
            wire.feed(.end, to: id, at: 0)
            wire.settle()
            add(wire)
        }
        #expect(lines.count > 90)
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "reference/decode.py").path
        // A pipe holds 64 KiB: in parts.
        var decoded: [String] = []
        for start in stride(from: 0, to: lines.count, by: 20) {
            let part = lines[start..<min(start + 20, lines.count)].joined(separator: "\n") + "\n"
            let (status, output) = Self.run([script], input: part)
            try #require(status == 0, "scapy read messages \(start) to \(start + 20)")
            decoded += output.split(separator: "\n").map(String.init)
        }
        #expect(decoded == expected)
    }
}
