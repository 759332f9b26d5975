internal import CLibcrypto

/// Octets that must not leak: wiped when the last reference goes, compared in constant time, without a description.
///
/// Share it by reference; take parts with ``subscript(_:)``, which copies into another `Secret`.
package final class Secret: Sendable {
    // SAFETY: allocated in an initialiser, written only there (before the reference is shared) and in deinit (after the
    // last reference is gone); read-only between. Immutable memory may be read from any thread.
    nonisolated(unsafe) private let storage: UnsafeMutableRawBufferPointer

    /// Octets held.
    package var count: Int { storage.count }

    /// A secret whose octets `fill` writes into zeroed memory of `count` octets.
    package init<Failure: Error>(
        count: Int, fill: (UnsafeMutableRawBufferPointer) throws(Failure) -> Void
    ) throws(Failure) {
        storage = .allocate(byteCount: count, alignment: 8)
        storage.initializeMemory(as: UInt8.self, repeating: 0)
        try fill(storage)
    }

    /// Copies octets in. The caller's copy stays the caller's to forget.
    package convenience init(_ octets: [UInt8]) {
        self.init(count: octets.count) { $0.copyBytes(from: octets) }
    }

    /// Copies octets in. The caller's copy stays the caller's to forget.
    package convenience init(_ octets: some Collection<UInt8>) {
        self.init(count: octets.count) { $0.copyBytes(from: octets) }
    }

    /// The octets of several secrets, one after another.
    package convenience init(concatenating parts: [Secret]) {
        self.init(count: parts.reduce(0) { $0 + $1.count }) { target in
            var offset = 0
            for part in parts {
                UnsafeMutableRawBufferPointer(rebasing: target[offset..<(offset + part.count)])
                    .copyMemory(from: UnsafeRawBufferPointer(part.storage))
                offset += part.count
            }
        }
    }

    deinit {
        if let base = storage.baseAddress { OPENSSL_cleanse(base, storage.count) }
        storage.deallocate()
    }

    /// A part of the secret, counted from 0. The range must lie within it.
    package subscript(_ range: Range<Int>) -> Secret {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "a part lies within its secret")
        return Secret(count: range.count) { target in
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: storage[range]))
        }
    }

    /// Reads the octets in place. The pointer must not outlive the call.
    package func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(storage))
    }

    /// A plain copy, for the few places that must write a secret out (key export, a derived public value). The caller
    /// answers for it.
    package var exposed: [UInt8] { Array(storage) }
}

extension Secret: CustomReflectable {
    /// Shows nothing: neither the octets nor where they lie.
    package var customMirror: Mirror { Mirror(self, children: [], displayStyle: .class) }
}

extension Secret: Equatable {
    /// Compares in time that depends on the lengths only.
    package static func == (left: Secret, right: Secret) -> Bool {
        left.count == right.count
            && (left.count == 0
                || CRYPTO_memcmp(left.storage.baseAddress, right.storage.baseAddress, left.count) == 0)
    }
}

/// Comparison of authenticators in time that depends on the lengths only.
package enum ConstantTime {
    package static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        left.count == right.count && (left.isEmpty || CRYPTO_memcmp(left, right, left.count) == 0)
    }
}
