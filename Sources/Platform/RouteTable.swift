import CPlatform
import Glibc
import IPsec
import Primitives

/// Routes to remote selectors through the TUN device, in a table of their own that a rule points to (RFC 4301 leaves the
/// forwarding to us). Counted, since a rekeyed SA has the routes of the old one. All of it goes when the value does.
struct RouteTable: ~Copyable {
    private let table: UInt32
    private let interface: UInt32
    private let mark: UInt32
    private let installsRoutes: Bool
    private var users: [Prefix: Int] = [:]
    private var ruled: Set<IPAddress.Family> = []
    private var policies: Set<SecurityPolicy> = []
    /// Virtual addresses of the device.
    private var addresses: Set<IPAddress> = []
    /// What the kernel refused; the last few.
    private(set) var failures: [PlatformError] = []

    init(table: Int, interface: UInt32, mark: UInt32, installsRoutes: Bool = true) {
        self.installsRoutes = installsRoutes
        self.table = UInt32(clamping: table)
        self.interface = interface
        self.mark = mark
        // A process that was killed has left its rules, and on a device that somebody keeps also routes and addresses.
        note(parley_reclaim(self.table, interface), "take back what an earlier run left")
    }

    deinit {
        for prefix in users.keys { _ = Self.change(false, prefix, table, interface, source: nil) }
        for policy in policies where policy.action == .bypass {
            for rule in Self.rules(policy) { _ = Self.change(false, rule, table) }
        }
        for address in addresses {
            var target = parley_address(address)
            _ = parley_interface_address(0, &target, interface)
        }
        for family in ruled { _ = parley_rule(0, family.rawValue, mark, table, table) }
    }

    /// Routes for one more SA.
    mutating func add(_ association: SecurityAssociation) {
        add(association.localSelectors, association.remoteSelectors)
    }

    private mutating func add(_ localSelectors: [TrafficSelector], _ remoteSelectors: [TrafficSelector]) {
        guard installsRoutes else { return }
        let locals = LocalAddresses.all()
        for prefix in Self.prefixes(remoteSelectors) {
            addRule(prefix.address.family)
            users[prefix, default: 0] += 1
            guard users[prefix] == 1 else { continue }
            // Our own packets into the tunnel must come from an address that the policy covers.
            let source = locals.first { address in
                address.family == prefix.address.family
                    && localSelectors.contains { $0.first <= address && address <= $0.last }
            }
            note(Self.change(true, prefix, table, interface, source: source), "route to \(prefix)")
        }
    }

    /// Routes for an SPD entry without an SA: what it discards or holds must come here, and what it lets pass must not.
    mutating func add(_ policy: SecurityPolicy) {
        guard installsRoutes, policies.insert(policy).inserted else { return }
        if policy.action == .bypass { return change(true, bypass: policy) }
        add(policy.localSelectors, policy.remoteSelectors)
    }

    mutating func remove(_ policy: SecurityPolicy) {
        guard policies.remove(policy) != nil else { return }
        if policy.action == .bypass { return change(false, bypass: policy) }
        remove(policy.remoteSelectors)
    }

    /// Rules before the table's own, by which packets that the entry covers look the main table up: the kernel's rules
    /// know prefixes, a protocol and ports, as selectors do.
    private mutating func change(_ adds: Bool, bypass policy: SecurityPolicy) {
        for rule in Self.rules(policy) { note(Self.change(adds, rule, table), "rule to bypass \(rule)") }
    }

    private static func change(_ adds: Bool, _ rule: BypassRule, _ table: UInt32) -> Int32 {
        var request = parley_bypass()
        request.source = parley_address(rule.source.address)
        request.source_length = UInt32(rule.source.length)
        request.destination = parley_address(rule.destination.address)
        request.destination_length = UInt32(rule.destination.length)
        request.protocol = rule.ipProtocol
        (request.source_port_first, request.source_port_last) = rule.sourcePorts
        (request.destination_port_first, request.destination_port_last) = rule.destinationPorts
        let result = parley_bypass_rule(adds ? 1 : 0, &request, table - 1)
        return result == -EEXIST ? 0 : result
    }

