/// How phase 1 is authenticated, as its transforms number it (RFC 2409 Appendix A, draft-beaulieu-ike-xauth-02 §7.2).
package struct AuthenticationNumber: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let preSharedKey = AuthenticationNumber(rawValue: 1)
    /// By pre-shared key, and the initiator's user by Extended Authentication: XAUTHInitPreShared.
    package static let extendedInitiatorPreSharedKey = AuthenticationNumber(rawValue: 65_001)
    /// Likewise the responder's: XAUTHRespPreShared.
    package static let extendedResponderPreSharedKey = AuthenticationNumber(rawValue: 65_002)
}
