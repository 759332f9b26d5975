import IPsec
import Primitives

/// A pair of IPsec SAs.
struct Child: Hashable, Sendable {
    let id: ChildID
    let name: String
    let requestID: UInt32
    let securityProtocol: SecurityProtocol
    let mode: SecurityMode
    let inboundSPI: SPI
    let outboundSPI: SPI
    let suite: Suite
    let isEncapsulated: Bool
    let installed: Instant
    var rekeyAt: Instant?
    var expireAt: Instant?
    let localSelectors: [TrafficSelector]
    let remoteSelectors: [TrafficSelector]
    /// Which of a policy's parallel pairs it is, from 0.
    var lane = 0
    /// A newer SA carries the traffic.
    var isReplaced = false
}

extension IKEv1Session {
    /// How long a replaced SA stays for what is under way.
    static let overlap = Duration.seconds(5)

    /// All SAs of a Quick Mode are installed, or about to be.
    mutating func finish(_ quickMode: QuickMode, _ context: inout Context) {
        for lane in quickMode.pairs.indices { finish(quickMode, lane, &context) }
        context.set(.linger(spi: ownCookie), after: IKEv1Session.lingerTime(context.settings))
    }

    private mutating func finish(_ quickMode: QuickMode, _ lane: Int, _ context: inout Context) {
        let pair = quickMode.pairs[lane]
        guard let suite = pair.suite, let outboundSPI = pair.outboundSPI else { return }
        // The peer's own limit counts where it is shorter.
        let seconds = Duration.seconds(Int(pair.life.seconds))
        let life =
            quickMode.policy.lifeTime == .zero || pair.life.seconds > 0 && seconds < quickMode.policy.lifeTime
            ? seconds : quickMode.policy.lifeTime
        var rekey = context.jittered(quickMode.policy.rekeyTime, by: quickMode.policy.randomTime)
        if let wanted = rekey, life > .zero, wanted >= life { rekey = life * 0.9 }
        let child = Child(
            id: pair.child, name: quickMode.policy.name, requestID: quickMode.requestID,
            securityProtocol: pair.securityProtocol, mode: quickMode.policy.mode, inboundSPI: pair.inboundSPI,
            outboundSPI: outboundSPI, suite: suite,
            isEncapsulated: nat.isEncapsulating, installed: context.now, rekeyAt: rekey.map { context.now + $0 },
            expireAt: life > .zero ? context.now + life : nil, localSelectors: quickMode.localSelectors,
            remoteSelectors: quickMode.remoteSelectors, lane: lane)
        setTimers(of: child, &context)
        let old = retire(twinsOf: child, deleting: pair.replaces, &context)
        children.append(child)
        if let old {
            context.report(.childRekeyed(old: old, new: child.id))
        } else {
            context.report(.childEstablished(child.id))
        }
    }

    private func setTimers(of child: Child, _ context: inout Context) {
        if let moment = child.rekeyAt { context.emit(.setTimer(.rekeyChild(child.id), at: moment)) }
        if let moment = child.expireAt { context.emit(.setTimer(.expireChild(child.id), at: moment)) }
    }

    /// Older SAs with the same selectors need no replacement any more. The one that was rekeyed by us goes soon; those
    /// that the peer rekeyed go when it says so, or with their lifetime.
    private mutating func retire(
        twinsOf new: Child, deleting replaced: ChildID?, _ context: inout Context
    ) -> ChildID? {
        var newest: ChildID?
        for index in children.indices
        where children[index].name == new.name && children[index].localSelectors == new.localSelectors
            && children[index].remoteSelectors == new.remoteSelectors && children[index].lane == new.lane
        {
            if !children[index].isReplaced { newest = children[index].id }
            children[index].isReplaced = true
            children[index].rekeyAt = nil
            context.cancel(.rekeyChild(children[index].id))
            if children[index].id == replaced {
                children[index].expireAt = context.now + IKEv1Session.overlap
                context.set(.expireChild(children[index].id), after: IKEv1Session.overlap)
            }
        }
        return replaced ?? newest
    }

    /// The child in use that stands beside another in a lane of the same policy; `nil` where there is none.
    func child(inLaneOf id: ChildID, _ lane: Int) -> ChildID? {
        guard let own = children.first(where: { $0.id == id }) else { return nil }
        return children.last { child in
            child.name == own.name && child.lane == lane && !child.isReplaced
                && child.localSelectors == own.localSelectors && child.remoteSelectors == own.remoteSelectors
        }?.id
    }

    /// Replaces a child by a new Quick Mode, with those that stand beside it.
    mutating func rekey(_ id: ChildID, _ context: inout Context) throws(Fault) {
        guard let index = children.firstIndex(where: { $0.id == id }), !children[index].isReplaced else { return }
        children[index].rekeyAt = nil
        switch phase {
        case .established:
            try startQuickMode(WantedChild(name: children[index].name, replaces: id), &context)
        case .bereft:
            // The successor adopts the child and rekeys it at once.
            children[index].rekeyAt = context.now
            context.emit(.renew)
        case .awaitingCommand, .negotiating, .closed: break
        }
    }

