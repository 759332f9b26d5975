import Foundation

/// Where echoes went that were not answered, read from what crossed the wire in front of the right host, with the keys that a
/// Parley wrote down.
enum LossPlace: String {
    /// The request never came to the wire: it went missing at the left, or in front of it.
    case left = "the left sent no request"
    /// The request crossed, and no answer did.
    case right = "the right did not answer what had reached it"
    /// The answer crossed, and the left did not take it.
    case leftAgain = "the left did not take the answer"

    /// The end that an echo went missing at.
    var side: Side { self == .right ? .right : .left }
}

extension Recording {
    /// Reads the echoes inside ESP out of a recording with tshark.
    ///
    /// - Parameters:
    ///   - profile: the directory of a key log.
    ///   - sequences: numbers of echoes.
    static func places(of sequences: [Int], in path: URL, profile: URL) throws -> [Int: LossPlace] {
        let wanted = sequences.map(String.init).joined(separator: ",")
        let result = try Subprocess.run(
            ["tshark", "-r", path.path, "-Y", "icmp.seq in {\(wanted)}", "-T", "fields"]
                + ["-e", "icmp.type", "-e", "icmp.seq"],
            environment: ["WIRESHARK_CONFIG_DIR": profile.path], seconds: 300)
        guard result.succeeded else { throw LabFailure(result.description) }
        var requests: Set<Int> = []
        var answers: Set<Int> = []
        for line in result.output.split(separator: "\n") {
            let fields = line.split(separator: "\t").compactMap { Int($0) }
            guard fields.count == 2 else { continue }
            if fields[0] == 8 { requests.insert(fields[1]) } else { answers.insert(fields[1]) }
        }
        return sequences.reduce(into: [:]) { places, sequence in
            places[sequence] =
                answers.contains(sequence) ? .leftAgain : requests.contains(sequence) ? .right : .left
        }
    }
}
