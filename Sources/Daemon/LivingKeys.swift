import Explain
import IPsec
import Primitives

/// Keys of an SA as they are given away: a line of a table of Wireshark's.
struct KeyLine {
    /// `nil` where the tables have no name for an algorithm.
    var line: (table: AnalyserTables.Table, text: String)?
    /// The SA in words.
    var what: String

    init(_ keys: DisclosedKeys) {
        line = AnalyserTables.line(keys)
        what = "an IKE SA"
    }

    init(_ keys: PacketKeys) {
        line = AnalyserTables.line(keys)
        what = "the ESP SA \(keys.spi)"
    }
}

/// The keys of the ESP SAs that are installed, for a capture that begins later. The data plane has them as well, in its ciphers,
/// but on other threads; they are zeroed once the SA is removed here and there.
struct LivingKeys {
    private var directions: [ChildID: [(direction: SecurityAssociation.Direction, keys: PacketKeys)]] = [:]

    /// Every child with keys, the oldest first.
    var children: [ChildID] { directions.keys.sorted { $0.value < $1.value } }

    subscript(child: ChildID) -> [PacketKeys] { directions[child]?.map(\.keys) ?? [] }

    mutating func install(_ keys: PacketKeys, _ direction: SecurityAssociation.Direction, of child: ChildID) {
        directions[child, default: []].append((direction, keys))
    }

    mutating func remove(_ spi: SPI, _ direction: SecurityAssociation.Direction, of child: ChildID) {
        directions[child]?.removeAll { $0.keys.spi == spi && $0.direction == direction }
        if directions[child]?.isEmpty == true { directions[child] = nil }
    }

    /// A child's packets go between other addresses; gives its keys where that is news.
    mutating func move(_ child: ChildID, local: IPAddress, remote: IPAddress) -> [PacketKeys] {
        guard let old = directions[child] else { return [] }
        let moved = old.map { direction, keys in
            var keys = keys
            (keys.source, keys.destination) = direction == .outbound ? (local, remote) : (remote, local)
            return (direction: direction, keys: keys)
        }
        directions[child] = moved
        return zip(old, moved).filter {
            $0.keys.source != $1.keys.source || $0.keys.destination != $1.keys.destination
        }.map(\.1.keys)
    }
}