    /// A child's time is over, or it was replaced a while ago.
    mutating func expireChild(_ id: ChildID, _ context: inout Context) {
        guard let child = children.first(where: { $0.id == id }) else { return }
        if !child.isReplaced { context.note("CHILD SA \(child.name) {\(id)} reached the end of its lifetime") }
        deleteChild(id, &context)
    }

    /// Deletes a child here and at the peer.
    mutating func deleteChild(_ id: ChildID, _ context: inout Context) {
        guard let child = children.first(where: { $0.id == id }) else { return }
        if let phaseOne {
            for each in IKEv1Session.protocols(child.securityProtocol, child.suite) {
                sayDeleted([child.inboundSPI], each, phaseOne, &context)
            }
        }
        remove(child, &context)
    }

    /// The peer deleted the SA that it receives on.
    mutating func forgetChild(outbound spi: SPI, _ context: inout Context) {
        guard let child = children.first(where: { $0.outboundSPI == spi }) else { return }
        remove(child, &context)
    }

    private mutating func remove(_ child: Child, _ context: inout Context) {
        children.removeAll { $0.id == child.id }
        forgetOutbound(of: child.id, &context)
        if !child.isReplaced { reinstate(twinOf: child, &context) }
        let isCarried = children.contains { $0.name == child.name && !$0.isReplaced }
        // The end of a replaced child is no news, unless what replaced it went first.
        take(child, away: child.isReplaced && isCarried ? nil : .childClosed(child.id), &context)
        if case .bereft = phase, children.isEmpty { close(.deletedByPeer, &context) }
    }

    /// A child went and the one that it had replaced is still there, and not about to go: that one carries the traffic
    /// again.
    private mutating func reinstate(twinOf gone: Child, _ context: inout Context) {
        let soon = context.now + IKEv1Session.overlap
        let index = children.lastIndex { twin in
            twin.isReplaced && twin.name == gone.name && twin.lane == gone.lane
                && twin.localSelectors == gone.localSelectors
                && twin.remoteSelectors == gone.remoteSelectors && twin.expireAt.map { $0 > soon } ?? true
        }
        guard let index else { return }
        children[index].isReplaced = false
        context.note("CHILD SA \(gone.name) {\(children[index].id)} is in use again")
    }

    /// Takes a child's SAs and timers away.
    func take(_ child: Child, away event: SessionEvent?, _ context: inout Context) {
        context.emit(.remove(child.outboundSPI, .outbound, child.id))
        context.emit(.remove(child.inboundSPI, .inbound, child.id))
        context.cancel(.rekeyChild(child.id))
        context.cancel(.expireChild(child.id))
        if let event { context.report(event) }
    }

    // MARK: Between sessions

    /// A sibling has taken the children over.
    mutating func disown(_ context: inout Context) {
        releaseOutbound(where: { _ in true }, &context)
        for child in children {
            context.cancel(.rekeyChild(child.id))
            context.cancel(.expireChild(child.id))
        }
        children = []
        rekeyAt = nil
        isSucceeded = true
        context.cancel(.rekeyIKE)
        if case .bereft = phase {
            close(.replaced, &context)
        } else {
            // Nothing is left to do here. The peer, too, has taken its children over by then: deleting an ISAKMP SA
            // ends those that some implementations still hold with it.
            expireAt = context.now + IKEv1Session.disownedTime
            context.set(.expireIKE, after: IKEv1Session.disownedTime)
        }
    }

    /// How long an ISAKMP SA stays whose children another one has.
    static let disownedTime = Duration.seconds(10)

    /// Children of an older session between the same identities are ours now.
    mutating func adopt(_ snapshots: [ChildSnapshot], _ context: inout Context) {
        for snapshot in snapshots where !children.contains(where: { $0.id == snapshot.id }) {
            var child = Child(
                id: snapshot.id, name: snapshot.name, requestID: snapshot.requestID,
                securityProtocol: snapshot.securityProtocol, mode: snapshot.mode,
                inboundSPI: snapshot.inboundSPI, outboundSPI: snapshot.outboundSPI, suite: snapshot.suite,
                isEncapsulated: snapshot.udpEncapsulation, installed: snapshot.installed,
                rekeyAt: snapshot.rekeyAt, expireAt: snapshot.expireAt, localSelectors: snapshot.localSelectors,
                remoteSelectors: snapshot.remoteSelectors, lane: snapshot.lane,
                isReplaced: snapshot.state == .rekeyed)
            // Its replacement was under way where it came from, and perhaps comes to nothing now.
            if child.rekeyAt == nil, !child.isReplaced, child.expireAt != nil,
                connectionPolicy(child.name)?.rekeyTime ?? .zero > .zero
            {
                child.rekeyAt = context.now + IKEv1Session.disownedTime
            }
            children.append(child)
            setTimers(of: child, &context)
            // The successor may stand between other ports.
            context.emit(.move(child.id, local: local, remote: remote))
        }
    }
}
