import Cryptography
import IPsec
import ISAKMP
import Primitives

/// What a session knows of being sent on (RFC 5685).
struct Redirection: Sendable {
    /// Whether the peer said that it can be sent on.
    var isTakenByPeer = false
    /// The gateway that sent us here.
    var cameFrom: IPAddress?
}

/// The data of N(REDIRECT) and N(REDIRECTED_FROM): type and length of an identity, the identity, and in IKE_SA_INIT the
/// initiator's nonce (RFC 5685 §7.2, §7.3).
struct RedirectData: Hashable, Sendable {
    var gateway: RedirectGateway
    var nonce: [UInt8] = []

    init(_ gateway: RedirectGateway, nonce: [UInt8] = []) {
        self.gateway = gateway
        self.nonce = nonce
    }

    init?(_ data: [UInt8]) {
        guard data.count >= 2, data.count >= 2 + Int(data[1]) else { return nil }
        let identity = data[2..<2 + Int(data[1])]
        switch (data[0], identity.count) {
        case (1, 4), (2, 16):
            guard let address = IPAddress(octets: identity) else { return nil }
            gateway = .address(address)
        case (3, 1...RedirectGateway.maximumNameOctets):
            guard let text = String(validating: identity, as: UTF8.self), case .name(let name)? = RedirectGateway(text)
            else { return nil }
            gateway = .name(name)
        default: return nil
        }
        nonce = Array(data[(2 + identity.count)...])
    }

    var octets: [UInt8] {
        switch gateway {
        case .address(let address):
            let octets = address.octets
            return [address.family == .v4 ? 1 : 2, UInt8(truncatingIfNeeded: octets.count)] + octets + nonce
        case .name(let name): return [3, UInt8(truncatingIfNeeded: name.utf8.count)] + Array(name.utf8) + nonce
        }
    }
}

/// A gateway sends a client on to another: instead of answering IKE_SA_INIT, with its proof in IKE_AUTH, or at any time
/// later (RFC 5685 §3, §5, §6).
///
///     HDR, SAi1, KEi, Ni, N(REDIRECT_SUPPORTED)  -->
///                         <--  HDR, N(REDIRECT, gateway, Ni)
///     HDR, SAi1, KEi, Ni, N(REDIRECTED_FROM)  -->  the other gateway
extension IKESession {
    /// How long a client that was sent on may take to delete the SA itself.
    static let redirectionPause = Duration.seconds(60)

    // MARK: Client

    /// N(REDIRECT_SUPPORTED), or who sent us here, which says the same (RFC 5685 §3).
    func redirectPayloads(_ context: Context) -> [Payload] {
        guard context.settings.followsRedirects else { return [] }
        guard let gateway = redirection.cameFrom else { return [NotifyPayload(.redirectSupported).payload] }
        return [NotifyPayload(.redirectedFrom, data: RedirectData(.address(gateway)).octets).payload]
    }

    /// Instead of an answer to IKE_SA_INIT. Nothing protects it but the nonce, which only who sees our messages knows.
    mutating func follow(
        initial notification: NotifyPayload, nonce: [UInt8], _ context: inout Context
    ) throws(Fault) {
        guard context.settings.followsRedirects, let redirect = RedirectData(notification.data),
            ConstantTime.equal(redirect.nonce, nonce)
        else { throw .unexpected("a redirect that was not asked for, or without our nonce") }
        switch destination(redirect.gateway, &context) {
        case .success(let address):
            context.emit(.redirect(to: address))
            close(.replaced, &context)
        case .failure(let obstacle): fail(.policy(obstacle.reason), &context)
        }
    }

    /// In the response to IKE_AUTH, behind the gateway's proof: the SA stands, and nothing but its end is left to do. With EAP or
    /// several rounds that is the first response or the last (RFC 5685 §6); one between them that holds no proof is not looked at.
    /// `false` where the response says nothing of it.
    mutating func follow(
        authenticated content: MessageContent, _ peer: PeerAuthenticated, _ initiation: Initiation,
        _ context: inout Context
    ) -> Bool {
        guard let notification = content.notification(.redirect), context.settings.followsRedirects else {
            return false
        }
        release(initiation.child, &context)
        phase = .established(peer)
        planned = []
        context.cancel(.halfOpen)
        guard let redirect = RedirectData(notification.data) else {
            let refusal = Refusal.protocolViolation("REDIRECT names no gateway")
            context.report(.refused(child: nil, refusal))
            plan(.deleteIKE(.refused(refusal)))
            return true
        }
        switch destination(redirect.gateway, &context) {
        case .success(let address):
            context.emit(.redirect(to: address))
            plan(.deleteIKE(.replaced))
        case .failure(let obstacle):
            context.report(.refused(child: nil, .policy(obstacle.reason)))
            plan(.deleteIKE(.refused(.policy(obstacle.reason))))
        }
        return true
    }

