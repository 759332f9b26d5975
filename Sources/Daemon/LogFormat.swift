import Control
package import Logging
import Platform

/// How log lines look on standard error.
package enum LogFormat: String, Sendable, CaseIterable {
    case text
    /// One JSON object a line.
    case json
}

/// Log levels: one for all, others for single topics (the groups of lines: `dmn`, `ike`, `chd`, `cfg`, `net`).
package struct LogLevels: Sendable {
    package var general: Logger.Level
    /// By the topic's name in upper case, as lines carry it.
    package var topics: [String: Logger.Level]

    package init(general: Logger.Level = .info, topics: [String: Logger.Level] = [:]) {
        self.general = general
        self.topics = topics
    }

    /// charon's levels by its names of topics: level 0 is for what somebody should know, 1 for the course of things, 2 and
    /// more for details, and below 0 there is silence but for errors.
    init(charon levels: [String: Int]) {
        func level(_ number: Int) -> Logger.Level {
            number < 0 ? .error : number == 0 ? .notice : number == 1 ? .info : .debug
        }
        self.init(general: level(levels["default"] ?? 1))
        for (topic, number) in levels where LogLine.Group(rawValue: topic.uppercased()) != nil {
            topics[topic.uppercased()] = level(number)
        }
    }

    /// Reads `info,net=debug`: a level, and `TOPIC=LEVEL` for each topic that differs. `nil` where a part is unknown.
    package init?(_ text: String) {
        self.init()
        for part in text.split(separator: ",") {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false).map { String($0).lowercased() }
            guard let last = sides.last, let level = Logger.Level(rawValue: last), sides.count <= 2 else { return nil }
            if sides.count == 1 {
                general = level
            } else {
                let topic = sides[0].uppercased()
                guard LogLine.Group(rawValue: topic) != nil else { return nil }
                topics[topic] = level
            }
        }
    }

    /// The most talkative of all, which a logger must let through.
    var lowest: Logger.Level { ([general] + topics.values).min() ?? general }

    func lets(_ level: Logger.Level, topic: String) -> Bool { level >= topics[topic] ?? general }
}

/// Writes each line as one JSON object to standard error: `time`, `level`, `message`, and what is known besides (`group`,
/// `connection`, `ikeSA`, …).
struct JSONLogHandler: LogHandler {
    var logLevel: Logger.Level = .info
    var metadata: Logger.Metadata = [:]
    let label: String
    let write: @Sendable (String) -> Void

    init(label: String, write: @escaping @Sendable (String) -> Void) {
        self.label = label
        self.write = write
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var members = [
            JSONValue.Member("time", .string(Machine.timestamp())),
            JSONValue.Member("level", .string(event.level.rawValue)),
            JSONValue.Member("message", .string("\(event.message)")),
        ]
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        for (name, value) in all.sorted(by: { $0.key < $1.key }) {
            members.append(JSONValue.Member(name, .string("\(value)")))
        }
        write(JSONValue.object(members).text(indentation: 0) + "\n")
    }
}
