import Configuration
import Control
import IPsec
import KeyManagement
import Primitives

/// Pools of virtual addresses as vici's `get-pools`, `load-pool` and `unload-pool` have them: charon's keys.
enum PoolMessages {
    /// Every pool, or the one that `name` names, with its leases where `leases` asks for them.
    static func pools(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        let name = message.text("name")
        var answer = ViciMessage()
        for pool in loop.manager.policies.pools where name == nil || name == pool.name {
            answer.add(pool.name, section: self.message(pool, loop.manager.leases, withLeases: message.flag("leases")))
        }
        return answer
    }

    private static func message(_ pool: AddressPool, _ leases: AddressLeases, withLeases: Bool) -> ViciMessage {
        let counts = leases.counts(of: pool.name)
        var body = ViciMessage()
        body.add("base", pool.base)
        body.add("size", pool.size)
        body.add("online", counts.online)
        body.add("offline", counts.offline)
        guard withLeases else { return body }
        var list = ViciMessage()
        for (index, entry) in leases.leases(of: pool.name).enumerated() {
            var lease = ViciMessage()
            lease.add("address", entry.address)
            lease.add("identity", entry.lease.identity)
            lease.add("status", entry.lease.isOnline ? "online" : "offline")
            list.add("\(index)", section: lease)
        }
        body.add("leases", section: list)
        return body
    }

    /// Loads the pool that the message's one section describes. What is wrong with it comes back.
    static func load(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let (name, section) = message.sections.first, message.sections.count == 1 else {
            return "load-pool takes one section, named for the pool"
        }
        var values: [(key: String, value: String)] = []
        for entry in section.entries {
            switch entry.element {
            case .value: values.append((entry.name, section.text(entry.name) ?? ""))
            case .list: values.append((entry.name, section.list(entry.name).joined(separator: ", ")))
            case .section: return "'\(entry.name)' of a pool is no section"
            }
        }
        do {
            loop.load(try AddressPool.read(name, values))
            return nil
        } catch {
            return error.description
        }
    }

    /// Unloads a pool, unless somebody has an address of it.
    static func unload(_ message: ViciMessage, _ loop: ControlLoop) -> String? {
        guard let name = message.text("name") else { return "missing pool name to unload" }
        guard loop.manager.policies.pool(name) != nil else { return "\(name) not found" }
        let online = loop.manager.leases.counts(of: name).online
        guard online == 0 else { return "\(online) addresses of pool '\(name)' are in use" }
        loop.unload(pool: name)
        return nil
    }
}
