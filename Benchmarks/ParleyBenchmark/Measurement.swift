import CHeap
import Foundation

/// Readings of one thing, repeated: the median is the figure, the extremes its spread.
struct Readings {
    let values: [Double]

    var median: Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return .nan }
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }
    var least: Double { values.min() ?? .nan }
    var most: Double { values.max() ?? .nan }
}

enum Stopwatch {
    /// Processor time of the calling thread in nanoseconds: what else runs on the machine hardly shows in it.
    static func threadNanoseconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
    }

    /// Nanoseconds of processor time per operation, for several ways of doing one thing. Every repetition runs each way
    /// once, so that a slow spell of the machine meets them all.
    ///
    /// - Parameters:
    ///   - operations: how many operations one call of a way does.
    ///   - repetitions: how often every way is called; one more comes first and is not counted.
    static func interleaved(
        operations: Int, repetitions: Int, _ ways: [() throws -> Void]
    ) throws -> [Readings] {
        var values = [[Double]](repeating: [], count: ways.count)
        for repetition in 0...repetitions {
            for (index, way) in ways.enumerated() {
                let start = threadNanoseconds()
                try way()
                let spent = threadNanoseconds() - start
                if repetition > 0 { values[index].append(spent / Double(operations)) }
            }
        }
        return values.map(Readings.init(values:))
    }

    /// The ratio of two readings, repetition by repetition.
    static func ratio(_ upper: Readings, _ lower: Readings) -> Readings {
        Readings(values: zip(upper.values, lower.values).map { $0 / $1 })
    }
}

/// What a scenario found: rows of named figures under one heading.
struct Report: Encodable {
    struct Figure: Encodable {
        let name: String
        let unit: String
        let median: Double
        let least: Double
        let most: Double

        init(_ name: String, _ unit: String, _ readings: Readings) {
            self.name = name
            self.unit = unit
            median = readings.median
            least = readings.least
            most = readings.most
        }

        init(_ name: String, _ unit: String, _ value: Double) {
            self.init(name, unit, Readings(values: [value]))
        }

        /// With enough digits to compare, and the spread where there is one.
        var text: String {
            let digits = abs(median) >= 1000 ? 0 : abs(median) >= 20 ? 1 : 2
            func written(_ value: Double) -> String { String(format: "%.\(digits)f", value) }
            let figure = "\(written(median)) \(unit)"
            return least == most ? figure : "\(figure) (\(written(least))–\(written(most)))"
        }
    }

    struct Row: Encodable {
        let name: String
        let figures: [Figure]
    }

    let scenario: String
    let explanation: String
    var rows: [Row] = []

    /// A heading, what is measured, and one line a row.
    var table: String {
        var text = "## \(scenario)\n\n\(explanation)\n\n"
        guard let columns = rows.first?.figures.map(\.name) else { return text }
        let cells = rows.map { row in [row.name] + row.figures.map(\.text) }
        let heading = [""] + columns
        let widths = heading.indices.map { column in
            max(heading[column].count, cells.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0)
        }
        func line(_ cells: [String]) -> String {
            let padded = zip(cells, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
            return "| " + padded.joined(separator: " | ") + " |\n"
        }
        text += line(heading)
        text += line(widths.map { String(repeating: "-", count: $0) })
        for cells in cells { text += line(cells) }
        return text
    }
}

/// The heap and the resident pages of this process.
struct MemoryUse {
    /// Octets that the allocator has handed out and not got back, its own large mappings included.
    let heap: Double
    /// Octets of physical memory.
    let resident: Double

    static func now() -> MemoryUse {
        let fields = ((try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? "").split(separator: " ")
        let pages = fields.count > 1 ? Double(fields[1]) ?? .nan : .nan
        return MemoryUse(
            heap: Double(parley_heap_octets()),
            resident: pages * Double(sysconf(Int32(_SC_PAGESIZE))))
    }
}
