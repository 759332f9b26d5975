import Cryptography
import IPsec
import Primitives
import Testing

@testable import EAP

/// Octets of no meaning at every place where a tunnelled method reads some: an error or a failure, and never success.
@Suite struct HostileTunnelTests {
    @Test func readersTakeNothingThatIsNotThere() {
        var randomness = Randomness.seeded(11)
        var taken = 0
        for round in 0..<3000 {
            let octets = randomness.octets(round % 90)
            if let list = try? TunnelAttribute.parse(octets) {
                taken += 1
                #expect(list.reduce(0) { $0 + $1.data.count + 8 } <= octets.count)
            }
            var framing = TunnelFraming()
            if case .message(let whole)? = try? framing.take(octets) { #expect(whole.count < octets.count) }
            #expect(PEAPPacket.result(octets, .request) == nil)
            if let packet = try? PEAPPacket.outside(octets, .response, identifier: 3) {
                #expect(packet.count <= octets.count + 4 && packet[1] == 3)
            }
        }
        // The empty ones at least.
        #expect(taken >= 3000 / 90)
    }

    /// A server that has heard that its certificate will not do, and asks on: it is answered once, and then hears no more. The
    /// reason stays what it was.
    @Test(arguments: [UserMethod.tls, .ttls, .peap]) func whoAsksOnBehindAnAlertIsLeft(_ method: UserMethod) throws {
        var randomness = Randomness.seeded(13)
        var peer = EAPPeer(method, user: Identity("joe")!)
        let report = ChainReport(wanted: Identity("gate.example"), present: [], links: [])
        let fault = TunnelFault.distrusted(report)
        func request(_ identifier: UInt8, _ data: [UInt8]) -> [UInt8] {
            EAPPacket(.request, identifier: identifier, type: method.tunnelType, data: data).octets
        }
        guard case .tunnel = try peer.receive(request(1, [0x20]), &randomness),
            case .send = peer.take(TunnelProgress(records: [22, 1]), &randomness),
            case .tunnel = try peer.receive(request(2, [0, 22, 2]), &randomness),
            case .send(let alert) = peer.take(TunnelProgress(records: [21, 48], fault: fault), &randomness)
        else {
            Issue.record("the handshake does not begin")
            return
        }
        #expect(alert.suffix(2) == [21, 48])
        guard case .send(let last) = try peer.receive(request(3, [0]), &randomness) else {
            Issue.record("it is not answered once")
            return
        }
        #expect(last == EAPPacket(.response, identifier: 3, type: method.tunnelType, data: [0]).octets)
        guard case .fail(let reason) = try peer.receive(request(4, [0]), &randomness) else {
            Issue.record("it is answered again and again")
            return
        }
        #expect(reason == fault.text && peer.report == report)
    }

    /// Whatever comes out of TLS, before and behind the handshake, with whatever facts: the server lets nobody in.
    @Test(arguments: [UserMethod.tls, .ttls, .peap]) func nobodyComesInByChance(_ method: UserMethod) throws {
        var randomness = Randomness.seeded(12)
        for round in 0..<400 {
            var server = EAPServer(method, user: Identity("joe")!, pattern: .any, &randomness)
            var peer = EAPPeer(method, user: Identity("joe")!)
            var identifier = server.start(&randomness)[1]
            for step in 0..<6 {
                let data = step == 0 && round % 2 == 0 ? [0, 22] : randomness.octets(1 + round % 40)
                let response = EAPPacket(.response, identifier: identifier, type: method.tunnelType, data: data)
                let request = EAPPacket(.request, identifier: identifier, type: method.tunnelType, data: data)
                var progress = TunnelProgress(
                    records: randomness.octets(round % 3), plaintext: Secret(randomness.octets(round % 50)))
                if step > 0, round % 4 == 0 {
                    // The user proved another name than the end's.
                    progress.facts = TunnelFacts(
                        isVersion13: round % 8 == 0, peerNames: [Identity("ann")!],
                        keys: Secret([UInt8](repeating: 1, count: 128)), challenge: Secret([UInt8](1...17)))
                }
                var heard = try server.receive(response.octets, &randomness)
                if case .tunnel = heard { heard = server.take(progress, &randomness) }
                switch heard {
                case .succeed: Issue.record("somebody came in")
                case .send(let octets): identifier = octets[1]
                default: break
                }
                var said = try peer.receive(request.octets, &randomness)
                if case .tunnel = said { said = peer.take(progress, &randomness) }
                if case .succeed = said { Issue.record("the host takes it for success") }
            }
        }
    }
}
