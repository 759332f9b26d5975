import IPsec
import Primitives

/// TCP where UDP brings no answer (RFC 9329 §5.1).
extension KeyManager {
    /// A first request that UDP brought no answer to, once more for TCP, where the connection falls back to it: whichever
    /// is answered first has the session. The first transmission is UDP's alone, so that TCP costs nothing where UDP works.
    mutating func streamCopy(of datagram: Datagram, from id: SessionID) -> Datagram? {
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
