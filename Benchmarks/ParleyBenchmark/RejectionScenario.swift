import Cryptography
import Foundation
import Primitives

/// Whether the time of a decryption tells what a ciphertext held: valid ones, ones whose padding does not hold, and ones
/// of a wrong length, mixed at random, one measurement each.
struct RejectionScenario {
    let quick: Bool

    private enum Class: Int, CaseIterable {
        case valid, unpadded, truncated
    }

    func run() throws -> Report {
        var report = Report(
            scenario: "Implicit rejection",
            explanation:
                "Processor time of one RSA-2048 decryption by what the ciphertext holds; t compares with valid "
                + "ones (Welch): below 4.5 nothing is seen.")
        let key = try PrivateKey.generate(.rsa(modulusOctets: 256))
        var randomness = Randomness.seeded(7)
        let count = quick ? 2000 : 20_000
        var samples = [[Double]](repeating: [], count: Class.allCases.count)
        // The first tenth warms caches up and is not counted.
        for number in 0..<(count + count / 10) {
            let kind = Class.allCases[Int(randomness.below(3))]
            var ciphertext: [UInt8]
            switch kind {
            case .valid: ciphertext = try key.publicKey.encrypt(Secret.random(32, &randomness))
            case .unpadded: ciphertext = [0] + randomness.octets(255)
            case .truncated: ciphertext = randomness.octets(255)
            }
            let start = Stopwatch.threadNanoseconds()
            _ = try key.decrypt(ciphertext, lengths: 8...256)
            let spent = Stopwatch.threadNanoseconds() - start
            if number >= count / 10 { samples[kind.rawValue].append(spent / 1000) }
        }
        // The slowest hundredth is the machine's doing.
        let trimmed = samples.map { Array($0.sorted().prefix($0.count * 99 / 100)) }
        for (kind, values) in zip(Class.allCases, trimmed) {
            let sorted = values.sorted()
            let middle = Readings(values: [
                sorted[sorted.count / 4], sorted[sorted.count / 2], sorted[sorted.count * 3 / 4],
            ])
            report.rows.append(
                Report.Row(
                    name: "\(kind)",
                    figures: [
                        .init("decryption (quartiles)", "µs", middle),
                        .init("t", "", abs(RejectionScenario.welch(values, trimmed[0]))),
                    ]))
        }
        return report
    }

    /// Welch's t of two samples.
    private static func welch(_ left: [Double], _ right: [Double]) -> Double {
        func moments(_ values: [Double]) -> (mean: Double, error: Double) {
            let mean = values.reduce(0, +) / Double(values.count)
            let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(values.count - 1)
            return (mean, variance / Double(values.count))
        }
        let (one, other) = (moments(left), moments(right))
        let error = (one.error + other.error).squareRoot()
        return error == 0 ? 0 : (one.mean - other.mean) / error
    }
}
