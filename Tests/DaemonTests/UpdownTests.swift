import Cryptography
import IPsec
import Platform
import Primitives
import Synchronization
import Testing

@testable import Daemon

/// `updown`.
@Suite struct UpdownTests {
    private func variables(
        local: [String] = ["10.1.0.0/24"], remote: [String] = ["10.2.0.0/24"], port: UInt16 = 0
    ) throws -> UpdownVariables {
        func selectors(_ texts: [String]) throws -> [TrafficSelector] {
            try texts.map { TrafficSelector(try #require(Prefix($0)), ipProtocol: port == 0 ? 0 : 6, firstPort: port) }
        }
        var session = SessionSnapshot(
            id: SessionID(7), connection: "home", version: 2, state: .established, isInitiator: true,
            local: Endpoint(try #require(IPAddress("192.0.2.2")), port: 4500),
            remote: Endpoint(try #require(IPAddress("198.51.100.2")), port: 4501))
        session.localIdentity = Identity("left.example")
        session.remoteIdentity = Identity("right.example")
        session.remoteUser = Identity("carol")
        session.localVirtualAddresses = [try #require(IPAddress("10.3.0.1")), try #require(IPAddress("fd00::1"))]
        let suite = Suite(encryption: Encryption(.aesGCM16, keyBits: 128))
        let child = ChildSnapshot(
            id: ChildID(3), name: "net", requestID: 5, state: .installed, mode: .tunnel, inboundSPI: SPI(1),
            outboundSPI: SPI(2), suite: suite, udpEncapsulation: true, installed: Instant(nanoseconds: 0), rekeyAt: nil,
            expireAt: nil, localSelectors: try selectors(local), remoteSelectors: try selectors(remote))
        return UpdownVariables(
            session: session, child: child, opensHost: true, isCompressed: false,
            nameServers: [try #require(IPAddress("10.2.0.53"))], interface: "eth0", path: "/bin")
    }

    private func values(_ script: Script) -> [String: String] {
        Dictionary(uniqueKeysWithValues: script.environment.map { ($0.name, $0.value) })
    }

    @Test func theVariablesAreStrongSwans() throws {
        let scripts = try variables().scripts("x", isUp: true)
        #expect(scripts.count == 1)
        #expect(
            values(try #require(scripts.first)) == [
                "PATH": "/bin", "PLUTO_VERSION": "1.1", "PLUTO_VERB": "up-client", "PLUTO_CONNECTION": "net",
                "PLUTO_INTERFACE": "eth0", "PLUTO_REQID": "5", "PLUTO_PROTO": "esp", "PLUTO_UNIQUEID": "7",
                "PLUTO_ME": "192.0.2.2", "PLUTO_MY_ID": "left.example", "PLUTO_MY_CLIENT": "10.1.0.0/24",
                "PLUTO_MY_PORT": "0", "PLUTO_MY_PROTOCOL": "0", "PLUTO_PEER": "198.51.100.2",
                "PLUTO_PEER_ID": "right.example", "PLUTO_PEER_CLIENT": "10.2.0.0/24", "PLUTO_PEER_PORT": "0",
                "PLUTO_PEER_PROTOCOL": "0", "PLUTO_XAUTH_ID": "carol", "PLUTO_MY_SOURCEIP": "10.3.0.1",
                "PLUTO_MY_SOURCEIP4_1": "10.3.0.1", "PLUTO_MY_SOURCEIP6_1": "fd00::1", "PLUTO_DNS4_1": "10.2.0.53",
                "PLUTO_UDP_ENC": "4501", "PLUTO_HOST_ACCESS": "1",
            ])
    }

    @Test func eachPairOfSelectorsHasACallOfItsOwn() throws {
        let scripts = try variables(local: ["192.0.2.2/32", "fd00:1::/64"], remote: ["10.2.0.0/24", "fd00:2::/64"])
            .scripts("x", isUp: false).map(values)
        #expect(scripts.map { $0["PLUTO_VERB"] } == ["down-host", "down-client-v6"])
        #expect(scripts.map { $0["PLUTO_PEER_CLIENT"] } == ["10.2.0.0/24", "fd00:2::/64"])
        let ports = try variables(port: 80).scripts("x", isUp: true).map(values)
        #expect(ports.map { $0["PLUTO_MY_PROTOCOL"] } == ["6"] && ports.map { $0["PLUTO_MY_PORT"] } == ["80"])
    }

    @Test func aRangeIsTheBlockAroundIt() throws {
        var some = try variables()
        some.child.localSelectors[0].first = try #require(IPAddress("10.1.0.1"))
        some.child.localSelectors[0].last = try #require(IPAddress("10.1.0.9"))
        #expect(some.scripts("x", isUp: true).map(values)[0]["PLUTO_MY_CLIENT"] == "10.1.0.0/28")
    }
}
