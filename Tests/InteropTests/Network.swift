import Foundation

/// The two hosts of the lab; traffic between them crosses a router that may translate, cut and record it.
enum Side: String, CaseIterable {
    case left, right

    var other: Side { self == .left ? .right : .left }
    /// The address on the wire.
    var outerAddress: String { self == .left ? "192.0.2.2" : "198.51.100.2" }
    var gateway: String { self == .left ? "192.0.2.1" : "198.51.100.1" }
    /// The same of IPv6, once ``Network/addSixth()`` has given it to the path.
    var outerAddress6: String { self == .left ? "2001:db8:1::2" : "2001:db8:2::2" }
    var gateway6: String { self == .left ? "2001:db8:1::1" : "2001:db8:2::1" }
    /// Addresses behind the gateway: what the tunnel carries.
    var innerAddress: String { self == .left ? "10.1.0.1" : "10.2.0.1" }
    var innerAddress6: String { self == .left ? "fd00:1::1" : "fd00:2::1" }
    var innerPrefix: String { self == .left ? "10.1.0.0/24" : "10.2.0.0/24" }
    var innerPrefix6: String { self == .left ? "fd00:1::/64" : "fd00:2::/64" }
    /// A second address that no ordinary connection's selectors hold.
    var strangerAddress: String { self == .left ? "10.101.0.1" : "10.102.0.1" }
    var strangerPrefix: String { self == .left ? "10.101.0.0/24" : "10.102.0.0/24" }
    var identity: String { "\(rawValue).example" }
}

/// Three network namespaces: left — router — right, joined by veth, named after this process and gone with it.
final class Network {
    let router: String
    private let hosts: [Side: String]
    private var absent = 100

    /// Makes the namespaces. Those that a crashed run left behind are removed first, with the processes in them.
    init() throws {
        try Network.sweep()
        let stem = "\(Network.prefix)\(getpid())"
        router = stem + "-router"
        hosts = [.left: stem + "-left", .right: stem + "-right"]
        try Subprocess.require(["ip", "netns", "add", router])
        try Subprocess.require(["ip", "-n", router, "link", "set", "lo", "up"])
        for side in Side.allCases {
            let host = name(side)
            try Subprocess.require(["ip", "netns", "add", host])
            try ip(host, "link set lo up")
            try ip(host, "link add wan type veth peer name \(side.rawValue) netns \(router)")
            try ip(host, "link set wan up")
            try ip(router, "link set \(side.rawValue) up")
            try ip(host, "addr add \(side.outerAddress)/24 dev wan")
            try ip(router, "addr add \(side.gateway)/24 dev \(side.rawValue)")
            try ip(host, "route add default via \(side.gateway)")
            // The wire shall show what a wire carries: datagrams of at most its MTU, not batches of them.
            try shell(host, "ethtool -K wan tx-udp-segmentation off tso off")
            for inner in [side.innerAddress, side.strangerAddress] { try ip(host, "addr add \(inner)/32 dev lo") }
            try ip(host, "addr add \(side.innerAddress6)/128 dev lo nodad")
        }
        try shell(router, "echo 1 > /proc/sys/net/ipv4/ip_forward")
        // No IPv6 on the path: neighbour discovery would only blur the recordings.
        for side in Side.allCases {
            try shell(name(side), "echo 1 > /proc/sys/net/ipv6/conf/wan/disable_ipv6")
            try shell(router, "echo 1 > /proc/sys/net/ipv6/conf/\(side.rawValue)/disable_ipv6")
        }
        // The router must never carry inner traffic in clear: what leaks is seen on the capture, not answered.
        try nft("add table ip lab")
        try nft("add chain ip lab cut { type filter hook forward priority 0 ; }")
        try nft("add chain ip lab translate { type nat hook postrouting priority 100 ; }")
        try nft("add chain ip lab forward { type nat hook prerouting priority -100 ; }")
    }

    func name(_ side: Side) -> String { hosts[side] ?? "" }

    /// The command that runs `arguments` on a host.
    func on(_ side: Side, _ arguments: [String]) -> [String] { ["ip", "netns", "exec", name(side)] + arguments }

    /// Masquerades what leaves the left host, as a home router does, at ports of the router's choice.
    func translateLeft() throws {
        try nft("add rule ip lab translate oifname right meta l4proto udp masquerade to :20000-29999")
    }

    /// Hides the right host: its IKE ports are reached at the router's address on the left.
    func translateRight() throws {
        try nft(
            "add rule ip lab forward ip daddr \(Side.left.gateway) udp dport { 500, 4500 } dnat to "
                + Side.right.outerAddress)
    }

    /// Drops everything between the hosts, in both directions, without telling either.
    func cut(_ enabled: Bool) throws {
        try nft("flush chain ip lab cut")
        if enabled { try nft("add rule ip lab cut drop") }
    }

    /// Lets nothing of an IP protocol through, and all else.
    func block(_ name: String) throws {
        try cut(false)
        try nft("add rule ip lab cut meta l4proto \(name) drop")
    }

    /// Ends every connection of TCP that a packet shows up of.
    func resetStreams() throws { try nft("insert rule ip lab cut meta l4proto tcp reject with tcp reset") }

