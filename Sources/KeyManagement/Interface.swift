package import IPsec
package import Primitives

/// Names a request of a control client until it is answered.
package struct RequestID: Hashable, Sendable {
    package var value: UInt64
    package init(_ value: UInt64) { self.value = value }
}

/// Which SAs a command means. Every field that is set must fit; with none set, nothing fits.
package struct Target: Hashable, Sendable {
    package var connection: String?
    package var child: String?
    package var session: SessionID?
    package var childID: ChildID?

    package init(
        connection: String? = nil, child: String? = nil, session: SessionID? = nil, childID: ChildID? = nil
    ) {
        self.connection = connection
        self.child = child
        self.session = session
        self.childID = childID
    }

    /// Whether single children are meant rather than whole IKE SAs.
    package var meansChildren: Bool { child != nil || childID != nil }
    package var isEmpty: Bool { connection == nil && child == nil && session == nil && childID == nil }
}

/// What an operator asks of key management.
package enum Command: Sendable {
    /// Set a child up, on the named connection or on the only one that has it. Without `child`, every child of the
    /// connection.
    case initiate(connection: String?, child: String?)
    case terminate(Target)
    case rekey(Target)
    /// Delete IKE SAs here, and tell the peers without waiting for them to answer.
    case abandon(Target)
    /// Authenticate anew: replace the IKE SA with all its children by one that is negotiated from the start.
    case reauthenticate(Target)
    /// Tell the peers of these IKE SAs to go to another gateway (RFC 5685 §5).
    case redirect([SessionID], to: RedirectGateway)
    /// Make another IKE SA of the one that is meant, without authenticating anew (RFC 7791); move it to another address of
    /// ours, and set a child up on it, where these are given.
    case clone(Target, local: IPAddress?, child: String?)
    /// Put another set of connections in force. SAs of connections that did not change stay.
    case load(PolicyDatabase)
    /// Put one connection in force, beside the others or in the place of the one of its name. SAs stay, but those of
    /// children that are gone and that `start_action` had brought up.
    case put(Connection)
    /// Take one connection out of force. SAs stay, but those that `start_action` had brought up.
    case drop(connection: String)
    /// Watch for packets of a child that has no SA yet; without `connection`, of the only one that has the child.
    case install(connection: String?, child: String)
    /// Stop watching for packets of a child.
    case uninstall(connection: String?, child: String)
    /// Delete every SA and end.
    case shutDown
}

/// How a command ended.
package enum Response: Hashable, Sendable {
    /// All that was asked for is so. `matches` counts the SAs that were meant.
    case done(matches: Int)
    /// Nothing, or not all of it, came about.
    case failed(Failure, matches: Int)

    package enum Failure: Hashable, Sendable {
        case noSuchConfiguration(String)
        /// No policy of that child is being watched for.
        case notInstalled(child: String)
        case ambiguousChild(String, connections: [String])
        case nothingMatches
        /// Not every peer that is meant can be sent on.
        case notRedirectable
        /// The ends did not agree on cloning the IKE SA, or on its going to another address.
        case notClonable
        case notMovable
        /// The connection names no address to which a first message could go.
        case noRemoteAddress(connection: String)
        case closed(ClosureReason)
        case refused(Refusal)
        case cancelled
    }
}

/// What the data plane or the kernel noticed.
package enum TrafficNotice: Hashable, Sendable {
    /// Protected packets of the child arrived lately.
    case inbound(ChildID)
    /// The child's sequence numbers, octets or packets run out.
    case exhausted(ChildID)
    /// One of the child's SAs has carried all that it may.
    case expired(ChildID)
    /// A packet met a trap policy that has no SA.
    case acquire(connection: String, child: String)
}

/// Everything that can happen to key management.
package enum Input: Sendable {
    case datagram(Datagram)
    /// ``KeyManager/nextDeadline`` has passed.
    case deadline
    case command(Command, RequestID)
    case answer(QuestionID, Answer)
    case traffic(TrafficNotice)
    /// The machine's addresses or routes are others than before.
    case pathsChanged
}

/// What concerns no session.
package enum NodeNotice: Hashable, Sendable {
    /// A datagram of `remote` that no header of IKE begins, or another one than it says. `count`: those since the last that
    /// was told, with this one.
    case malformedHeader(remote: Endpoint, count: UInt64)
    /// A message of an IKE SA that is not here.
    case unknownSPI(remote: Endpoint, count: UInt64)
    /// No address of the connection's peer is known, or none of ours reaches it.
    case noRemoteAddress
}

/// Something that observers may want to know: what happened, and to which SA.
package struct Event: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case session(SessionEvent)
        case closed(ClosureReason)
        /// A message was dropped before any SA saw it; why, in words.
        case dropped(String)
        case noticed(NodeNotice)
    }
    package var time: Instant
    package var session: SessionID?
    /// The connection's name; empty where none is known yet.
    package var connection: String
    package var kind: Kind
    /// The name of the child that the event is about, where it is about one.
    package var child: String?
    /// The SA as it stood when this happened: after the event, or, for `closed`, before it.
    package var snapshot: SessionSnapshot?

    package init(
        time: Instant, session: SessionID?, connection: String, kind: Kind, child: String? = nil,
        snapshot: SessionSnapshot? = nil
    ) {
        self.time = time
        self.session = session
        self.connection = connection
        self.kind = kind
        self.child = child
        self.snapshot = snapshot
    }
}

/// Everything that key management wants done. Effects are in order: an SA is installed before the message that lets the
/// peer use it is sent.
package enum Effect: Sendable {
    case send(Datagram)
    case install(SecurityAssociation)
    /// Packets with this SPI may come before its SA is installed.
    case expect(SPI)
    case remove(SPI, SecurityAssociation.Direction, ChildID)
    case move(ChildID, local: Endpoint, remote: Endpoint)
    /// A virtual address is this node's from now on, or is so no more. Once each, however many SAs use it.
    case addAddress(IPAddress)
    case removeAddress(IPAddress)
    /// Put the child's ``ChildPolicy/standingAction`` into force: watch for packets of a child that has no SA yet, let
    /// them pass or discard them; or, with `isSet` false, take it back.
    case trap(connection: String, ChildPolicy, isSet: Bool)
    case ask(QuestionID, Question)
    case reply(RequestID, Response)
    case report(Event)
    /// An IKE SA has these keys from now on; only where the settings ask for it.
    case disclose(DisclosedKeys)
}
