import CPlatform
import Glibc

/// Tells when the machine's addresses or routes change, so that SAs can move (RFC 4555).
package final class PathMonitor: Sendable {
    /// Can be read when something may have changed.
    package let descriptor: Int32

    /// - Throws: where the kernel has no route netlink for us.
    package init() throws(PlatformError) {
        descriptor = try PlatformError.check(parley_path_monitor(), "route netlink")
    }

    deinit { close(descriptor) }

    /// Takes the kernel's messages; whether an address, or a route of the main table, is another. Our own routes to tunnels
    /// stand in another table and do not count.
    package func takeChanges() -> Bool { parley_path_changed(descriptor) > 0 }
}
