import Glibc

/// Wakes a thread that sleeps in ``Poller/wait(_:until:)``: a pipe that any thread may write to.
package final class Wakeup: Sendable {
    package let descriptor: Int32
    private let writer: Int32

    package init() {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "a process can have one more pipe")
        descriptor = ends[0]
        writer = ends[1]
        for end in ends {
            _ = fcntl(end, F_SETFD, FD_CLOEXEC)
            _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
    }

    deinit {
        close(descriptor)
        close(writer)
    }

    package func signal() {
        var octet: UInt8 = 1
        // A full pipe wakes as well.
        _ = write(writer, &octet, 1)
    }

    /// Takes all signals so far back.
    package func clear() {
        var buffer = [UInt8](repeating: 0, count: 64)
        while read(descriptor, &buffer, buffer.count) == buffer.count {}
    }
}

/// Sleeping until a descriptor is ready or a moment has come.
package enum Poller {
    package struct Interest: Sendable {
        package var descriptor: Int32
        package var wantsToRead: Bool
        package var wantsToWrite: Bool

        package init(_ descriptor: Int32, wantsToRead: Bool = true, wantsToWrite: Bool = false) {
            self.descriptor = descriptor
            self.wantsToRead = wantsToRead
            self.wantsToWrite = wantsToWrite
        }
    }

    /// The descriptors that are ready (or broken) after at most `milliseconds`; -1 waits for ever.
    package static func wait(_ interests: [Interest], milliseconds: Int32) -> Set<Int32> {
        var entries = interests.map {
            pollfd(
                fd: $0.descriptor, events: Int16(($0.wantsToRead ? POLLIN : 0) | ($0.wantsToWrite ? POLLOUT : 0)),
                revents: 0)
        }
        guard poll(&entries, nfds_t(entries.count), milliseconds) > 0 else { return [] }
        return Set(entries.filter { $0.revents != 0 }.map(\.fd))
    }
}
