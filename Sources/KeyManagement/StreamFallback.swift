import IPsec
import Primitives

/// TCP instead of UDP, or where UDP brings no answer (RFC 9329 §5.1).
extension KeyManager {
    /// Opens a session over TCP; only of version 2, as the configuration's checks see to.
    mutating func openStream(
        _ connection: Connection, _ local: IPAddress, _ remote: IPAddress, attempt: UInt32
    ) -> SessionID {
        open(
            connection, local: Endpoint(local, port: environment.settings.natPort, isStream: true),
            remote: Endpoint(remote, port: connection.streamPort, isStream: true), isVersion1: false, attempt: attempt)
    }

    /// A datagram of a session, and what else is to be sent with it.
    mutating func transmissions(of datagram: Datagram, from id: SessionID) -> [Effect] {
        let datagram = marked(datagram, of: id)
        guard let copy = streamCopy(of: datagram, from: id) else { return [.send(datagram)] }
        return [.send(datagram), .send(copy)]
    }

    /// With the connection's DSCP. A responder's session knows its connection before the manager hears of it.
    private mutating func marked(_ datagram: Datagram, of id: SessionID) -> Datagram {
        // The look at session and connection is for those who mark alone.
        guard policies.marksPackets || hasMarkedPackets, let entry = sessions[id] else { return datagram }
        hasMarkedPackets = true
        let name = entry.connection.isEmpty ? entry.session.snapshot.connection : entry.connection
        // One whose connection is gone goes on as it was.
        let trafficClass = policies.connection(name)?.trafficClass ?? entry.trafficClass
        if trafficClass != entry.trafficClass { sessions[id]?.trafficClass = trafficClass }
        var datagram = datagram
        datagram.trafficClass = trafficClass
        return datagram
    }

    /// A first request that UDP brought no answer to, once more for TCP, where the connection falls back to it: whichever
    /// is answered first has the session. The first transmission is UDP's alone, so that TCP costs nothing where UDP works.
    private mutating func streamCopy(of datagram: Datagram, from id: SessionID) -> Datagram? {
        guard let entry = sessions[id], entry.version == 2, entry.initialKey == nil, !entry.isEstablished,
            !datagram.remote.isStream, datagram.octets.count > 16,
            datagram.octets[8..<16].allSatisfy({ $0 == 0 }),
            let connection = policies.connection(entry.connection), connection.streamUse == .fallback
        else { return nil }
        sessions[id]?.firstRequests += 1
        guard entry.firstRequests > 0 else { return nil }
        return Datagram(
            local: Endpoint(datagram.local.address, port: environment.settings.natPort, isStream: true),
            remote: Endpoint(datagram.remote.address, port: connection.streamPort, isStream: true),
            octets: datagram.octets)
    }
}
