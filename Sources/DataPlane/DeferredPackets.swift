import Cryptography
import Primitives

/// Inbound packets of one SA that wait to be opened together, with where they came from. Allocated once.
final class DeferredPackets {
    private struct Origin {
        var from: Endpoint
        var trafficClass: UInt8
    }

    let work = WorkQueue()
    private(set) var association: InboundAssociation?
    // SAFETY: allocated in init, freed in deinit; as many are initialized as `work` counts.
    private let origins: UnsafeMutablePointer<Origin>

    init() { origins = .allocate(capacity: WorkQueue.capacity) }

    deinit {
        clear()
        origins.deallocate()
    }

    var count: Int { work.count }
    var isFull: Bool { !work.hasRoom }

    /// Whether a packet of the SA can join those that wait.
    func takes(_ candidate: InboundAssociation) -> Bool {
        work.hasRoom && (count == 0 || association === candidate)
    }

    func add(_ association: InboundAssociation, _ packet: PacketCipher.Work, _ from: Endpoint, _ trafficClass: UInt8) {
        self.association = association
        (origins + count).initialize(to: Origin(from: from, trafficClass: trafficClass))
        work.add(packet)
    }

    func origin(_ index: Int) -> (Endpoint, UInt8) { (origins[index].from, origins[index].trafficClass) }

    func clear() {
        origins.deinitialize(count: count)
        work.count = 0
        association = nil
    }
}
