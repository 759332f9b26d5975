import Control
import Testing

@testable import parley

@Suite struct StatusTableTests {
    @Test func showsASessionWithAChild() {
        var child: ViciMessage = [
            "name": "net", "uniqueid": "2", "reqid": "1", "state": "INSTALLED", "mode": "TUNNEL", "protocol": "ESP",
            "encap": "yes", "spi-in": "c0ffee00", "spi-out": "deadbeef", "encr-alg": "AES_GCM_16",
            "encr-keysize": "128", "esn": "1", "bytes-in": "1536", "packets-in": "1", "use-in": "3",
            "bytes-out": "84", "packets-out": "2", "rekey-time": "2700", "life-time": "3960", "install-time": "10",
        ]
        child.add("local-ts", list: ["10.1.0.0/16"])
        child.add("remote-ts", list: ["10.2.0.0/16", "10.3.0.0/16[tcp/80]"])
        var children = ViciMessage()
        children.add("net-2", section: child)
        var session: ViciMessage = [
            "uniqueid": "1", "version": "2", "state": "ESTABLISHED", "local-host": "192.0.2.1", "local-port": "4500",
            "local-id": "moon", "remote-host": "192.0.2.2", "remote-port": "4500", "remote-id": "sun",
            "initiator": "yes", "initiator-spi": "0123456789abcdef", "responder-spi": "fedcba9876543210",
            "nat-remote": "yes", "encr-alg": "AES_CBC", "encr-keysize": "256", "integ-alg": "HMAC_SHA2_256_128",
            "prf-alg": "PRF_HMAC_SHA2_256", "dh-group": "CURVE_25519", "established": "12", "rekey-time": "13920",
        ]
        session.add("tasks-active", list: ["INFORMATIONAL"])
        session.add("child-sas", section: children)
        var message = ViciMessage()
        message.add("home", section: session)
        #expect(
            StatusTable.lines([message]) == [
                "home[1]: IKEv2 ESTABLISHED, initiator, up for 12s, rekey in 3h52m",
                "  local   192.0.2.1[4500]  moon",
                "  remote  192.0.2.2[4500]  sun  behind NAT",
                "  suite   AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/CURVE_25519",
                "  SPIs    0123456789abcdef_i fedcba9876543210_r",
                "  active  INFORMATIONAL",
                "  net{2}: INSTALLED, TUNNEL, ESP in UDP, reqid 1, up for 10s, rekey in 45m, ends in 1h6m",
                "    10.1.0.0/16 === 10.2.0.0/16 10.3.0.0/16[tcp/80]",
                "    suite  AES_GCM_16-128/ESN",
                "    in     c0ffee00  1.5 KiB, 1 packet, last 3s ago",
                "    out    deadbeef  84 B, 2 packets",
            ])
    }

    @Test func showsWhatAHalfOpenSessionHas() {
        var message = ViciMessage()
        message.add("x", section: ["uniqueid": "4", "version": "1", "state": "CONNECTING"])
        let lines = StatusTable.lines([message])
        #expect(lines.first == "x[4]: IKEv1 CONNECTING, responder")
        #expect(lines.count == 4)
        #expect(StatusTable.lines([]) == [])
        message = ViciMessage()
        message.add("x", section: ["uniqueid": "5", "version": "2", "state": "ESTABLISHED", "cloned-from": "4"])
        #expect(StatusTable.lines([message]).first == "x[5]: IKEv2 ESTABLISHED, responder, clone of [4]")
    }

    @Test(
        arguments: [
            (0, "0s"), (59, "59s"), (60, "1m"), (61, "1m1s"), (3600, "1h"), (3661, "1h1m"), (86_399, "23h59m"),
            (90_000, "1d1h"), (864_000, "10d"),
        ] as [(Int64, String)])
    func durations(_ seconds: Int64, _ text: String) { #expect(StatusTable.duration(seconds) == text) }

    @Test(arguments: [
        ("0", "0 B"), ("1023", "1023 B"), ("1024", "1.0 KiB"), ("1536", "1.5 KiB"), ("1048576", "1.0 MiB"),
        ("10737418240", "10.0 GiB"), ("18446744073709551615", "1.5 EiB"), ("x", "? B"),
    ])
    func amounts(_ octets: String, _ text: String) { #expect(StatusTable.amount(octets) == text) }
}