    /// A selector pair in the kernel's terms.
    struct BypassRule: Hashable {
        var source: Prefix
        var destination: Prefix
        var ipProtocol: UInt8
        var sourcePorts: (UInt16, UInt16) { (firstSourcePort, lastSourcePort) }
        var destinationPorts: (UInt16, UInt16) { (firstDestinationPort, lastDestinationPort) }
        var firstSourcePort: UInt16
        var lastSourcePort: UInt16
        var firstDestinationPort: UInt16
        var lastDestinationPort: UInt16
    }

    static func rules(_ policy: SecurityPolicy) -> [BypassRule] {
        policy.localSelectors.flatMap { local in
            policy.remoteSelectors.filter { remote in
                remote.family == local.family
                    && (local.ipProtocol == remote.ipProtocol || local.ipProtocol == 0 || remote.ipProtocol == 0)
            }.flatMap { remote in
                prefixes([local]).flatMap { source in
                    prefixes([remote]).map { destination in
                        BypassRule(
                            source: source, destination: destination,
                            ipProtocol: max(local.ipProtocol, remote.ipProtocol), firstSourcePort: local.firstPort,
                            lastSourcePort: local.lastPort, firstDestinationPort: remote.firstPort,
                            lastDestinationPort: remote.lastPort)
                    }
                }
            }
        }
    }

    /// One SA less.
    mutating func remove(_ remoteSelectors: [TrafficSelector]) {
        for prefix in Self.prefixes(remoteSelectors) {
            guard let count = users[prefix] else { continue }
            users[prefix] = count == 1 ? nil : count - 1
            if count == 1 { note(Self.change(false, prefix, table, interface, source: nil), "drop route to \(prefix)") }
        }
    }

    /// Gives the device an address of its own.
    mutating func addAddress(_ address: IPAddress) {
        guard addresses.insert(address).inserted else { return }
        var target = parley_address(address)
        note(parley_interface_address(1, &target, interface), "virtual address \(address)")
    }

    mutating func removeAddress(_ address: IPAddress) {
        guard addresses.remove(address) != nil else { return }
        var target = parley_address(address)
        note(parley_interface_address(0, &target, interface), "drop virtual address \(address)")
    }

    private mutating func addRule(_ family: IPAddress.Family) {
        guard ruled.insert(family).inserted else { return }
        let result = parley_rule(1, family.rawValue, mark, table, table)
        // A rule of another program that is the same serves as well.
        if result != -EEXIST { note(result, "rule for table \(table)") }
    }

    private mutating func note(_ result: Int32, _ operation: String) {
        guard result < 0 else { return }
        if failures.count >= 16 { failures.removeFirst() }
        failures.append(PlatformError(operation, code: -result))
    }

    private static func change(
        _ adds: Bool, _ prefix: Prefix, _ table: UInt32, _ interface: UInt32, source: IPAddress?
    ) -> Int32 {
        var target = parley_address(prefix.address)
        var hint = source.map { parley_address($0) } ?? parley_address()
        return parley_route(adds ? 1 : 0, &target, UInt32(prefix.length), table, interface, &hint)
    }

    /// The smallest set of prefixes that the selectors' ranges are made of, without repetitions. Protocols and ports do
    /// not matter for routes; the policy looks at them.
    static func prefixes(_ selectors: [TrafficSelector]) -> [Prefix] {
        var found: [Prefix] = []
        for selector in selectors {
            var next: IPAddress? = selector.first
            while let first = next, first <= selector.last {
                // The largest block that starts here and ends in the range.
                let bits = first.family.bitCount
                var hostBits = min(bits, first.value == 0 ? bits : first.value.trailingZeroBitCount)
                while hostBits > 0, let prefix = Prefix(first, length: bits - hostBits), prefix.last > selector.last {
                    hostBits -= 1
                }
                guard let prefix = Prefix(first, length: bits - hostBits) else { break }
                if !found.contains(prefix) { found.append(prefix) }
                next = prefix.last.successor
            }
        }
        return found
    }
}
