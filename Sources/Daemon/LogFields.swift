import IPsec
import ISAKMP
import KeyManagement

/// What a log line is about, as fields beside its text: the same names in text and in JSON.
///
/// `connection` and `ikeSA` (the IKE SA's number) stand beside these: `peer`, `initiatorSPI` and `responderSPI` of the IKE SA;
/// `child`, `childSA` (its number), `spiIn` and `spiOut` of a child; `oldChildSA` of one that was replaced; `childSAs` of an
/// IKE SA that went with its children.
struct LogFields: Hashable, Sendable {
    private(set) var values: [String: String] = [:]

    init() {}

    /// Of an event; `living` tells of the IKE SA where the event has no snapshot, `known` of SAs that are gone already.
    init(_ event: Event, known: KnownAssociations, living: (SessionID) -> SessionSnapshot?) {
        let session = event.snapshot ?? event.session.flatMap { living($0) ?? known.session($0) }
        if let session { add(session, spis: event.session.flatMap { known.session($0) }) }
        values["child"] = event.child
        guard case .session(let happening) = event.kind else {
            if case .closed = event.kind, let children = session?.children, !children.isEmpty {
                values["childSAs"] = children.map { "\($0.id)" }.joined(separator: " ")
            }
            return
        }
        switch happening {
        case .childEstablished(let id), .childClosed(let id): add(id, session, known)
        case .childRekeyed(let old, let new):
            add(new, session, known)
            values["oldChildSA"] = "\(old)"
        case .message, .established, .initialContact, .configured, .rekeyedIKE, .refused, .retransmitting,
            .pathMeasured, .noticed, .note:
            break
        }
    }

    /// Of an IKE SA, and of one of its children.
    init(_ session: SessionSnapshot, child: ChildSnapshot? = nil) {
        add(session)
        if let child { add(child) }
    }

    /// - Parameter spis: the IKE SA as it was; one that is over has no SPIs any more.
    private mutating func add(_ session: SessionSnapshot, spis before: SessionSnapshot? = nil) {
        values["peer"] = "\(session.remote)"
        let spis = session.initiatorSPI != 0 ? session : before
        guard let spis, spis.initiatorSPI != 0 else { return }
        values["initiatorSPI"] = "\(Cookie(spis.initiatorSPI))"
        // A first message has no answer yet.
        if spis.responderSPI != 0 { values["responderSPI"] = "\(Cookie(spis.responderSPI))" }
    }

    private mutating func add(_ id: ChildID, _ session: SessionSnapshot?, _ known: KnownAssociations) {
        values["childSA"] = "\(id)"
        if let child = session?.children.first(where: { $0.id == id }) ?? known.child(id) { add(child) }
    }

    private mutating func add(_ child: ChildSnapshot) {
        values["child"] = child.name
        values["childSA"] = "\(child.id)"
        values["spiIn"] = "\(child.inboundSPI)"
        values["spiOut"] = "\(child.outboundSPI)"
    }
}
