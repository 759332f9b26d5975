import Certificates
import Credentials
import Cryptography
import IPsec
import Platform
import Primitives

/// Proofs by certificates that wait for somebody's word about revocation. Questions that nothing is missing for are answered at
/// once; the others when the fetches that they need are through, or their time is. Used by the control loop's thread alone.
final class RevocationService {
    private struct Waiting {
        var question: Question
        /// What has been asked for this question, answered or not.
        var asked: Set<RevocationInquiry> = []
        var outstanding: Set<RevocationInquiry> = []
        var alarm: UInt64 = 0
    }

    private var cache = RevocationCache()
    private let fetcher: RevocationFetcher
    private var waiting: [QuestionID: Waiting] = [:]
    private var underway: Set<RevocationInquiry> = []

    /// Questions that may wait at once; further ones are answered with what is known.
    private static let maximumWaiting = 256
    /// Fetches at once, those that wait for a thread included.
    private static let maximumUnderway = 64
    /// How long one question waits in all: well below a responder's half-open time and a peer's retransmissions.
    static let patience = Duration.seconds(10)

    /// - Parameter directory: where findings outlive a restart; `nil`: nowhere.
    init(inbox: Inbox, directory: String?) {
        fetcher = RevocationFetcher(inbox: inbox, directory: directory, patience: RevocationService.patience)
        let now = Clock.wallTime()
        for (inquiry, finding) in fetcher.load() { fetcher.forget(cache.put(finding, for: inquiry, now: now)) }
    }

    /// The answer, or `nil` where it comes later as an input.
    func answer(_ id: QuestionID, _ question: Question, loop: ControlLoop) -> Answer? {
        let (answer, waits) = advance(Waiting(question: question), loop)
        guard var waits, waiting.count < RevocationService.maximumWaiting else { return answer }
        waits.alarm = loop.alarm(after: question.patience) { [weak self, weak loop] in
            guard let self, let loop, let late = waiting.removeValue(forKey: id) else { return }
            for inquiry in late.outstanding { loop.note(.ike, "revocation: \(inquiry.uri) takes too long") }
            loop.feed(.answer(id, judge(late.question, asked: late.asked, loop).answer))
        }
        waiting[id] = waits
        return nil
    }

    private func judge(
        _ question: Question, asked: Set<RevocationInquiry>, _ loop: ControlLoop
    ) -> CredentialStore.Judgement {
        if case .tunnel(let request) = question {
            return loop.judge(request, fetched: cache.store, asked: asked)
        }
        return loop.keyStore.judge(question, now: Clock.wallTime(), fetched: cache.store, asked: asked)
    }

    /// Sets fetches off, those apart that failed a moment ago or that there is no room for.
    ///
    /// - Returns: those that something is to be awaited of.
    private func begin(_ inquiries: [RevocationInquiry]) -> Set<RevocationInquiry> {
        let now = Clock.wallTime()
        var begun: Set<RevocationInquiry> = []
        for inquiry in inquiries where !cache.hasFailed(inquiry, now: now) {
            if !underway.contains(inquiry) {
                guard underway.count < RevocationService.maximumUnderway else { continue }
                underway.insert(inquiry)
                fetcher.fetch(inquiry)
            }
            begun.insert(inquiry)
        }
        return begun
    }

    /// A fetch is through.
    func receive(_ result: Result<RevocationFinding, FetchFailure>, of inquiry: RevocationInquiry, loop: ControlLoop) {
        underway.remove(inquiry)
        let now = Clock.wallTime()
        switch result {
        case .success(let finding): fetcher.forget(cache.put(finding, for: inquiry, now: now))
        case .failure(let failure):
            cache.noteFailure(inquiry, now: now)
            loop.note(.ike, "revocation: \(inquiry.uri): \(failure)")
        }
        for (id, question) in waiting.sorted(by: { $0.key.value < $1.key.value })
        where question.outstanding.contains(inquiry) {
            var question = question
            question.outstanding.remove(inquiry)
            waiting[id] = question
            guard question.outstanding.isEmpty else { continue }
            let (answer, waits) = advance(question, loop)
            waiting[id] = waits
            if waits != nil { continue }
            loop.cancel(alarm: question.alarm)
            loop.feed(.answer(id, answer))
        }
    }

    /// Everything that was asked is through: judge, and ask further where that helps.
    ///
    /// - Returns: the answer as it stands, and the question with what it waits for; `nil`: the answer is final.
    private func advance(_ before: Waiting, _ loop: ControlLoop) -> (Answer, Waiting?) {
        var question = before
        while true {
            let judgement = judge(question.question, asked: question.asked, loop)
            if judgement.inquiries.isEmpty { return (judgement.answer, nil) }
            // What failed a moment ago counts as asked; behind it something else may be worth asking.
            question.asked.formUnion(judgement.inquiries)
            question.outstanding = begin(judgement.inquiries)
            if !question.outstanding.isEmpty { return (judgement.answer, question) }
        }
    }

    /// Forgets what others said, on disk as well.
    func flush() {
        cache.removeAll()
        fetcher.forgetAll()
    }
}

extension Question {
    /// How long it may wait for somebody's word: our own proof goes out without it, and the peer waits meanwhile.
    fileprivate var patience: Duration {
        if case .signMessage = self { .seconds(3) } else { RevocationService.patience }
    }
}
