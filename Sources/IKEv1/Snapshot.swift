package import IPsec

extension IKEv1Session {
    package var snapshot: SessionSnapshot {
        var snapshot = SessionSnapshot(
            id: id, connection: connection?.name ?? "", version: 1, state: state, isInitiator: isInitiator,
            local: local, remote: remote)
        snapshot.localIdentity = localIdentity
        snapshot.remoteIdentity = remoteIdentity
        snapshot.localUser = extended.ownUser
        snapshot.remoteUser = extended.peerUser
        snapshot.localVirtualAddresses = configuration.addresses
        snapshot.remoteVirtualAddresses = configuration.assigned
        snapshot.initiatorSPI = initiatorCookie
        snapshot.responderSPI = responderCookie
        snapshot.suite = suite
        snapshot.isLocalBehindNAT = nat.isLocalBehindNAT
        snapshot.isRemoteBehindNAT = nat.isRemoteBehindNAT
        snapshot.established = established
        snapshot.rekeyAt = rekeyAt
        snapshot.expireAt = expireAt
        snapshot.children = children.map(snapshot(of:))
        var active: [String] = []
        if case .negotiating(let negotiation) = phase { active.append(negotiation.exchange.description.name) }
        active += transactions.filter { !$0.exchange.isFinished }.map(\.exchange.description.name)
        active += quickModes.filter { !$0.exchange.isFinished }.map(\.exchange.description.name)
        snapshot.activeExchanges = active
        snapshot.queuedExchanges = wanted.map { _ in Exchanges.quickMode.name }
        return snapshot
    }

    private var state: SessionSnapshot.State {
        switch phase {
        case .awaitingCommand: .created
        case .negotiating: .connecting
        case .established: established == nil ? .connecting : isSucceeded ? .rekeyed : .established
        case .bereft, .closed: .deleting
        }
    }

    private func snapshot(of child: Child) -> ChildSnapshot {
        let isRekeying = quickModes.contains { quickMode in
            !quickMode.exchange.isFinished && quickMode.pairs.contains { $0.replaces == child.id }
        }
        var snapshot = ChildSnapshot(
            id: child.id, name: child.name, requestID: child.requestID,
            state: child.isReplaced ? .rekeyed : isRekeying ? .rekeying : .installed, mode: child.mode,
            inboundSPI: child.inboundSPI, outboundSPI: child.outboundSPI, suite: child.suite,
            udpEncapsulation: child.isEncapsulated, installed: child.installed, rekeyAt: child.rekeyAt,
            expireAt: child.expireAt, localSelectors: child.localSelectors, remoteSelectors: child.remoteSelectors)
        snapshot.securityProtocol = child.securityProtocol
        snapshot.lane = child.lane
        return snapshot
    }
}
