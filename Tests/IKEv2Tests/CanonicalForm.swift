import Cryptography
import Primitives

/// A hash of everything that decides how a value goes on, by reflection, so that a property added later counts without
/// being named here. Equal values have equal hashes whatever way they came about.
///
/// Instants are collected apart: they matter by how far they lie from now.
struct CanonicalForm {
    private(set) var hasher = Hasher()
    private(set) var instants: [Instant] = []

    /// Fixed for a whole exploration, or a number that goes up with every call. Chance follows from each input there, and
    /// how often a request was sent again decides nothing before it is given up, which takes more losses than there are.
    private static let fixed: Set<String> = ["connection", "policies", "settings", "now", "randomness", "attempt"]
    /// Instants that are told to operators, and the sign of life, which no timer asks for here.
    private static let told: Set<String> = ["lastHeard", "established", "installed"]

    mutating func combine(_ value: some Hashable) { hasher.combine(value) }

    mutating func walk(_ value: Any) {
        // Secrets follow from the nonces, SPIs and public values beside them.
        if value is Secret { return }
        if let instant = value as? Instant {
            instants.append(instant)
            return
        }
        let mirror = Mirror(reflecting: value)
        if mirror.displayStyle == .dictionary {
            // In no order: the sum of the entries' hashes.
            var sum = 0
            for entry in mirror.children {
                var form = CanonicalForm()
                form.walk(entry.value)
                instants += form.instants
                sum &+= form.hasher.finalize()
            }
            hasher.combine(sum)
            return
        }
        if let hashable = value as? any Hashable {
            hasher.combine(AnyHashable(hashable))
            return
        }
        if mirror.children.isEmpty, mirror.displayStyle == .enum { hasher.combine("\(value)") }
        hasher.combine(mirror.children.count)
        for child in mirror.children {
            if let label = child.label {
                if CanonicalForm.fixed.contains(label) { continue }
                if CanonicalForm.told.contains(label), child.value is Instant { continue }
                if mirror.displayStyle == .enum { hasher.combine(label) }
            }
            walk(child.value)
        }
    }
}
