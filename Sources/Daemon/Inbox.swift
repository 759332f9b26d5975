import Certificates
import IPsec
import Platform
import Primitives
import Synchronization

/// What reaches the control loop from other threads, in order, bounded: a flood costs messages, never memory.
final class Inbox: Sendable {
    enum Item: Sendable {
        case datagram(Datagram)
        case inboundTraffic(ChildID)
        case exhausted(ChildID)
        case expired(ChildID)
        /// A packet met a policy that waits for its SA.
        case acquire(connection: String, child: String)
        /// The peer's NAT gave the child's packets another source.
        case mappingChanged(ChildID, Endpoint)
        /// The machine's addresses or routes are others.
        case pathsChanged
        /// A script of the operator's says something, or failed.
        case scriptSaid(String)
        case resolved([String: [IPAddress]])
        case signal(Signals.Kind)
        /// Somebody's word about revocation, or none.
        case fetched(RevocationInquiry, Result<RevocationFinding, FetchFailure>)
        /// Somebody who watches asks for the state as text.
        case observe(Observatory.Subject, @Sendable (String) -> Void)
    }

    /// Items beyond this are dropped and counted.
    static let capacity = 4096

    private let items = Mutex<[Item]>([])
    private let droppedCount = Atomic<UInt64>(0)
    let wakeup = Wakeup()

    var dropped: UInt64 { droppedCount.load(ordering: .relaxed) }

    var count: Int { items.withLock { $0.count } }

    func post(_ item: Item) { post(item, capacity: Inbox.capacity) }

    /// Posts what comes once for something that we asked, however full the inbox is: whoever asks bounds how many those are.
    func insist(_ item: Item) { post(item, capacity: .max) }

    private func post(_ item: Item, capacity: Int) {
        let (isFirst, isFull) = items.withLock { items in
            if items.count >= capacity { return (false, true) }
            items.append(item)
            return (items.count == 1, false)
        }
        if isFull { droppedCount.add(1, ordering: .relaxed) }
        if isFirst { wakeup.signal() }
    }

    /// Takes everything out.
    func take() -> [Item] {
        wakeup.clear()
        return items.withLock { items in
            defer { items = [] }
            return items
        }
    }
}
