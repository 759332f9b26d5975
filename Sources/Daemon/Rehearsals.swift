import Explain
import IPsec
import KeyManagement

/// Rekeyings that somebody asked for to learn whether they work, until it is known how each ends.
struct Rehearsals {
    /// One child's rekeying.
    struct Part {
        /// How it ended.
        enum Outcome {
            case agreed(new: ChildID, Suite)
            case refused(Refusal, DecisionRecord?)
            /// The child or its IKE SA went before there was an answer.
            case ended
        }
        let connection: String
        let session: SessionID
        /// 1 or 2.
        let version: UInt8
        /// The child as it was before.
        let child: ChildSnapshot
        /// `nil`: not known yet.
        var outcome: Outcome?
    }

    private struct Run {
        var parts: [Part]
        let done: ([Part]) -> Void
    }

    private var runs: [UInt64: Run] = [:]
    private var last: UInt64 = 0
    /// Rehearsals under way at once; more are refused.
    private static let maximum = 64

    var hasRoom: Bool { runs.count < Rehearsals.maximum }

    /// Waits for the outcomes of these rekeyings, which are to be asked for after this; `done` is called once.
    mutating func begin(_ parts: [Part], done: @escaping ([Part]) -> Void) -> UInt64 {
        last += 1
        runs[last] = Run(parts: parts, done: done)
        return last
    }

    /// Ends a rehearsal with what is known of it: what is to be called now, since it may begin another one.
    mutating func end(_ number: UInt64) -> (() -> Void)? {
        guard let run = runs.removeValue(forKey: number) else { return nil }
        return { run.done(run.parts) }
    }

    /// To be told of every event, with the newest decision record; what is to be called for rehearsals that are over.
    mutating func record(_ event: Event, newest: DecisionRecord?) -> [() -> Void] {
        guard !runs.isEmpty, let session = event.session else { return [] }
        var finished: [() -> Void] = []
        for number in runs.keys.sorted() {
            guard var run = runs[number] else { continue }
            for index in run.parts.indices
            where run.parts[index].session == session && run.parts[index].outcome == nil {
                guard let outcome = Rehearsals.outcome(of: run.parts[index], event, newest) else { continue }
                run.parts[index].outcome = outcome
                // A refusal names the child's configuration alone: it is that of the first one asked.
                if case .refused = outcome { break }
            }
            runs[number] = run
            if run.parts.allSatisfy({ $0.outcome != nil }), let done = end(number) { finished.append(done) }
        }
        return finished
    }

    private static func outcome(of part: Part, _ event: Event, _ newest: DecisionRecord?) -> Part.Outcome? {
        switch event.kind {
        case .session(.childRekeyed(let old, let new)) where old == part.child.id:
            let suite = event.snapshot?.children.first { $0.id == new }?.suite
            return suite.map { .agreed(new: new, $0) } ?? .ended
        case .session(.refused(child: part.child.name, let refusal)):
            // The same refusal said again has one record.
            let isItsRecord = newest?.scene.session == event.session && newest?.refusal == refusal
            return .refused(refusal, isItsRecord ? newest : nil)
        case .session(.childClosed(part.child.id)), .closed: return .ended
        case .session, .dropped, .noticed: return nil
        }
    }
}
