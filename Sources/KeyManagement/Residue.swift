extension KeyManager {
    /// What is still held, in words, for checks that nothing is left behind: sessions, SPIs, children, questions,
    /// waiting requests. Timers of sessions that are gone do not count; they fire into nothing.
    package var residue: [String] {
        var left: [String] = sessions.keys.map { "session \($0)" }
        left += bySPI.keys.map { "SPI \(String($0, radix: 16))" }
        left += byInitial.keys.map { "first message from \($0.remote)" }
        left += byChild.keys.map { "child \($0)" }
        left += byConnection.keys.map { "connection \($0)" }
        left += held.keys.map { "outbound SA of child \($0) held" }
        left += questions.keys.map { "question \($0.value)" }
        left += environment.spisInUse.map { "inbound SPI \($0)" }
        left += addressHolders.keys.map { "virtual address \($0)" }
        if !environment.leases.isEmpty { left.append("leases") }
        if admission.halfOpen != 0 { left.append("\(admission.halfOpen) half-open counted") }
        if !pending.isEmpty { left.append("waiting requests") }
        return left.sorted()
    }
}
