package import IPsec
import Primitives

extension IKESession {
    /// The session as `list-sas` shows it; keys are not part of it.
    package var snapshot: SessionSnapshot {
        var snapshot = SessionSnapshot(
            id: id, connection: connection?.name ?? "", version: 2, state: snapshotState, isInitiator: isInitiator,
            local: local, remote: remote)
        snapshot.localIdentity = localIdentity
        if case .established(let peer) = phase { snapshot.remoteIdentity = peer.identity }
        if let current {
            snapshot.initiatorSPI = current.initiatorSPI
            snapshot.responderSPI = current.responderSPI
            if current.suite.prf != nil { snapshot.suite = current.suite }
            snapshot.activeExchanges = current.pending.map(\.exchange.name)
        }
        snapshot.localUser = localUser
        snapshot.remoteUser = remoteUser
        snapshot.localVirtualAddresses = virtual.own
        snapshot.remoteVirtualAddresses = virtual.assigned
        snapshot.isLocalBehindNAT = isLocalBehindNAT
        snapshot.isRemoteBehindNAT = isRemoteBehindNAT
        snapshot.established = established
        snapshot.takesRedirects = !isInitiator && redirection.isTakenByPeer
        snapshot.hasPostquantumKey = hasPostquantumKey
        snapshot.clonedFrom = origin == id ? nil : origin
        snapshot.takesClones = isEstablished && takesClones
        snapshot.movesItself = isEstablished && isInitiator && mobility.isSupported
        snapshot.rekeyAt = rekeyAt
        snapshot.reauthenticateAt = reauthenticateAt
        snapshot.expireAt = expireAt
        snapshot.children = children.map(\.snapshot)
        snapshot.queuedExchanges = planned.map(\.name)
        return snapshot
    }

    /// Those of SAs that were replaced or deleted too, while messages of theirs may still come.
    package func disclosedKeys(_ settings: EngineSettings) -> [DisclosedKeys] {
        guard settings.disclosesKeys else { return [] }
        // One without PRF is only asked for, and has no keys yet.
        return associations.filter { $0.suite.prf != nil }.map(\.disclosed)
    }

    private var snapshotState: SessionSnapshot.State {
        switch phase {
        case .awaitingCommand, .awaitingFirstMessage: return .created
        case .closed: return .deleting
        case .established:
            for pending in current?.pending ?? [] {
                switch pending.exchange {
                case .rekeyIKE: return .rekeying
                case .deleteIKE, .farewell: return .deleting
                case .initial, .intermediate, .authentication, .child, .cloneIKE, .deleteChild, .liveness,
                    .updateAddresses, .checkRoutability, .redirect, .probe:
                    continue
                }
            }
            return .established
        default: return .connecting
        }
    }
}

extension Child {
    fileprivate var snapshot: ChildSnapshot {
        let shown: ChildSnapshot.State
        switch state {
        case .installed: shown = .installed
        case .rekeying: shown = .rekeying
        case .rekeyed: shown = .rekeyed
        case .deleting, .lingering: shown = .deleting
        }
        var snapshot = ChildSnapshot(
            id: id, name: policy, requestID: requestID, state: shown, mode: mode, inboundSPI: inboundSPI,
            outboundSPI: outboundSPI, suite: suite, udpEncapsulation: udpEncapsulation, installed: installed,
            rekeyAt: rekeyAt, expireAt: expireAt, localSelectors: localSelectors, remoteSelectors: remoteSelectors)
        snapshot.securityProtocol = securityProtocol
        snapshot.sharesPayloads = aggregation != nil
        snapshot.resource = resource
        return snapshot
    }
}
