import IPsec

/// A command that waits for SAs to come or go before it is answered.
struct PendingRequest: Sendable {
    var id: RequestID
    var matches: Int
    /// Children that must come up, with the session that tries.
    var rising: [ChildKey: SessionID] = [:]
    /// Children and sessions that must go.
    var falling: Set<ChildID> = []
    var closing: Set<SessionID> = []
    var failure: Response.Failure?

    init(id: RequestID, matches: Int) {
        self.id = id
        self.matches = matches
    }

    var isSettled: Bool { rising.isEmpty && falling.isEmpty && closing.isEmpty }
    var response: Response { failure.map { .failed($0, matches: matches) } ?? .done(matches: matches) }
}

/// All waiting commands, with what each event means to them.
struct PendingRequests: Sendable {
    private var waiting: [PendingRequest] = []

    var isEmpty: Bool { waiting.isEmpty }

    mutating func add(_ request: PendingRequest) { waiting.append(request) }

    /// The request waits for one more child, which `session` is to set up.
    mutating func expect(_ key: ChildKey, of session: SessionID, _ request: RequestID) {
        for index in waiting.indices where waiting[index].id == request { waiting[index].rising[key] = session }
    }

    /// One of the request's children cannot even be tried.
    mutating func fail(_ request: RequestID, _ failure: Response.Failure) {
        for index in waiting.indices where waiting[index].id == request {
            waiting[index].failure = failure
            waiting[index].matches -= 1
        }
    }

    mutating func childIsUp(_ key: ChildKey) {
        for index in waiting.indices { waiting[index].rising[key] = nil }
    }

    mutating func childIsGone(_ child: ChildID) {
        for index in waiting.indices { waiting[index].falling.remove(child) }
    }

    mutating func childWasRefused(_ key: ChildKey, _ refusal: Refusal) {
        for index in waiting.indices where waiting[index].rising.removeValue(forKey: key) != nil {
            waiting[index].failure = .refused(refusal)
        }
    }

    mutating func sessionClosed(_ session: SessionID, _ reason: ClosureReason) {
        for index in waiting.indices {
            waiting[index].closing.remove(session)
            for key in waiting[index].rising.filter({ $0.value == session }).keys {
                waiting[index].rising[key] = nil
                waiting[index].failure = .closed(reason)
            }
        }
    }

    /// Children that `session` was to set up are now up to `successor`.
    mutating func hand(_ session: SessionID, to successor: SessionID) {
        for index in waiting.indices {
            for key in waiting[index].rising.filter({ $0.value == session }).keys {
                waiting[index].rising[key] = successor
            }
        }
    }

    /// Takes out the requests that have nothing to wait for any more.
    mutating func takeSettled() -> [PendingRequest] {
        guard waiting.contains(where: \.isSettled) else { return [] }
        defer { waiting.removeAll(where: \.isSettled) }
        return waiting.filter(\.isSettled)
    }
}
