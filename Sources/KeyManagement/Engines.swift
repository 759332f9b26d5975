import IKEv1
import IKEv2

extension KeyManager.Engines {
    /// IKE (RFC 2409) and its successor (RFC 7296).
    package static var standard: KeyManager.Engines { KeyManager.Engines(v1: IKEv1Session.self, v2: IKESession.self) }
}
