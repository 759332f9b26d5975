import Explain
import IPsec
package import Platform

/// Writes the keys of all SAs into a directory that Wireshark and tshark take as a profile. Only where the operator asked
/// for it by name when the daemon started: who reads these files reads the traffic.
package final class KeyLog {
    private var descriptors: [AnalyserTables.Table: Int32] = [:]
    /// Says that an SA is missing in the files.
    package var complain: (String) -> Void = { _ in }

    /// Makes the directory and its files where they are missing; what is in them stays.
    package init(directory: String) throws(PlatformError) {
        try NewFile.makeDirectory(directory, isPrivate: true)
        for table in AnalyserTables.Table.allCases {
            descriptors[table] = try NewFile.openPrivateLog("\(directory)/\(table.rawValue)")
        }
        let preferences = "\(directory)/preferences"
        if !NewFile.exists(preferences) {
            try NewFile.write(Array("esp.enable_encryption_decode: TRUE\n".utf8), to: preferences, isPrivate: true)
        }
    }

    deinit {
        for descriptor in descriptors.values { NewFile.close(descriptor) }
    }

    func note(_ keys: KeyLine) { write(keys.line, missing: keys.what) }

    /// Appends a line that a daemon gave away, to the table of that name; `false` where there is no such table.
    package func append(_ line: String, to table: String) -> Bool {
        guard let table = AnalyserTables.Table(rawValue: table), !line.contains("\n") else { return false }
        write((table, line), missing: "an SA")
        return true
    }

    /// To be told that a daemon gave keys away for which no table has a name.
    package func lacks(_ what: String) { write(nil, missing: what) }

    private func write(_ line: (table: AnalyserTables.Table, text: String)?, missing: String) {
        guard let line, let descriptor = descriptors[line.table] else {
            complain("the keys of \(missing) are not logged: Wireshark's tables have no name for its suite")
            return
        }
        do {
            try NewFile.write(Array("\(line.text)\n".utf8), to: descriptor)
        } catch {
            complain("the keys of \(missing) are not logged: \(error)")
        }
    }
}
