import Glibc

/// A system call that failed.
package struct PlatformError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was tried, in words.
    package var operation: String
    /// The `errno` value.
    package var code: Int32

    package init(_ operation: String, code: Int32) {
        self.operation = operation
        self.code = code
    }

    /// EINVAL: what is there is not what it should be.
    package static var invalid: Int32 { EINVAL }

    /// Whether the process lacks the right to do it.
    package var isPermission: Bool { code == EPERM || code == EACCES }

    package var description: String { "\(operation): \(String(cString: strerror(code)))" }

    /// The result of a CPlatform call, or its error.
    static func check<Number: SignedInteger>(_ result: Number, _ operation: @autoclosure () -> String)
        throws(PlatformError) -> Number
    {
        guard result < 0 else { return result }
        throw PlatformError(operation(), code: Int32(-result))
    }
}
