package import Control
package import IPsec
import ISAKMP
package import Primitives

/// Sessions as vici's `list-sa` event shows them: charon's keys in charon's order, absent keys left out. Ages and times
/// ahead are in seconds.
package enum SnapshotMessages {
    /// One session with its children.
    ///
    /// - Parameters:
    ///   - sizes: the MTU of the tunnel device and of a child's path, and what inner packets fit into the path.
    ///   - counters: of a child's two directions; `nil` where the data plane knows nothing of it.
    package static func message(
        _ session: SessionSnapshot, now: Instant,
        sizes: (ChildID) -> ChildSizes? = { _ in nil },
        counters: (ChildID) -> (inbound: TrafficCounters, outbound: TrafficCounters)?
    ) -> ViciMessage {
        var body = ViciMessage()
        body.add("uniqueid", session.id)
        body.add("version", session.version)
        body.add("state", session.state.rawValue)
        body.add("local-host", session.local.address)
        body.add("local-port", session.local.port)
        body.add("local-id", session.localIdentity?.description ?? "%any")
        body.add("remote-host", session.remote.address)
        body.add("remote-port", session.remote.port)
        body.add("remote-id", session.remoteIdentity?.description ?? "%any")
        body.add(session.version == 1 ? "remote-xauth-id" : "remote-eap-id", optional: session.remoteUser?.description)
        if session.isInitiator { body.add("initiator", flag: true) }
        body.add("cloned-from", optional: session.clonedFrom)
        body.add("initiator-spi", "\(Cookie(session.initiatorSPI))")
        body.add("responder-spi", "\(Cookie(session.responderSPI))")
        if session.isLocalBehindNAT { body.add("nat-local", flag: true) }
        if session.isRemoteBehindNAT { body.add("nat-remote", flag: true) }
        if session.isLocalBehindNAT || session.isRemoteBehindNAT { body.add("nat-any", flag: true) }
        if let suite = session.suite { add(suite, to: &body) }
        if session.hasPostquantumKey { body.add("ppk", flag: true) }
        // charon tells none of these of an SA that ends.
        let isLiving = session.state != .deleting
        if isLiving, let established = session.established { body.add("established", seconds(now - established)) }
        if isLiving, let rekey = session.rekeyAt { body.add("rekey-time", seconds(rekey - now)) }
        if isLiving, let reauthenticate = session.reauthenticateAt {
            body.add("reauth-time", seconds(reauthenticate - now))
        }
        if !session.localVirtualAddresses.isEmpty { body.add("local-vips", list: session.localVirtualAddresses) }
        if !session.remoteVirtualAddresses.isEmpty { body.add("remote-vips", list: session.remoteVirtualAddresses) }
        if !session.queuedExchanges.isEmpty { body.add("tasks-queued", list: session.queuedExchanges) }
        if !session.activeExchanges.isEmpty { body.add("tasks-active", list: session.activeExchanges) }
        var children = ViciMessage()
        for child in session.children {
            children.add(
                "\(child.name)-\(child.id)",
                section: message(child, now: now, sizes: sizes(child.id), counters: counters(child.id)))
        }
        body.add("child-sas", section: children)
        var message = ViciMessage()
        // A responder that does not know its connection yet; charon's name for it.
        message.add(session.connection.isEmpty ? "(unnamed)" : session.connection, section: body)
        return message
    }

    private static func message(
        _ child: ChildSnapshot, now: Instant, sizes: ChildSizes?,
        counters: (inbound: TrafficCounters, outbound: TrafficCounters)?
    ) -> ViciMessage {
        var message = ViciMessage()
        message.add("name", child.name)
        message.add("uniqueid", child.id)
        message.add("reqid", child.requestID)
        message.add("state", child.state.rawValue)
        message.add("mode", child.listedMode)
        message.add("protocol", child.securityProtocol == .ah ? "AH" : "ESP")
        if child.udpEncapsulation { message.add("encap", flag: true) }
        message.add("spi-in", child.inboundSPI)
        message.add("spi-out", child.outboundSPI)
        if let resource = child.resource {
            message.add("per-cpu-sas", flag: true)
            // The first one serves whichever processor has none.
            if resource > 0 { message.add("cpu", resource) }
        }
        add(child.suite, isAH: child.securityProtocol == .ah, to: &message)
        if child.suite.extendedSequenceNumbers { message.add("esn", 1) }
        add(counters?.inbound ?? TrafficCounters(), "in", now: now, to: &message)
        add(counters?.outbound ?? TrafficCounters(), "out", now: now, to: &message)
        if let rekey = child.rekeyAt { message.add("rekey-time", seconds(rekey - now)) }
        if let expire = child.expireAt { message.add("life-time", seconds(expire - now)) }
        if let sizes {
            message.add("mtu", sizes.device)
            message.add("mtu-path", sizes.path)
            message.add("mtu-inner", sizes.inner)
            message.add("mtu-source", sizes.source)
        }
        message.add("install-time", seconds(now - child.installed))
        message.add("local-ts", list: child.localSelectors)
        message.add("remote-ts", list: child.remoteSelectors)
        return message
    }

    private static func add(_ suite: Suite, isAH: Bool = false, to message: inout ViciMessage) {
        if !isAH { message.add("encr-alg", suite.encryption.name.listed) }
        if suite.encryption.keyBits > 0 { message.add("encr-keysize", suite.encryption.keyBits) }
        if let integrity = suite.integrity, integrity != .none { message.add("integ-alg", integrity.name.listed) }
        message.add("ah-integ-alg", optional: suite.header?.integrity.name.listed)
        message.add("prf-alg", optional: suite.prf?.name.listed)
        message.add("dh-group", optional: suite.keyExchange?.name.listed)
        for (index, group) in suite.additionalKeyExchanges.enumerated() where group != .none {
            message.add("ke\(index + 1)-alg", group.name.listed)
        }
    }

    private static func add(
        _ counters: TrafficCounters, _ direction: String, now: Instant, to message: inout ViciMessage
    ) {
        message.add("bytes-\(direction)", counters.octets)
        message.add("packets-\(direction)", counters.packets)
        if let lastUse = counters.lastUse { message.add("use-\(direction)", seconds(now - lastUse)) }
    }

    /// Whole seconds, never negative: a timer that is due and waits its turn reads 0.
    private static func seconds(_ duration: Duration) -> Int64 { max(0, duration.wholeSeconds) }
}

/// What is known of the sizes of a child's packets: the device's MTU, what the path takes and who says so, and what inner
/// packets fit into that.
package struct ChildSizes {
    var device: Int
    var path: Int
    var inner: Int
    /// `kernel` for the interface's MTU and what ICMP said, `probing` for what larger packets did not do.
    var source: String
}
