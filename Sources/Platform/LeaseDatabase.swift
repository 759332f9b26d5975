import CSQLite
import Glibc
package import IPsec
package import Primitives

/// Who was given which virtual address, in a file that outlives the process. Blocks; used from one thread.
package final class LeaseDatabase {
    package struct Row: Hashable, Sendable {
        package var address: IPAddress
        package var pool: String
        package var identity: Identity

        package init(address: IPAddress, pool: String, identity: Identity) {
            self.address = address
            self.pool = pool
            self.identity = identity
        }
    }

    /// What SQLite says.
    package struct Failure: Error, Hashable, Sendable, CustomStringConvertible {
        package let description: String

        package init(description: String) { self.description = description }
    }

    private let handle: OpaquePointer

    /// Opens the file, and makes it where it is missing.
    package init(_ path: String) throws(Failure) {
        var opened: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        let result = sqlite3_open_v2(path, &opened, flags, nil)
        guard result == SQLITE_OK, let opened else {
            let text = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "no memory"
            sqlite3_close(opened)
            throw Failure(description: text)
        }
        handle = opened
        _ = chmod(path, 0o600)
        // A write-ahead log keeps what is committed over the death of this process, which is what counts here; the last moments before
        // the machine's own death may be lost, and cost somebody the address.
        try run("PRAGMA journal_mode = WAL")
        try run("PRAGMA synchronous = NORMAL")
        try run(
            """
            CREATE TABLE IF NOT EXISTS lease (
                address BLOB PRIMARY KEY, pool TEXT NOT NULL, kind INTEGER NOT NULL, identity BLOB NOT NULL,
                turn INTEGER NOT NULL)
            """)
    }

    deinit { sqlite3_close_v2(handle) }

    private var failure: Failure { Failure(description: String(cString: sqlite3_errmsg(handle))) }

    private func run(_ text: String) throws(Failure) {
        guard sqlite3_exec(handle, text, nil, nil, nil) == SQLITE_OK else { throw failure }
    }

    private func prepare(_ text: String) throws(Failure) -> OpaquePointer {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, text, -1, &statement, nil) == SQLITE_OK, let statement else { throw failure }
        return statement
    }

    private func bind(_ octets: [UInt8], _ index: Int32, _ statement: OpaquePointer) {
        // SQLite takes a null pointer for NULL, and an empty array has one.
        let kept = octets.isEmpty ? [0] : octets
        // SAFETY: SQLite copies the octets before the call returns.
        _ = kept.withUnsafeBytes { parley_bind_blob(statement, index, $0.baseAddress, Int32(octets.count)) }
    }

    /// Makes changes, all or none.
    package func record(_ changes: [AddressLeases.Change]) throws(Failure) {
        try run("BEGIN")
        do throws(Failure) {
            for change in changes { try record(change) }
            try run("COMMIT")
        } catch {
            try? run("ROLLBACK")
            throw error
        }
    }

    private func record(_ change: AddressLeases.Change) throws(Failure) {
        let statement: OpaquePointer
        switch change {
        case .given(let address, let pool, let identity):
            statement = try prepare(
                "INSERT OR REPLACE INTO lease (address, pool, kind, identity, turn) "
                    + "VALUES (?1, ?2, ?3, ?4, (SELECT COALESCE(MAX(turn), 0) + 1 FROM lease))")
            bind(address.octets, 1, statement)
            _ = parley_bind_text(statement, 2, pool, Int32(pool.utf8.count))
            _ = sqlite3_bind_int(statement, 3, Int32(identity.kind.rawValue))
            bind(identity.octets, 4, statement)
        case .forgotten(let address):
            statement = try prepare("DELETE FROM lease WHERE address = ?1")
            bind(address.octets, 1, statement)
        }
        defer { sqlite3_finalize(statement) }
        guard sqlite3_step(statement) == SQLITE_DONE else { throw failure }
    }

    /// All leases, those that were given first before others, up to as many as are remembered. What cannot be read is passed over.
    package func rows() throws(Failure) -> [Row] {
        let statement = try prepare("SELECT address, pool, kind, identity FROM lease ORDER BY turn LIMIT ?1")
        defer { sqlite3_finalize(statement) }
        _ = sqlite3_bind_int(statement, 1, Int32(AddressLeases.maximumRemembered))
        func octets(_ column: Int32) -> [UInt8] {
            let count = Int(sqlite3_column_bytes(statement, column))
            guard count > 0, let pointer = sqlite3_column_blob(statement, column) else { return [] }
            // SAFETY: the column has `count` octets until the next step.
            return Array(UnsafeRawBufferPointer(start: pointer, count: count))
        }
        var rows: [Row] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_DONE: return rows
            case SQLITE_ROW:
                guard let address = IPAddress(octets: octets(0)),
                    let kind = UInt8(exactly: sqlite3_column_int(statement, 2))
                else { continue }
                rows.append(
                    Row(
                        address: address, pool: String(decoding: octets(1), as: UTF8.self),
                        identity: Identity(Identity.Kind(rawValue: kind), octets: octets(3))))
            default: throw failure
            }
        }
    }
}
