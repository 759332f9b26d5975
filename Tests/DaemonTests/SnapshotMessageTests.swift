import Control
import Cryptography
import IPsec
import KeyManagement
import Primitives
import Testing

@testable import Daemon

@Suite struct SnapshotMessageTests {
    private let now = Instant(nanoseconds: 1_000_000_000_000)

    /// `ike-update` has the new addresses, and then the SA with the old ones; once, though each child moves.
    @Test func aMoveIsToldOnce() throws {
        let harness = try ControlHarness()
        var known = KnownAssociations()
        let before = try session()
        known.record(
            Event(
                time: now, session: before.id, connection: before.connection, kind: .session(.established),
                snapshot: before))
        let local = before.local
        let remote = Endpoint(IPAddress(v4: 0xC000_0299), port: 4501)
        let child = try #require(before.children.first?.id)
        let first = known.move(child, local: local, remote: remote)
        let old = try #require(first)
        #expect(old == before)
        let again = known.move(child, local: local, remote: remote)
        let stranger = known.move(ChildID(77), local: local, remote: before.remote)
        #expect(again == nil && stranger == nil)
        let message = ViciEvents.update(old, local: local, remote: remote, harness.loop)
        #expect(message.text("remote-host") == "192.0.2.153" && message.text("remote-port") == "4501")
        let section = try #require(message.section(before.connection))
        #expect(section.text("remote-host") == "\(before.remote.address)")
        #expect(section.section("child-sas") == nil)
        let back = known.move(child, local: local, remote: before.remote)
        #expect(back?.remote == remote)
    }

    private func session() throws -> SessionSnapshot {
        let local = try #require(IPAddress("192.0.2.1"))
        let remote = try #require(IPAddress("2001:db8::2"))
        var session = SessionSnapshot(
            id: SessionID(7), connection: "home", version: 2, state: .established, isInitiator: true,
            local: Endpoint(local, port: 4500), remote: Endpoint(remote, port: 4501))
        session.localIdentity = Identity("moon")
        session.remoteIdentity = Identity("sun@example.org")
        session.initiatorSPI = 0x0123_4567_89AB_CDEF
        session.responderSPI = 0xF
        session.suite = Suite(
            encryption: Encryption(.aesGCM16, keyBits: 256), prf: .hmacSHA384, keyExchange: .ecp384)
        session.isRemoteBehindNAT = true
        session.established = now - .seconds(12)
        session.rekeyAt = now + .seconds(100)
        session.reauthenticateAt = now - .seconds(1)
        session.activeExchanges = ["INFORMATIONAL"]
        let selector = try #require(Prefix("10.1.0.0/16").map { TrafficSelector($0) })
        session.children = [
            ChildSnapshot(
                id: ChildID(9), name: "net", requestID: 3, state: .installed, mode: .tunnel,
                inboundSPI: SPI(0xC0FFEE), outboundSPI: SPI(0xDEAD_BEEF),
                suite: Suite(
                    encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA256_128,
                    extendedSequenceNumbers: true),
                udpEncapsulation: true, installed: now - .seconds(10), rekeyAt: now + .milliseconds(50_900),
                expireAt: now + .seconds(60), localSelectors: [selector], remoteSelectors: [selector])
        ]
        return session
    }

    @Test func hasCharonsKeysInCharonsOrder() throws {
        let message = SnapshotMessages.message(try session(), now: now) { _ in
            (TrafficCounters(packets: 2, octets: 168, lastUse: now - .seconds(3)), TrafficCounters())
        }
        let expected =
            #"{"home":{"uniqueid":"7","version":"2","state":"ESTABLISHED","local-host":"192.0.2.1","#
            + #""local-port":"4500","local-id":"moon","remote-host":"2001:db8::2","remote-port":"4501","#
            + #""remote-id":"sun@example.org","initiator":"yes","initiator-spi":"0123456789abcdef","#
            + #""responder-spi":"000000000000000f","nat-remote":"yes","nat-any":"yes","encr-alg":"AES_GCM_16","#
            + #""encr-keysize":"256","prf-alg":"PRF_HMAC_SHA2_384","dh-group":"ECP_384","established":"12","#
            + #""rekey-time":"100","reauth-time":"0","tasks-active":["INFORMATIONAL"],"child-sas":{"net-9":{"#
            + #""name":"net","uniqueid":"9","reqid":"3","state":"INSTALLED","mode":"TUNNEL","protocol":"ESP","#
            + #""encap":"yes","spi-in":"00c0ffee","spi-out":"deadbeef","encr-alg":"AES_CBC","encr-keysize":"128","#
            + #""integ-alg":"HMAC_SHA2_256_128","esn":"1","bytes-in":"168","packets-in":"2","use-in":"3","#
            + #""bytes-out":"0","packets-out":"0","rekey-time":"50","life-time":"60","install-time":"10","#
            + #""local-ts":["10.1.0.0/16"],"remote-ts":["10.1.0.0/16"]}}}}"#
        #expect(message.json(indentation: 0) == expected)
    }

    /// As charon 6 has them.
    @Test func tellsOfSharedPayloadsAndOfProcessors() throws {
        func child(_ change: (inout ChildSnapshot) -> Void) throws -> ViciMessage {
            var session = try session()
            change(&session.children[0])
            let message = SnapshotMessages.message(session, now: now) { _ in nil }
            return try #require(message.section("home")?.section("child-sas")?.section("net-9"))
        }
        #expect(try child { $0.sharesPayloads = true }.text("mode") == "IPTFS")
        #expect(try child { _ in }.text("per-cpu-sas") == nil)
        let first = try child { $0.resource = 0 }
        #expect(first.text("per-cpu-sas") == "yes" && first.text("cpu") == nil)
        #expect(try child { $0.resource = 3 }.text("cpu") == "3")
        #expect(try child { $0.mode = .transport }.text("mode") == "TRANSPORT")
    }

    @Test func leavesOutWhatIsNotKnown() throws {
        let address = try #require(IPAddress("192.0.2.1"))
        let session = SessionSnapshot(
            id: SessionID(1), connection: "", version: 1, state: .connecting, isInitiator: false,
            local: Endpoint(address, port: 500), remote: Endpoint(address, port: 500))
        let message = SnapshotMessages.message(session, now: now) { _ in nil }
        let body = try #require(message.section("(unnamed)"))
        #expect(
            body.entries.map(\.name) == [
                "uniqueid", "version", "state", "local-host", "local-port", "local-id", "remote-host", "remote-port",
                "remote-id", "initiator-spi", "responder-spi", "child-sas",
            ])
        #expect(body.text("remote-id") == "%any")
    }

    @Test func aChildWithoutCountersHasZeroes() throws {
        let message = SnapshotMessages.message(try session(), now: now) { _ in nil }
        let child = try #require(message.section("home")?.section("child-sas")?.section("net-9"))
        #expect(child.text("bytes-in") == "0")
        #expect(child.text("packets-out") == "0")
        #expect(child.text("use-in") == nil)
    }
}
