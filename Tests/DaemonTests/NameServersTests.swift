import IPsec
import Primitives
import Testing

@testable import Daemon

/// What several gateways say of names, together.
@Suite struct NameServersTests {
    private func servers(_ last: UInt32...) -> [IPAddress] { last.map { IPAddress(v4: 0x0A02_0000 + $0) } }

    @Test func sessionsAreMerged() {
        let first = NameService(servers: servers(1, 2), domains: ["a.example"], searchDomains: ["s.example"])
        let second = NameService(servers: servers(2, 3), domains: ["b.example", "a.example"])
        let both = NameServers.merge([first, second])
        #expect(both.servers == servers(1, 2, 3))
        #expect(both.domains == ["a.example", "b.example"] && both.searchDomains == ["s.example"])
        // One that is for all names takes the limits away.
        #expect(NameServers.merge([first, NameService(servers: servers(9))]).domains.isEmpty)
        #expect(NameServers.merge([]) == NameService())
    }

    /// What no domain is goes nowhere, least of all onto a command line.
    @Test(arguments: [
        ("corp.example", "corp.example"), ("Corp.Example.", "corp.example"), ("_tcp.example", "_tcp.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"), ("", nil), (".", nil), ("a..b", nil), ("-x", nil),
        ("x-", nil), ("a b", nil), ("a;b", nil), ("~a", nil), ("bücher.example", nil), ("a\n", nil),
        (String(repeating: "a", count: 64), nil),
        (String(repeating: "a.", count: 127), String(repeating: "a.", count: 126) + "a"),
        (String(repeating: "a.", count: 128), nil),
    ])
    func domains(_ text: String, _ wanted: String?) {
        #expect(NameService.domain(text) == wanted)
        let service = NameService(domains: [text, text], searchDomains: [text])
        #expect(service.domains == (wanted.map { [$0] } ?? []) && service.searchDomains == service.domains)
    }
}
