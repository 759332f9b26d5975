import Explain
import IPsec
import KeyManagement

/// Events in words. The group of a line says whether it is about an IKE SA or a child; the text names which.
enum EventLines {
    /// The lines of an event, with its SAs as fields.
    static func lines(
        _ event: Event, known: KnownAssociations = KnownAssociations(),
        living: (SessionID) -> SessionSnapshot? = { _ in nil }
    ) -> [LogLine] {
        var lines = plainLines(event)
        if lines.isEmpty { return [] }
        let fields = LogFields(event, known: known, living: living)
        for index in lines.indices { lines[index].fields = fields }
        return lines
    }

    private static func plainLines(_ event: Event) -> [LogLine] {
        switch event.kind {
        case .session(let happening): sessionLines(happening, event)
        case .closed(let reason):
            [line(.ike, 0, event, "\(name(event)) closed: \(text(reason))")] + details(reason, event)
        case .dropped(let why): [line(.network, 1, event, "dropped a first message from \(why)")]
        case .noticed(.malformedHeader(let remote, let count)):
            [line(.network, 1, event, "no IKE header begins a datagram from \(remote)\(others(count))")]
        case .noticed(.unknownSPI(let remote, let count)):
            [line(.network, 1, event, "a message from \(remote) is of no IKE SA here\(others(count))")]
        case .noticed(.noRemoteAddress):
            [line(.ike, 1, event, "no address of the peer of \(event.connection) is known that ours reach")]
        }
    }

    private static func sessionLines(_ happening: SessionEvent, _ event: Event) -> [LogLine] {
        switch happening {
        case .message: []
        case .established:
            [line(.ike, 0, event, "\(name(event)) established \(ends(event))")]
        case .initialContact: [line(.ike, 1, event, "the peer of \(name(event)) began anew")]
        case .configured(let local, let remote, _):
            local.map { line(.ike, 0, event, "\(name(event)) has the virtual address \($0)") }
                + remote.map { line(.ike, 0, event, "\(name(event)) gave the peer the virtual address \($0)") }
        case .rekeyedIKE: [line(.ike, 0, event, "\(name(event)) rekeyed")]
        case .childEstablished(let child):
            [line(.child, 0, event, "\(childName(child, event)) established\(childDetail(child, event))")]
        case .childRekeyed(let old, let new):
            [
                line(
                    .child, 0, event,
                    "\(childName(new, event)) replaces {\(old)}\(childDetail(new, event))")
            ]
        case .pathMeasured(let octets):
            [line(.ike, 1, event, "packets of \(octets) octets reach the peer of \(name(event))")]
        case .childClosed(let child): [line(.child, 0, event, "\(childName(child, event)) closed")]
        case .refused(let child, let refusal):
            ([(child.map { "\($0) of \(name(event))" } ?? name(event)) + " refused: \(RefusalText.explain(refusal))"]
                + RefusalText.lines(refusal).map { "  " + $0 })
                .map { line(.ike, 0, event, $0) }
        case .retransmitting(let messageID, let attempt):
            [line(.ike, 1, event, "retransmission \(attempt) of request \(messageID) of \(name(event))")]
        case .noticed(let notice): [line(.ike, 1, event, "\(name(event)): \(text(notice))")]
        case .note(let text): [line(.ike, 1, event, "\(name(event)): \(text)")]
        }
    }

    private static func others(_ count: UInt64) -> String { count > 1 ? ", and of \(count - 1) before it" : "" }

    private static func text(_ notice: SessionNotice) -> String {
        switch notice {
        case .repeatedRequest(let messageID): "the peer sent request \(messageID) again"
        case .answeredLate(let messageID, let retransmissions):
            "request \(messageID) was answered after \(retransmissions) retransmissions"
        case .selectorsNarrowed(let child): "{\(child)} has a part of the selectors that were offered"
        case .keptWithoutChild: "the IKE SA stands without the child"
        case .olderKept: "the peer has another IKE SA, which stays (unique = keep)"
        case .olderReplaced(let older): "takes the place of [\(older)] (unique = replace)"
        }
    }

    private static func line(_ group: LogLine.Group, _ level: Int, _ event: Event, _ text: String) -> LogLine {
        LogLine(group: group, level: level, connection: event.connection, session: event.session, text: text)
    }

    private static func name(_ event: Event) -> String {
        let name = event.connection.isEmpty ? "(unnamed)" : event.connection
        return event.session.map { "\(name)[\($0)]" } ?? name
    }

    private static func ends(_ event: Event) -> String {
        guard let snapshot = event.snapshot else { return "" }
        func end(_ identity: Identity?, _ endpoint: String) -> String {
            "\(endpoint)[\(identity.map { "\($0)" } ?? "?")]"
        }
        return "between \(end(snapshot.localIdentity, "\(snapshot.local)")) and "
            + "\(end(snapshot.remoteIdentity, "\(snapshot.remote)"))"
            + (snapshot.remoteUser.map { " for user '\($0)'" } ?? "")
    }

    private static func childName(_ child: ChildID, _ event: Event) -> String {
        "\(event.child ?? "")\u{7B}\(child)\u{7D}"
    }

    private static func childDetail(_ id: ChildID, _ event: Event) -> String {
        guard let child = event.snapshot?.children.first(where: { $0.id == id }) else { return "" }
        let local = child.localSelectors.map(\.description).joined(separator: " ")
        let remote = child.remoteSelectors.map(\.description).joined(separator: " ")
        return " with SPIs \(child.inboundSPI)_i \(child.outboundSPI)_o and selectors \(local) === \(remote)"
    }

    private static func details(_ reason: ClosureReason, _ event: Event) -> [LogLine] {
        guard case .refused(let refusal) = reason else { return [] }
        return RefusalText.lines(refusal).map { line(.ike, 0, event, "  " + $0) }
    }

    static func text(_ reason: ClosureReason) -> String {
        switch reason {
        case .deletedByUs: "deleted here"
        case .deletedByPeer: "deleted by the peer"
        case .peerUnresponsive: "the peer did not answer"
        case .refused(let refusal): RefusalText.explain(refusal)
        case .expired: "its lifetime is over"
        case .replaced: "replaced"
        }
    }

    /// Why a command failed, in one line and those that follow.
    static func text(_ failure: Response.Failure) -> String {
        switch failure {
        case .noSuchConfiguration(let name): "no configuration is named '\(name)'"
        case .ambiguousChild(let child, let connections):
            "child '\(child)' exists in \(connections.joined(separator: ", ")): say which with --ike"
        case .notInstalled(let child): "policy '\(child)' is not installed"
        case .nothingMatches: "no SA matches"
        case .notRedirectable: "the peer does not take redirects"
        case .notClonable: "the ends did not agree on cloning the IKE SA: both need 'clones'"
        case .notMovable: "the IKE SA cannot go to that address: its initiator can, with MOBIKE, within a family"
        case .noRemoteAddress(let connection): "connection '\(connection)' has no address to go to"
        case .closed(let reason): text(reason)
        case .refused(let refusal):
            ([RefusalText.explain(refusal)] + RefusalText.lines(refusal).map { "  " + $0 }).joined(separator: "\n")
        case .cancelled: "cancelled"
        }
    }
}
