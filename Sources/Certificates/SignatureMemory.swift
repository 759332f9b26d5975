import Synchronization

/// Which signers' keys a list or response was already held to, and whether its signature held: a list of many thousand entries is
/// asked about with every certificate of its issuer, and its signature is over all of them. It belongs to one parsed object and goes with
/// it, so that what it remembers is about these octets alone.
final class SignatureMemory: Sendable {
    /// What was held to whose key.
    private struct Question: Hashable {
        /// The signer's SubjectPublicKeyInfo.
        var key: [UInt8]
        /// DER of a certificate inside of the object; empty: the object itself.
        var subject: [UInt8]
    }

    private struct State {
        var answers: [Question: Bool] = [:]
        var computed = 0
    }

    /// A list has one signer. More keys than a rollover brings are held anew each time.
    static let maximum = 8

    private let state = Mutex(State())

    /// How often a signature was looked at.
    var computed: Int { state.withLock { $0.computed } }

    /// Whether a signer's key made the signature; `verify` says so where it is not known yet.
    func holds(by signer: Certificate, of subject: [UInt8] = [], _ verify: () -> Bool) -> Bool {
        let question = Question(key: signer.subjectPublicKeyInfo, subject: subject)
        if let known = state.withLock({ $0.answers[question] }) { return known }
        let answer = verify()
        state.withLock { state in
            state.computed += 1
            if state.answers.count >= SignatureMemory.maximum { state.answers = [:] }
            state.answers[question] = answer
        }
        return answer
    }
}
