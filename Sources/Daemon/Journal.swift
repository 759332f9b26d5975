import Explain
import IPsec
import KeyManagement
import Logging
import Primitives

/// One line of the daemon's log, as observers get it.
struct LogLine: Sendable {
    /// charon's names for the sources of log lines.
    enum Group: String, Sendable {
        case daemon = "DMN"
        case ike = "IKE"
        case child = "CHD"
        case configuration = "CFG"
        case network = "NET"
    }
    var group: Group
    /// charon's scale: 0 for what somebody should know, 1 for the course of things, 2 and more for details.
    var level: Int
    var connection: String
    var session: SessionID?
    var text: String
    /// What it is about, besides.
    var fields = LogFields()
}

/// What happened: to the log, and kept for those who ask later.
struct Journal {
    private var logger: Logger
    /// The newest lines, oldest first.
    private(set) var recent: [LogLine] = []
    private var traces = TraceStore()
    /// Why what was refused was refused.
    var decisions = DecisionBook()
    private static let recentMaximum = 1000

    /// Which lines are written, by topic; all are kept.
    var levels: LogLevels { didSet { logger.logLevel = levels.lowest } }

    init(logger: Logger, levels: LogLevels) {
        self.logger = logger
        self.levels = levels
        self.logger.logLevel = levels.lowest
    }

    /// Writes an event down. Messages go to the traces alone, at most with a line of detail.
    ///
    /// - Parameters:
    ///   - known: SAs as they were before.
    ///   - living: an IKE SA as it is; asked where there is something to say.
    mutating func record(
        _ event: Event, known: KnownAssociations = KnownAssociations(),
        living: (SessionID) -> SessionSnapshot? = { _ in nil }
    ) -> [LogLine] {
        if case .session(.message(let trace)) = event.kind, let session = event.session {
            traces.add(trace, session: session, connection: event.connection)
        }
        let lines = EventLines.lines(event, known: known, living: living)
        for line in lines { write(line) }
        return lines
    }

    mutating func write(_ line: LogLine) {
        let level: Logger.Level = line.level <= 0 ? .notice : line.level == 1 ? .info : .debug
        if levels.lets(level, topic: line.group.rawValue) {
            var metadata: Logger.Metadata = ["group": "\(line.group.rawValue)"]
            if !line.connection.isEmpty { metadata["connection"] = "\(line.connection)" }
            if let session = line.session { metadata["ikeSA"] = "\(session)" }
            for (name, value) in line.fields.values { metadata[name] = "\(value)" }
            logger.log(level: level, "\(line.text)", metadata: metadata)
        }
        if recent.count >= 2 * Journal.recentMaximum { recent.removeFirst(Journal.recentMaximum) }
        recent.append(line)
    }

    /// The ladder of a session (the newest one, of a connection or of all), as lines of text.
    func ladder(connection: String?, session: SessionID?) -> [String] {
        guard let trace = traces.newest(connection: connection, session: session) else { return [] }
        return Ladder.lines(trace)
    }
}

/// The messages of the newest sessions, within bounds.
private struct TraceStore {
    private static let sessionMaximum = 32
    private static let messageMaximum = 200

    private struct Trace {
        var session: SessionID
        var connection: String
        var messages: [MessageTrace]
    }

    private var kept: [Trace] = []

    mutating func add(_ message: MessageTrace, session: SessionID, connection: String) {
        let index: Int
        if let found = kept.firstIndex(where: { $0.session == session }) {
            index = found
        } else {
            if kept.count >= TraceStore.sessionMaximum { kept.removeFirst() }
            kept.append(Trace(session: session, connection: connection, messages: []))
            index = kept.count - 1
        }
        if !connection.isEmpty { kept[index].connection = connection }
        // The beginning tells more than what follows: it stays, and the middle goes.
        if kept[index].messages.count >= TraceStore.messageMaximum {
            kept[index].messages.remove(at: TraceStore.messageMaximum / 2)
        }
        kept[index].messages.append(message)
    }

    func newest(connection: String?, session: SessionID?) -> [MessageTrace]? {
        kept.last { trace in
            (connection == nil || trace.connection == connection) && (session == nil || trace.session == session)
        }?.messages
    }
}
