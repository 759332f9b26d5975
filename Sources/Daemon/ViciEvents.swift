import Control
import IPsec
import KeyManagement
import Primitives

/// What happens to SAs, as vici's events tell it.
enum ViciEvents {
    /// The events that an event of key management stands for.
    static func messages(_ event: Event, loop: ControlLoop) -> [(name: String, message: ViciMessage)] {
        var messages: [(String, ViciMessage)] = []
        for alert in Alerts.types(of: event) { messages.append(("alert", Alerts.message(alert, event, loop))) }
        if case .session(.message(let trace)) = event.kind, loop.hasListener("ike-message"),
            let opened = OpenedMessages.message(event, trace)
        {
            messages.append(("ike-message", opened))
        }
        guard let snapshot = event.snapshot else { return messages }
        switch event.kind {
        case .session(.established): messages.append(("ike-updown", upDown(snapshot, child: nil, isUp: true, loop)))
        case .closed where loop.known.session(snapshot.id) != nil:
            messages.append(("ike-updown", upDown(snapshot, child: nil, isUp: false, loop)))
        case .session(.childEstablished(let child)):
            messages.append(("child-updown", upDown(snapshot, child: child, isUp: true, loop)))
        case .session(.childClosed(let child)):
            messages.append(("child-updown", upDown(snapshot, child: child, isUp: false, loop)))
        case .session(.rekeyedIKE):
            if let old = loop.known.session(snapshot.id) {
                messages.append(("ike-rekey", rekeyed(old, snapshot, loop)))
            }
        case .session(.childRekeyed(let old, let new)):
            messages.append(("child-rekey", rekeyed(old, new, snapshot, loop)))
        case .session, .closed, .dropped, .noticed: break
        }
        return messages
    }

    private static func upDown(
        _ snapshot: SessionSnapshot, child: ChildID?, isUp: Bool, _ loop: ControlLoop
    ) -> ViciMessage {
        var message = ViciMessage()
        if isUp { message.add("up", flag: true) }
        var snapshot = snapshot
        // An SA that ends has forgotten what it was keyed with.
        if !isUp, snapshot.suite == nil { snapshot.suite = loop.known.session(snapshot.id)?.suite }
        if let child {
            if !snapshot.children.contains(where: { $0.id == child }), let gone = loop.known.child(child) {
                snapshot.children.append(gone)
            }
            snapshot.children = snapshot.children.filter { $0.id == child }
            message.entries += loop.message(of: snapshot).entries
        } else {
            message.entries += withoutChildren(snapshot, loop).entries
        }
        return message
    }

    /// `name { … }` without `child-sas`.
    static func withoutChildren(_ snapshot: SessionSnapshot, _ loop: ControlLoop) -> ViciMessage {
        var message = ViciMessage()
        for (name, section) in loop.message(of: snapshot).sections {
            message.add(name, section: ViciMessage(section.entries.filter { $0.name != "child-sas" }))
        }
        return message
    }

    /// `ike-update`: the new addresses, and the IKE SA with the ones that it had.
    static func update(
        _ before: SessionSnapshot, local: Endpoint, remote: Endpoint, _ loop: ControlLoop
    ) -> ViciMessage {
        var message = ViciMessage()
        message.add("local-host", "\(local.address)")
        message.add("local-port", local.port)
        message.add("remote-host", "\(remote.address)")
        message.add("remote-port", remote.port)
        message.entries += withoutChildren(before, loop).entries
        return message
    }

    private static func rekeyed(_ old: SessionSnapshot, _ new: SessionSnapshot, _ loop: ControlLoop) -> ViciMessage {
        var pair = ViciMessage()
        for (label, snapshot) in [("old", old), ("new", new)] {
            guard let section = withoutChildren(snapshot, loop).sections.first else { continue }
            pair.add(label, section: section.message)
        }
        var message = ViciMessage()
        message.add(new.connection, section: pair)
        return message
    }

    private static func rekeyed(
        _ old: ChildID, _ new: ChildID, _ snapshot: SessionSnapshot, _ loop: ControlLoop
    ) -> ViciMessage {
        func section(_ id: ChildID, _ child: ChildSnapshot?) -> ViciMessage? {
            guard let child else { return nil }
            var session = snapshot
            session.children = [child]
            return loop.message(of: session).sections.first?.message.section("child-sas")?.sections.first?.message
        }
        let newer = snapshot.children.first { $0.id == new }
        let older = snapshot.children.first { $0.id == old } ?? loop.known.child(old)
        var pair = ViciMessage()
        if let before = section(old, older) { pair.add("old", section: before) }
        if let after = section(new, newer) { pair.add("new", section: after) }
        var children = ViciMessage()
        children.add(newer?.name ?? older?.name ?? "", section: pair)
        var message = ViciMessage()
        for (name, var body) in withoutChildren(snapshot, loop).sections {
            body.add("child-sas", section: children)
            message.add(name, section: body)
        }
        return message
    }
}

/// SAs as they were when they last came up or were replaced.
struct KnownAssociations {
    private var sessions: [SessionID: SessionSnapshot] = [:]
    private var children: [ChildID: ChildSnapshot] = [:]
    /// The IKE SA of each child.
    private var homes: [ChildID: SessionID] = [:]

    func session(_ id: SessionID) -> SessionSnapshot? { sessions[id] }
    func child(_ id: ChildID) -> ChildSnapshot? { children[id] }

    /// To be told that a child's packets go between other addresses. Gives the IKE SA as it was if that is news: its
    /// children move one by one.
    mutating func move(_ child: ChildID, local: Endpoint, remote: Endpoint) -> SessionSnapshot? {
        guard let home = homes[child], let before = sessions[home], before.local != local || before.remote != remote
        else { return nil }
        sessions[home]?.local = local
        sessions[home]?.remote = remote
        return before
    }

    /// To be told of an event after it was passed on.
    mutating func record(_ event: Event) {
        guard let snapshot = event.snapshot else { return }
        switch event.kind {
        case .session(.established), .session(.rekeyedIKE):
            sessions[snapshot.id] = snapshot
            for child in snapshot.children { homes[child.id] = snapshot.id }
        case .session(.childEstablished(let id)):
            homes[id] = snapshot.id
            children[id] = snapshot.children.first { $0.id == id }
        case .session(.childRekeyed(let old, let new)):
            children[old] = nil
            homes[new] = snapshot.id
            children[new] = snapshot.children.first { $0.id == new }
        case .session(.childClosed(let id)):
            children[id] = nil
            homes[id] = nil
        case .closed:
            sessions[snapshot.id] = nil
            for child in homes.filter({ $0.value == snapshot.id }).keys {
                children[child] = nil
                homes[child] = nil
            }
        case .session, .dropped, .noticed: break
        }
    }
}
