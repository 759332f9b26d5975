import Credentials
import KeyManagement

extension TunnelKeeper {
    /// Lets go of what a session needs no more: its user is known, or it is over.
    func record(_ event: Event) {
        guard let session = event.session else { return }
        switch event.kind {
        case .closed, .session(.established): end(session)
        case .session, .dropped, .noticed: break
        }
    }
}
