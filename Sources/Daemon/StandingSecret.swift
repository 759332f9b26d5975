import Cryptography
import Platform
import Primitives

/// The secret that outlives a restart, in a file that only we may read: tokens of RFC 6290 come of it.
enum StandingSecret {
    static let octetCount = 32

    /// Reads the secret in a directory; makes both where they are missing.
    ///
    /// - Throws: what the system refuses, and `EINVAL` where the file holds anything else.
    static func load(directory: String) throws(PlatformError) -> Secret {
        let path = "\(directory)/secret"
        if NewFile.exists(path) {
            let octets = try FileContents.read(path)
            guard octets.count == octetCount else { throw PlatformError("read \(path)", code: PlatformError.invalid) }
            return Secret(octets)
        }
        if !NewFile.exists(directory) { try NewFile.makeDirectory(directory, isPrivate: true) }
        var randomness = Randomness.system
        let octets = randomness.octets(octetCount)
        try NewFile.write(octets, to: path, isPrivate: true)
        return Secret(octets)
    }
}
