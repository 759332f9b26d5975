import Control
import IPsec
import Testing

@testable import Daemon

/// vici's commands that change what is in force.
@Suite struct LoadingCommandTests {
    private func section(_ pairs: [(String, String)]) -> ViciMessage {
        var section = ViciMessage()
        for (name, value) in pairs { section.add(name, value) }
        return section
    }

    private func connection(
        _ name: String = "home", _ change: (inout ViciMessage) -> Void = { _ in }, child: [(String, String)] = []
    ) -> ViciMessage {
        var body: ViciMessage = ["version": "2"]
        body.add("remote_addrs", list: ["192.0.2.9"])
        body.add("local", section: section([("auth", "psk"), ("id", "left.example")]))
        body.add("remote", section: section([("auth", "psk")]))
        var children = ViciMessage()
        children.add("net", section: section(child))
        body.add("children", section: children)
        change(&body)
        var message = ViciMessage()
        message.add(name, section: body)
        return message
    }

    @Test func aLoadedConnectionIsInForceAndAnEqualOneChangesNothing() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        #expect(try client.ask("load-conn", connection())?.flag("success") == true)
        #expect(try client.ask("get-conns")?.list("conns") == ["home"])
        let loaded = try #require(harness.loop.manager.policies.connection("home"))
        #expect(loaded.version == .v2)
        #expect(loaded.localIdentity == Identity("left.example"))
        #expect(loaded.children.map(\.name) == ["net"])
        #expect(try client.ask("load-conn", connection())?.flag("success") == true)
        #expect(harness.loop.manager.policies.connections == [loaded])
        // Another one of that name takes its place; others stay where they are.
        #expect(try client.ask("load-conn", connection("work"))?.flag("success") == true)
        let changed = connection(child: [("mode", "transport")])
        #expect(try client.ask("load-conn", changed)?.flag("success") == true)
        #expect(harness.loop.manager.policies.connections.map(\.name) == ["home", "work"])
        #expect(harness.loop.manager.policies.connection("home")?.child("net")?.mode == .transport)
    }

    /// swanctl's `--load-all` brings pools before connections, and `--load-conns` brings connections alone: either may come
    /// first.
    @Test(arguments: [true, false]) func poolsComeBeforeTheirConnectionsOrAfter(isBefore: Bool) throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        var pool = ViciMessage()
        pool.add("users", section: section([("addrs", "10.3.0.0/24"), ("dns", "10.2.0.53")]))
        if isBefore { #expect(try client.ask("load-pool", pool)?.flag("success") == true) }
        let answer = try client.ask("load-conn", connection { $0.add("pools", list: ["users"]) })
        #expect(answer?.flag("success") == true, "\(answer?.text("errmsg") ?? "")")
        if !isBefore { #expect(try client.ask("load-pool", pool)?.flag("success") == true) }
        #expect(harness.loop.manager.policies.connection("home")?.pools == ["users"])
        #expect(harness.loop.manager.policies.pool("users") != nil)
    }

    /// swanctl prints nothing of a reason that holds a line break.
    @Test func severalReasonsStandInOneLine() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let answer = try client.ask(
            "load-conn",
            connection {
                $0.add("remote_adrs", "x")
                $0.add("mobikes", "x")
            })
        let reason = try #require(answer?.text("errmsg"))
        #expect(reason.contains("'remote_adrs'") && reason.contains("'mobikes'") && !reason.contains("\n"))
    }

    @Test(arguments: [
        ("remote_adrs", "x", "unknown key 'remote_adrs' in connections.home; did you mean 'remote_addrs'?"),
        ("version", "7", "wrong value '7' for 'version' in connections.home: expected 0 (both), 1 or 2"),
        (
            "proposals", "aes256-sha257-x25519",
            "unknown algorithm 'sha257' in proposal 'aes256-sha257-x25519' (proposals in connections.home); "
                + "did you mean 'sha256'?"
        ),
    ]) func whatIsWrongIsNamedAndNothingIsLoaded(_ key: String, _ value: String, _ problem: String) throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let answer = try client.ask("load-conn", connection("home", { $0.add(key, value) }))
        #expect(answer?.flag("success") == false)
        #expect(answer?.text("errmsg") == problem)
        #expect(harness.loop.manager.policies.connections.isEmpty)
    }

    @Test func anErrorInOneConnectionKeepsAllOfTheMessageOut() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        var message = connection("good")
        message.entries += connection("bad", { $0.add("colour", "blue") }).entries
        #expect(try client.ask("load-conn", message)?.flag("success") == false)
        #expect(harness.loop.manager.policies.connections.isEmpty)
    }

    @Test func unloadingTakesAConnectionOut() throws {
        let harness = try ControlHarness([ControlHarness.connection("home"), ControlHarness.connection("work")])
        let client = try harness.client()
        #expect(try client.ask("unload-conn", ["name": "home"])?.flag("success") == true)
        #expect(try client.ask("get-conns")?.list("conns") == ["work"])
        #expect(
            try client.ask("unload-conn", ["name": "home"])?.text("errmsg") == "unload: connection 'home' not found")
        #expect(try client.ask("unload-conn")?.text("errmsg") == "unload: missing connection name")
    }

    @Test func connectionsNestedWithoutEndAreRefused() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        var message: ViciMessage = ["auth": "psk"]
        for _ in 0..<28 {
            var outer = ViciMessage()
            outer.add("local", section: message)
            message = outer
        }
        #expect(try client.ask("load-conn", message)?.flag("success") == false)
    }

    // MARK: Secrets

    private func secret(_ id: String, _ data: String = "abc", type: String = "IKE", owners: [String] = [])
        -> ViciMessage
    {
        var message: ViciMessage = ["id": id, "type": type, "data": data]
        message.add("owners", list: owners)
        return message
    }

    @Test func secretsComeAndGoByTheirNames() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        #expect(
            try client.ask("load-shared", secret("one", owners: ["a.example", "b.example"]))?.flag("success") == true)
        #expect(try client.ask("load-shared", secret("two"))?.flag("success") == true)
        #expect(try client.ask("load-shared", ["type": "ike", "data": "nameless"])?.flag("success") == true)
        #expect(try client.ask("get-shared")?.list("keys") == ["one", "two"])
        #expect(harness.loop.running.secrets[0].identities.count == 2)
        #expect(try client.ask("unload-shared", ["id": "one"])?.flag("success") == true)
        #expect(try client.ask("get-shared")?.list("keys") == ["two"])
        // The same name again replaces.
        #expect(try client.ask("load-shared", secret("two", "other", owners: ["c.example"]))?.flag("success") == true)
        #expect(harness.loop.running.secrets.count == 2)
        #expect(try client.ask("clear-creds")?.flag("success") == true)
        #expect(harness.loop.running.secrets.isEmpty)
    }

    @Test(
        arguments: [
            (["type": "WRONG", "data": "x"], "invalid shared key type: WRONG"),
            (["type": "IKE"], "shared key data missing"), ([:], "shared key type missing"),
        ] as [(ViciMessage, String)]) func secretsThatAreNoneAreRefused(_ message: ViciMessage, _ problem: String)
        throws
    {
        let harness = try ControlHarness()
        let client = try harness.client()
        #expect(try client.ask("load-shared", message)?.text("errmsg") == problem)
        #expect(harness.loop.running.secrets.isEmpty)
    }

    @Test func aSecretIsInNoAnswer() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let answer = try client.ask("load-shared", secret("one", "0xVERYSECRET", owners: ["*a*b"]))
        #expect(answer?.flag("success") == false)
        #expect(answer?.json().lowercased().contains("verysecret") == false)
    }

    @Test func postquantumKeysComeAndGo() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        #expect(try client.ask("load-shared", secret("ppk", type: "PPK", owners: ["a"]))?.flag("success") == true)
        #expect(harness.loop.running.secrets.map(\.isPostquantum) == [true])
        #expect(try client.ask("get-shared")?.list("keys") == ["ppk"])
    }

    @Test func passwordsOfUsersComeAndGo() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        #expect(try client.ask("load-shared", secret("bob", type: "XAUTH", owners: ["bob"]))?.flag("success") == true)
        #expect(try client.ask("load-shared", secret("site"))?.flag("success") == true)
        #expect(try client.ask("get-shared")?.list("keys") == ["site", "bob"])
        #expect(harness.loop.running.users.count == 1)
        #expect(try client.ask("unload-shared", ["id": "bob"])?.flag("success") == true)
        #expect(harness.loop.running.users.isEmpty)
    }

    // MARK: Every command and event

    @Test func everyCommandOfTheListIsKnown() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let commands = """
            version stats reload-settings initiate terminate rekey redirect install uninstall list-sas list-policies \
            list-conns get-conns list-certs list-authorities get-authorities load-conn unload-conn load-cert load-key \
            unload-key get-keys load-token load-shared unload-shared get-shared flush-certs clear-creds load-authority \
            unload-authority load-pool unload-pool get-pools get-algorithms get-counters reset-counters
            """.split(separator: " ").map(String.init)
        #expect(commands.count == 36)
        for command in commands {
            let client = try harness.client()
            #expect(try client.ask(command) != nil, "\(command) is not known")
        }
    }

    @Test func aCloneNeedsSomethingToClone() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let client = try harness.client()
        let problems: [(ViciMessage, String)] = [
            ([:], "missing clone selector: 'ike' or 'ike-id'"),
            (["child": "net"], "missing clone selector: 'ike' or 'ike-id'"),
            (["ike": "home", "local-host": "here"], "'local-host' is no address"),
            (["ike": "home"], "no matching IKE SA to clone found"),
            (["ike-id": "77"], "no matching IKE SA to clone found"),
        ]
        for (message, problem) in problems {
            let answer = try client.ask("clone", message)
            #expect(answer?.flag("success") == false && answer?.text("errmsg") == problem)
        }
    }

    @Test func everyEventOfTheListCanBeRegistered() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let events = """
            log control-log list-sa list-policy list-conn list-cert list-authority ike-updown ike-rekey ike-update \
            child-updown child-rekey alert
            """.split(separator: " ").map(String.init)
        #expect(events.count == 13)
        for event in events {
            client.send(ViciClientConnection().register(event))
            #expect(try client.arrivals() == [.eventConfirmed], "\(event)")
        }
    }

    @Test func algorithmsAreThoseOfTheKeywords() throws {
        let harness = try ControlHarness()
        let answer = try harness.client().ask("get-algorithms")
        #expect(answer?.section("aead")?.text("AES_GCM_16") == "libcrypto")
        #expect(answer?.section("encryption")?.text("AES_CBC") == "libcrypto")
        #expect(answer?.section("encryption")?.element("AES_GCM_16") == nil)
        #expect(answer?.section("ke")?.text("CURVE_25519") == "libcrypto")
        #expect(answer?.section("ke")?.element("NONE") == nil)
    }

    @Test func countersHaveCharonsNames() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let client = try harness.client()
        _ = try client.ask("initiate", ["child": "home-net", "timeout": "-1"])
        let answer = try client.ask("get-counters")
        let counters = answer?.section("counters")?.section("")
        #expect(counters?.entries.count == 21)
        #expect(counters?.text("ike-init-out-req") == "1")
        #expect(counters?.text("ike-init-in-resp") == "0")
        let own = try client.ask("get-counters", ["name": "home"])
        #expect(own?.section("counters")?.section("home")?.text("ike-init-out-req") == "1")
        #expect(
            try client.ask("get-counters", ["name": "other"])?.text("errmsg") == "no counters found for this connection"
        )
        #expect(try client.ask("reset-counters")?.flag("success") == true)
        #expect(try client.ask("get-counters")?.section("counters")?.section("")?.text("ike-init-out-req") == "0")
        #expect(try client.ask("get-counters", ["all": "yes"])?.section("counters")?.sections.map(\.name) == ["home"])
    }

    @Test func policiesAreInstalledAndListedAndTakenBack() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let client = try harness.client()
        client.send(ViciClientConnection().register("list-policy"))
        #expect(try client.arrivals() == [.eventConfirmed])
        #expect(try client.ask("install", ["child": "other"])?.text("errmsg") == "configuration name not found")
        #expect(try client.ask("uninstall", ["child": "home-net"])?.text("errmsg") == "policy 'home-net' not found")
        #expect(try client.ask("install", ["child": "home-net", "ike": "home"])?.flag("success") == true)
        client.send(TestClient.request("list-policies", ["trap": "yes"]))
        guard case .event("list-policy", let event)? = try client.arrivals(2).first else {
            Issue.record("no policy is listed")
            return
        }
        let policy = try #require(event.section("home/home-net"))
        #expect(policy.entries.map(\.name) == ["child", "ike", "mode", "local-ts", "remote-ts"])
        #expect(policy.text("mode") == "TUNNEL")
        #expect(policy.list("remote-ts") == ["10.0.0.0/32"])
        client.send(TestClient.request("list-policies", ["drop": "yes"]))
        #expect(try client.arrivals().count == 1)
        #expect(try client.ask("uninstall", ["child": "home-net"])?.flag("success") == true)
        client.send(TestClient.request("list-policies", ["trap": "yes"]))
        #expect(try client.arrivals().count == 1)
    }
}