    /// In an INFORMATIONAL request, which has been answered: another session goes there and takes over from this one.
    mutating func follow(established content: MessageContent, _ context: inout Context) {
        guard let notification = content.notification(.redirect), isInitiator, context.settings.followsRedirects else {
            return
        }
        guard let redirect = RedirectData(notification.data) else {
            context.note("REDIRECT names no gateway")
            return
        }
        switch destination(redirect.gateway, &context) {
        case .success(let address): context.emit(.redirect(to: address))
        case .failure(let obstacle): context.note(obstacle.reason)
        }
    }

    private struct Obstacle: Error { var reason: String }

    /// The address to go to, where we go.
    private func destination(_ gateway: RedirectGateway, _ context: inout Context) -> Result<IPAddress, Obstacle> {
        let known: IPAddress?
        switch gateway {
        case .address(let address): known = address
        case .name(let name):
            // Names are resolved where the configuration says them: a peer does not choose what we look up.
            known =
                context.environment.policies.connections.lazy.flatMap(\.remoteAddresses).compactMap { pattern in
                    guard case .name(let configured, let addresses) = pattern,
                        configured.lowercased() == name.lowercased()
                    else { return nil }
                    return addresses.first
                }.first
        }
        guard let address = known else {
            return .failure(Obstacle(reason: "redirected to \(gateway), which no connection names in remote_addrs"))
        }
        guard address != remote.address else { return .failure(Obstacle(reason: "redirected to where it comes from")) }
        guard context.environment.redirects.admit(connection?.name ?? "", at: context.now) else {
            return .failure(Obstacle(reason: "redirected more than \(RedirectHistory.maximumCount) times in a row"))
        }
        return .success(address)
    }

    // MARK: Gateway

    /// Notes what an IKE_SA_INIT request says, and refuses it where its peers are sent on before any work is done.
    mutating func redirectInitial(_ candidate: Connection, _ content: MessageContent, nonce: [UInt8]) throws(Fault) {
        let origin = content.notification(.redirectedFrom)
        redirection.isTakenByPeer = content.notification(.redirectSupported) != nil || origin != nil
        guard redirection.isTakenByPeer, let policy = candidate.redirect, policy.moment == .initial,
            policy.gateway != .address(local.address),
            // Who was sent here from there is not sent back.
            origin.flatMap({ RedirectData($0.data) })?.gateway != policy.gateway
        else { return }
        throw .redirected(policy.gateway, nonce: nonce)
    }

    /// The last payload of a response to IKE_AUTH that sends the peer on; `nil` where it stays.
    func redirectPayload() -> Payload? {
        guard redirection.isTakenByPeer, let policy = connection?.redirect, policy.moment == .authentication,
            policy.gateway != .address(local.address)
        else {
            return nil
        }
        return NotifyPayload(.redirect, data: RedirectData(policy.gateway).octets).payload
    }

    /// The peer has been told in IKE_AUTH to go elsewhere: the SA waits for the Delete, and for nothing else.
    mutating func sendAway(_ peer: PeerAuthenticated, _ context: inout Context) {
        phase = .established(peer)
        context.cancel(.halfOpen)
        context.note("redirected to \(connection?.redirect?.gateway.description ?? "")")
        awaitDeparture(&context)
    }

    func startRedirect(_ gateway: RedirectGateway, _ context: inout Context) -> [Payload] {
        context.note("redirected to \(gateway)")
        return [NotifyPayload(.redirect, data: RedirectData(gateway).octets).payload]
    }

    /// The client knows: what it does not end itself ends soon (RFC 5685 §5).
    mutating func awaitDeparture(_ context: inout Context) {
        isRetiring = true
        context.set(.expireIKE, after: IKESession.redirectionPause)
    }
}