    /// Drops one packet of so many, whichever side it comes from.
    func lose(oneIn period: Int) throws { try nft("add rule ip lab cut numgen inc mod \(period) == 0 drop") }

    /// Drops IPv4 packets of more octets, and tells nobody.
    func dropLonger(than octets: Int) throws {
        try cut(false)
        try nft("add rule ip lab cut meta length > \(octets) drop")
    }

    /// Lets UDP to one port through no more, and all else.
    func block(port: Int) throws {
        try cut(false)
        try nft("add rule ip lab cut udp dport \(port) drop")
    }

    /// Makes every link of the path this narrow, and has the router lose the pieces of datagrams that are longer.
    func narrow(to octets: Int) throws {
        for side in Side.allCases {
            try ip(name(side), "link set wan mtu \(octets)")
            try ip(router, "link set \(side.rawValue) mtu \(octets)")
        }
        // In front of where the router would put them together.
        try nft("add chain ip lab pieces { type filter hook prerouting priority -450 ; }")
        try nft("add rule ip lab pieces ip frag-off & 0x3fff != 0 drop")
    }

    /// Gives the path IPv6 besides.
    func addSixth() throws {
        try shell(router, "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding")
        for side in Side.allCases {
            let host = name(side)
            // A router asks for its neighbours from its link-local address, and not before it knows for a second or two that
            // nobody else has that: the first messages would wait, and all their repetitions arrive at once.
            try shell(host, "echo 0 > /proc/sys/net/ipv6/conf/wan/accept_dad")
            try shell(router, "echo 0 > /proc/sys/net/ipv6/conf/\(side.rawValue)/accept_dad")
            try shell(host, "echo 0 > /proc/sys/net/ipv6/conf/wan/disable_ipv6")
            try shell(router, "echo 0 > /proc/sys/net/ipv6/conf/\(side.rawValue)/disable_ipv6")
            try ip(host, "addr add \(side.outerAddress6)/64 dev wan nodad")
            try ip(router, "addr add \(side.gateway6)/64 dev \(side.rawValue) nodad")
            try ip(host, "-6 route add default via \(side.gateway6)")
        }
    }

    /// The left host's address on its second way to the router.
    static let secondAddress = "203.0.113.2"
    private static let secondGateway = "203.0.113.1"

    /// Gives the left host a second way to the router, which it does not use yet.
    func addSecondUplink() throws {
        let host = name(.left)
        try ip(host, "link add wan2 type veth peer name left2 netns \(router)")
        try ip(host, "link set wan2 up")
        try ip(router, "link set left2 up")
        try ip(host, "addr add \(Network.secondAddress)/24 dev wan2")
        try ip(router, "addr add \(Network.secondGateway)/24 dev left2")
        try shell(host, "ethtool -K wan2 tx-udp-segmentation off tso off")
    }

    /// Has the left host send what comes from its second address by its second way, whatever else goes where.
    func routeBySource() throws {
        let host = name(.left)
        try ip(host, "route add default via \(Network.secondGateway) dev wan2 table 99")
        try ip(host, "rule add from \(Network.secondAddress) lookup 99 priority 99")
    }

    /// Has the left host go by its second way, or by its first, and loses the other one.
    func useSecondUplink(_ isSecond: Bool) throws {
        let host = name(.left)
        try ip(host, "link set \(isSecond ? "wan2" : "wan") up")
        let gateway = isSecond ? Network.secondGateway : Side.left.gateway
        try ip(host, "route replace default via \(gateway)")
        try ip(host, "link set \(isSecond ? "wan" : "wan2") down")
    }

    /// Has the router ask the right network for an address that no host there has; returns that address.
    func askForNobody() throws -> String {
        absent += 1
        let address = "198.51.100.\(absent)"
        try Subprocess.require(["ip", "netns", "exec", router, "bash", "-c", "echo > /dev/udp/\(address)/9"])
        return address
    }

    /// Removes the namespaces; the devices go with them.
    func remove() {
        for namespace in [router] + hosts.values { _ = try? Subprocess.run(["ip", "netns", "del", namespace]) }
    }

    func ip(_ namespace: String, _ arguments: String) throws {
        try Subprocess.require(["ip", "-n", namespace] + arguments.split(separator: " ").map(String.init))
    }

    private func nft(_ rule: String) throws {
        try Subprocess.require(["ip", "netns", "exec", router, "nft"] + rule.split(separator: " ").map(String.init))
    }

    private func shell(_ namespace: String, _ script: String) throws {
        try Subprocess.require(["ip", "netns", "exec", namespace, "sh", "-c", script])
    }

    private static let prefix = "parleylab"

    /// Ends what a run that was killed left in namespaces of ours: their names hold the identifier of their maker.
    private static func sweep() throws {
        for line in try Subprocess.require(["ip", "netns", "list"]).split(separator: "\n") {
            let name = String(line.split(separator: " ")[0])
            guard name.hasPrefix(prefix), let maker = Int32(name.dropFirst(prefix.count).prefix { $0.isNumber }),
                kill(maker, 0) != 0
            else { continue }
            for word in try Subprocess.run(["ip", "netns", "pids", name]).output.split(separator: "\n") {
                if let orphan = Int32(word) { kill(orphan, SIGKILL) }
            }
            _ = try Subprocess.run(["ip", "netns", "del", name])
        }
    }
}
