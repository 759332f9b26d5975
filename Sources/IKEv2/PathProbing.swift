import IPsec
import ISAKMP
import Primitives

/// How large packets may be that reach the peer, learned from what arrives (RFC 4821, RFC 8899): ICMP, which would tell it, is
/// lost on many paths and believed by none who cannot check it.
///
/// A probe is an INFORMATIONAL request with a notification of private use, as long as the packet is to be, which must not be
/// cut on its way. Where it seems lost it is said again in fragments (RFC 7383 §2.5.2), so that the exchange ends as any
/// other; then the size is too large.
struct PathProbing: Sendable {
    /// Octets of IP packets that links and tunnels are known to take; the first is taken for granted (RFC 8200 §5).
    static let sizes = [1280, 1320, 1360, 1380, 1400, 1420, 1440, 1460, 1472, 1480, 1492, 1500]
    /// What was lost once may have been lost for another reason (RFC 8899 §5.1.2: MAX_PROBES).
    static let maximumTries = 2
    /// Before the first: what comes with a new SA goes first.
    static let delay = Duration.seconds(5)

    /// The largest size that is known to pass, and the smallest that is known not to, by their place in `sizes`.
    private(set) var passing = 0
    private(set) var failing = sizes.count
    private var tries = 0
    /// What was found, as it was told last.
    var found: Int?

    var isOver: Bool { failing - passing == 1 }
    /// The size to try next: the largest first, which is the rule, and then halfway.
    var next: Int { Self.sizes[failing == Self.sizes.count ? failing - 1 : (passing + failing) / 2] }
    /// The largest packet that passed, once the search is over.
    private(set) var result = sizes[0]

    /// What came of a probe for a size, a packet of `octets`: ciphers of blocks do not make every length.
    mutating func note(_ size: Int, octets: Int, passed: Bool) {
        guard size == next, !isOver, let place = Self.sizes.firstIndex(of: size) else { return }
        if passed {
            passing = place
            result = max(octets, Self.sizes[0])
        } else {
            tries += 1
            guard tries >= Self.maximumTries else { return }
            failing = place
        }
        tries = 0
    }

    /// Begins the search anew.
    mutating func begin() {
        passing = 0
        failing = Self.sizes.count
        result = Self.sizes[0]
        tries = 0
    }
}

extension IKESession {
    /// Measures the path from the beginning, a while from now.
    mutating func measurePath(after delay: Duration = PathProbing.delay, _ context: inout Context) {
        guard context.settings.probesPaths, !remote.isStream else { return }
        probing.begin()
        context.set(.probePath, after: delay)
    }

    /// Sends the next probe. A peer that takes no fragments could not be told again in pieces, and is not asked.
    mutating func startProbe(_ context: inout Context) throws(Fault) {
        guard let sa = current, sa.peerTakesFragments, let index = index(of: sa.ownSPI), !remote.isStream else {
            return
        }
        let size = probing.next
        let outer = (remote.address.family == .v4 ? 20 : 40) + 8 + (local.port == context.settings.natPort ? 4 : 0)
        // How long the message is with one length of the notification shows with which it is as long as it may be.
        var room = size - outer
        for _ in 0..<2 {
            let trial = try associations[index].seal(
                .informationalV2, messageID: sa.nextRequestID, isResponse: false, [Self.probe(room)],
                &context.environment.randomness, limit: .max)
            room -= max(0, (trial.first?.count ?? 0) + outer - size)
            guard room > 0 else { return }
        }
        try request(
            sa.ownSPI, .informationalV2, [Self.probe(room)], .probe(size: size, octets: size, isWhole: true), &context)
        guard let last = associations[index].pending.indices.last,
            let octets = associations[index].pending[last].datagrams.first?.count
        else { return }
        associations[index].pending[last].exchange = .probe(size: size, octets: outer + octets, isWhole: true)
    }

    private static func probe(_ octets: Int) -> Payload {
        NotifyPayload(.pathProbe, data: [UInt8](repeating: 0, count: octets)).payload
    }

    /// The probe seems lost: what it says goes again in pieces.
    mutating func cutProbe(_ pending: inout PendingRequest, _ index: Int, _ context: inout Context) throws(Fault) {
        guard case .probe(let size, let octets, true) = pending.exchange else { return }
        pending.exchange = .probe(size: size, octets: octets, isWhole: false)
        pending.datagrams = try associations[index].seal(
            pending.type, messageID: pending.messageID, isResponse: false, pending.payloads,
            &context.environment.randomness, limit: Fragmentation.smallestOctets)
    }

    mutating func concludeProbe(_ size: Int, octets: Int, isWhole: Bool, _ context: inout Context) {
        guard context.settings.probesPaths else { return }
        probing.note(size, octets: octets, passed: isWhole)
        guard probing.isOver else { return plan(.probePath) }
        if probing.found != probing.result {
            probing.found = probing.result
            context.report(.pathMeasured(octets: probing.result))
        }
        measurePath(after: context.settings.probingInterval, &context)
    }
}
