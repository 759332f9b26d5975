import Cryptography

/// Packets of one SA that wait for its cipher, in the order of their numbers. Allocated once.
final class WorkQueue {
    static let capacity = 64

    // SAFETY: allocated in init, freed in deinit; `batch` covers only what was added since `count` was 0.
    private let storage: UnsafeMutablePointer<PacketCipher.Work>
    var count = 0

    init() {
        storage = .allocate(capacity: Self.capacity)
    }

    deinit { storage.deallocate() }

    var hasRoom: Bool { count < Self.capacity }
    var batch: UnsafeMutableBufferPointer<PacketCipher.Work> {
        UnsafeMutableBufferPointer(start: storage, count: count)
    }

    /// There must be room.
    func add(_ work: PacketCipher.Work) {
        precondition(hasRoom, "a full queue is emptied before more comes")
        (storage + count).initialize(to: work)
        count += 1
    }
}
