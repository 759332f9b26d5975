/// A version of TLS that is spoken inside EAP, as `charon.tls` names it.
package enum TLSVersion: String, Hashable, Sendable, CaseIterable, Comparable {
    /// RFC 5246.
    case v12 = "1.2"
    /// RFC 8446.
    case v13 = "1.3"

    package static func < (left: TLSVersion, right: TLSVersion) -> Bool { left.rawValue < right.rawValue }
}
