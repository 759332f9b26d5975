package import Control
package import Explain
import IPsec
package import Primitives

/// Decision records and forecasts as vici messages, and so as JSON (Docs/json.md).
package enum DecisionMessages {
    /// A record: how long ago, where, why, and what would help.
    package static func message(_ record: DecisionRecord, now: Instant) -> ViciMessage {
        var message = ViciMessage()
        message.add("age", max(0, (now - record.time).wholeSeconds))
        message.add("connection", record.scene.connection)
        message.add("child", optional: record.scene.child)
        message.add("uniqueid", optional: record.scene.session)
        message.add("local", record.scene.local)
        message.add("remote", record.scene.remote)
        message.add("version", record.scene.version)
        message.add("initiator", flag: record.scene.isInitiator)
        message.add("summary", record.summary)
        message.add("facts", list: record.facts)
        message.add("candidates", section: candidates(record.candidates))
        message.add("remedies", section: remedies(record.remedies))
        message.add("lines", list: record.lines)
        return message
    }

    /// A forecast.
    package static func message(_ forecast: Forecast) -> ViciMessage {
        var message = ViciMessage()
        message.add("accepted", flag: forecast.isAccepted)
        message.add("remote", forecast.approach.remote)
        message.add("local", forecast.approach.local)
        message.add("version", forecast.approach.version)
        message.add("id", optional: forecast.approach.identity)
        message.add("connection", optional: forecast.chosen)
        message.add("secret", optional: forecast.secret)
        message.add("candidates", section: candidates(forecast.candidates))
        message.add("remedies", section: remedies(forecast.remedies))
        message.add("lines", list: forecast.lines)
        return message
    }

    private static func candidates(_ candidates: [Candidate]) -> ViciMessage {
        var section = ViciMessage()
        for candidate in candidates {
            var inner = ViciMessage()
            inner.add("lost-by", optional: candidate.lostBy)
            if candidate.lostBy != nil {
                inner.add("wanted", candidate.wanted)
                inner.add("seen", candidate.seen)
            }
            section.add(candidate.connection, section: inner)
        }
        return section
    }

    static func remedies(_ remedies: [Remedy]) -> ViciMessage {
        var section = ViciMessage()
        for (index, remedy) in remedies.enumerated() {
            var inner: ViciMessage = ["side": remedy.side.rawValue, "key": remedy.key]
            inner.add("current", optional: remedy.current)
            inner.add("wanted", optional: remedy.wanted)
            section.add("\(index + 1)", section: inner)
        }
        return section
    }
}
