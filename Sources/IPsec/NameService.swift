package import Primitives

/// What a gateway says about names behind it: servers, and which names are theirs to answer.
package struct NameService: Hashable, Sendable {
    package var servers: [IPAddress]
    /// The names that the servers are for (RFC 8598 §3.3, Cisco's split DNS); none: all of them.
    package var domains: [String]
    /// What to append to short names.
    package var searchDomains: [String]

    /// Domains that are none are left out.
    package init(servers: [IPAddress] = [], domains: [String] = [], searchDomains: [String] = []) {
        func names(_ texts: [String]) -> [String] {
            var seen: Set<String> = []
            return texts.compactMap { NameService.domain($0) }.filter { seen.insert($0).inserted }
        }
        self.servers = servers
        self.domains = names(domains)
        self.searchDomains = names(searchDomains)
    }

    /// A domain name without the root's dot, in lower case; `nil` where a text is none: A-labels of 1 to 63 letters, digits, `-` and `_`,
    /// 253 octets in all (RFC 1035 §2.3.4, RFC 8598 §4.1).
    package static func domain(_ text: String) -> String? {
        let name = text.hasSuffix(".") ? String(text.dropLast()) : text
        guard (1...253).contains(name.utf8.count) else { return nil }
        let labels = name.lowercased().utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        let isName = labels.allSatisfy { label in
            (1...63).contains(label.count) && label.first != UInt8(ascii: "-") && label.last != UInt8(ascii: "-")
                && label.allSatisfy { octet in
                    switch octet {
                    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
                        UInt8(ascii: "-"), UInt8(ascii: "_"):
                        true
                    default: false
                    }
                }
        }
        return isName ? name.lowercased() : nil
    }
}

extension NetworkInformation {
    /// What it says of names.
    package var names: NameService {
        NameService(
            servers: nameServers, domains: splitDomains, searchDomains: defaultDomain.map { [$0] } ?? [])
    }
}
