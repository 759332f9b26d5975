import ArgumentParser
import Capture
import Control
import Explain
import Platform

/// `parley decode`: the IKE messages of a capture.
struct DecodeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "decode", abstract: "Print the IKE messages of a capture, every field with its name.",
        discussion: """
            Reads pcap and pcapng. A message that breaks a rule is reported with the octet and the rule; the rest of it \
            is still printed.
            """)

    @Argument(help: "A capture file.", completion: .file())
    var capture: String

    @Flag(help: "Print JSON.")
    var json = false

    @Flag(help: "End with 1 where a message, a packet or the capture itself is broken.")
    var strict = false

    func run() throws {
        let file: CaptureFile
        do {
            file = try CaptureFile(try FileContents.read(capture))
        } catch {
            throw Failure.end("\(capture): \(error)", json: json)
        }
        let packets = PacketReader.packets(of: file)
        let messages = packets.compactMap { packet -> DecodedMessage? in
            guard case .ike(let octets) = packet.kind else { return nil }
            return DecodedMessage(packet: packet, description: MessageDescription(octets))
        }
        if json {
            Console.print(DecodedCapture.json(file, packets, messages).text())
        } else {
            DecodedCapture.lines(file, packets, messages).forEach { Console.print($0) }
        }
        if strict, DecodedCapture.isBroken(file, packets, messages) { throw EndCode.failure.exitCode }
    }
}

struct DecodedMessage {
    var packet: CapturedPacket
    var description: MessageDescription
}

/// A decoded capture as text and as JSON.
enum DecodedCapture {
    /// Whether anything in the capture breaks a rule: a message, a packet below IKE, or the file.
    static func isBroken(_ file: CaptureFile, _ packets: [CapturedPacket], _ messages: [DecodedMessage]) -> Bool {
        file.problem != nil || messages.contains { !$0.description.problems.isEmpty }
            || packets.contains { packet in
                if case .broken = packet.kind { true } else { false }
            }
    }

    static func lines(_ file: CaptureFile, _ packets: [CapturedPacket], _ messages: [DecodedMessage]) -> [String] {
        var lines: [String] = []
        for message in messages {
            lines.append(
                "\(message.packet.number)  \(time(message.packet.time))  \(ends(message.packet))  "
                    + message.description.summary)
            lines += DescriptionText.lines(message.description)
            lines.append("")
        }
        for packet in packets {
            if case .broken(let reason) = packet.kind {
                lines.append("\(packet.number)  \(time(packet.time))  ! \(reason)")
            }
        }
        if let problem = file.problem { lines.append("! the capture ends early: \(problem)") }
        let counts = counts(packets, messages)
        lines.append(counts.map { "\($0.1) \($0.0)" }.joined(separator: ", "))
        return lines
    }

    static func json(_ file: CaptureFile, _ packets: [CapturedPacket], _ messages: [DecodedMessage]) -> JSONValue {
        var members = [JSONValue.Member("messages", .array(messages.map(json)))]
        let broken = packets.compactMap { packet -> JSONValue? in
            guard case .broken(let reason) = packet.kind else { return nil }
            return .object([
                JSONValue.Member("number", .number(Int64(packet.number))), JSONValue.Member("problem", .string(reason)),
            ])
        }
        members.append(JSONValue.Member("brokenPackets", .array(broken)))
        if let problem = file.problem { members.append(JSONValue.Member("problem", .string("\(problem)"))) }
        members.append(
            JSONValue.Member(
                "counts", .object(counts(packets, messages).map { JSONValue.Member($0.0, .number(Int64($0.1))) })))
        return .object(members)
    }

    private static func json(_ message: DecodedMessage) -> JSONValue {
        .object([
            JSONValue.Member("number", .number(Int64(message.packet.number))),
            JSONValue.Member("time", .string(time(message.packet.time))),
            JSONValue.Member("source", .string(message.packet.source.map { "\($0)" } ?? "")),
            JSONValue.Member("destination", .string(message.packet.destination.map { "\($0)" } ?? "")),
            JSONValue.Member("summary", .string(message.description.summary)),
            JSONValue.Member("fields", .array(message.description.fields.map(json))),
            JSONValue.Member("problems", .array(message.description.problems.map(json))),
        ])
    }

    private static func json(_ field: DescribedField) -> JSONValue {
        var members = [
            JSONValue.Member("name", .string(field.name)), JSONValue.Member("offset", .number(Int64(field.offset))),
            JSONValue.Member("octets", .number(Int64(field.count))),
        ]
        if !field.value.isEmpty { members.append(JSONValue.Member("value", .string(field.value))) }
        if !field.children.isEmpty { members.append(JSONValue.Member("fields", .array(field.children.map(json)))) }
        if let problem = field.problem { members.append(JSONValue.Member("problem", json(problem))) }
        return .object(members)
    }

    private static func json(_ problem: Problem) -> JSONValue {
        .object([
            JSONValue.Member("offset", .number(Int64(problem.offset))), JSONValue.Member("rule", .string(problem.rule)),
        ])
    }

    private static func counts(_ packets: [CapturedPacket], _ messages: [DecodedMessage]) -> [(String, Int)] {
        var esp = 0
        var ah = 0
        var keepalives = 0
        var others = 0
        var broken = 0
        for packet in packets {
            switch packet.kind {
            case .ike: break
            case .esp: esp += 1
            case .ah: ah += 1
            case .keepalive: keepalives += 1
            case .other, .fragment: others += 1
            case .broken: broken += 1
            }
        }
        return [
            ("IKE messages", messages.count),
            ("broken messages", messages.count { !$0.description.problems.isEmpty }), ("ESP packets", esp),
            ("AH packets", ah), ("keepalives", keepalives), ("other packets", others), ("broken packets", broken),
        ]
    }

    private static func ends(_ packet: CapturedPacket) -> String {
        "\(packet.source.map { "\($0)" } ?? "?") > \(packet.destination.map { "\($0)" } ?? "?")"
    }

    /// Seconds since 1970 with microseconds.
    private static func time(_ nanoseconds: UInt64) -> String {
        let micros = nanoseconds / 1000 % 1_000_000
        let digits = String(micros)
        return "\(nanoseconds / 1_000_000_000).\(String(repeating: "0", count: 6 - digits.count))\(digits)"
    }
}
