import DataPlane
import Glibc
import IPsec
import Primitives
import Synchronization

/// A change that the control side posts to a worker.
enum PlaneChange: Sendable {
    /// Its counters, and the worker that seals packets of the same policy.
    case install(SecurityAssociation, AssociationCounters, owner: Int, CongestionMeter?)
    case remove(SPI, ChildID)
    /// Packets with this SPI, which we have offered, may come before its SA.
    case expect(SPI)
    /// The same for packets with AH.
    case expectHeader(SPI)
    case move(ChildID, local: Endpoint, remote: Endpoint)
    /// Payloads that packets share are for outer packets of as many octets from now on.
    case resize(ChildID, octets: Int)
    /// How large packets with segments of TCP may be changed.
    case limitSegments(Int)
    case setPolicy(SecurityPolicy)
    case clearPolicy(SecurityPolicy)
    /// To be sent once the changes before it hold.
    case send(Datagram)
    case stop
}

/// Changes on their way to one worker. The worker looks at one atomic flag a packet and takes the lock only when it is
/// set, so a change holds from the first packet that it handles after ``post(_:)``.
final class Mailbox: Sendable {
    let wakeup = Wakeup()
    private let pending = Atomic<Bool>(false)
    private let hasKnocked = Atomic<Bool>(false)
    private let changes = Mutex<[PlaneChange]>([])

    /// Changes that concern coming packets alone wait for one of these, but not in any number.
    private static let quietMaximum = 64

    /// With `quietly` the worker is not woken for it: it sees the change before the next packet.
    func post(_ change: PlaneChange, quietly: Bool = false) {
        let count = changes.withLock { changes in
            changes.append(change)
            return changes.count
        }
        pending.store(true, ordering: .releasing)
        if !quietly || count >= Mailbox.quietMaximum { wakeup.signal() }
    }

    /// Says that another worker has handed packets over; wakes the worker unless it has been told already.
    func knock() {
        if !hasKnocked.exchange(true, ordering: .sequentiallyConsistent) { wakeup.signal() }
    }

    /// To be called before handed-over packets are looked for.
    func answer() { hasKnocked.store(false, ordering: .sequentiallyConsistent) }

    var isEmpty: Bool { !pending.load(ordering: .acquiring) }

    /// All changes posted so far, in order.
    func take() -> [PlaneChange] {
        pending.store(false, ordering: .sequentiallyConsistent)
        return changes.withLock { changes in
            defer { changes = [] }
            return changes
        }
    }
}

/// A thread that can be waited for.
final class Worker {
    private var thread = pthread_t()

    private final class Body {
        let run: () -> Void
        init(_ run: @escaping () -> Void) { self.run = run }
    }

    /// Runs `body` on a thread of its own. What `body` holds belongs to that thread from now on.
    init(_ body: sending @escaping () -> Void) {
        // SAFETY: the retained box is released exactly once, by the thread that takes it.
        let argument = Unmanaged.passRetained(Body(body)).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Body>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, argument)
        precondition(status == 0, "the machine can run two more threads")
    }

    /// Waits for the thread's end.
    func join() { pthread_join(thread, nil) }
}
