import IPsec
import ISAKMP
import Primitives

/// What one call of ``IKESession/handle(_:_:)`` works with: the environment, moved in, and the effects so far.
struct Context {
    var environment: SessionEnvironment
    private(set) var effects: [SessionEffect] = []
    /// SPIs taken in this call: given back where the input is refused in the end.
    private var freshSPIs: [SPI] = []
    /// Addresses that were leased in this call; likewise.
    private var freshLeases: [(address: IPAddress, holder: SessionID)] = []

    /// Moves the environment in. The set of SPIs and the leases are taken out of the caller's copy, so that they are not
    /// duplicated.
    init(taking environment: inout SessionEnvironment) {
        self.environment = environment
        environment.spisInUse = []
        environment.leases = AddressLeases()
        effects.reserveCapacity(8)
    }

    var now: Instant { environment.now }
    var settings: EngineSettings { environment.settings }

    mutating func emit(_ effect: SessionEffect) { effects.append(effect) }
    mutating func report(_ event: SessionEvent) { effects.append(.report(event)) }
    mutating func note(_ text: String) { report(.note(text)) }

    /// A request has its answer, maybe after retransmissions.
    mutating func noteAnswered(_ request: PendingRequest) {
        guard request.attempt > 0 else { return }
        report(.noticed(.answeredLate(messageID: request.messageID, retransmissions: request.attempt)))
    }
    mutating func set(_ timer: SessionTimer, after delay: Duration) {
        effects.append(.setTimer(timer, at: now + delay))
    }
    mutating func cancel(_ timer: SessionTimer) { effects.append(.cancelTimer(timer)) }

    mutating func takeSPI() -> SPI {
        let spi = environment.freshSPI()
        freshSPIs.append(spi)
        return spi
    }

    /// An SPI for a request: the peer may use it as soon as it has answered, before its answer is worked on here.
    mutating func offerSPI() -> SPI {
        let spi = takeSPI()
        emit(.expect(spi))
        return spi
    }

    mutating func takeLease(
        from pool: AddressPool, requested: IPAddress?, for identity: Identity, holder: SessionID
    ) -> IPAddress? {
        let held = environment.leases.addresses(of: holder)
        let address = environment.leases.take(from: pool, requested: requested, for: identity, holder: holder)
        if let address, !held.contains(address) { freshLeases.append((address, holder)) }
        return address
    }

    mutating func giveBack(_ spi: SPI) { environment.spisInUse.remove(spi) }

    /// Forgets what a refused input did.
    mutating func rollBack() {
        for spi in freshSPIs { environment.spisInUse.remove(spi) }
        freshSPIs = []
        for lease in freshLeases { environment.leases.release(lease.address, lease.holder) }
        freshLeases = []
        effects = []
    }

    /// Sends and, where asked for, traces.
    mutating func send(
        _ datagrams: [[UInt8]], from local: Endpoint, to remote: Endpoint, forbidsFragments: Bool = false
    ) {
        for octets in datagrams {
            var datagram = Datagram(local: local, remote: remote, octets: octets)
            datagram.forbidsFragments = forbidsFragments
            emit(.send(datagram))
        }
    }

    mutating func trace(
        outgoing: Bool, _ local: Endpoint, _ remote: Endpoint, _ message: [UInt8], clear: [Payload], inner: [Payload],
        isRetransmission: Bool = false
    ) {
        guard settings.traceMessages else { return }
        let parts =
            clear.map { MessageTrace.Part(type: $0.type.rawValue, body: $0.body, isProtected: false) }
            + inner.map { MessageTrace.Part(type: $0.type.rawValue, body: $0.shown, isProtected: true) }
        report(
            .message(
                MessageTrace(
                    isOutgoing: outgoing, local: local, remote: remote,
                    header: Array(message.prefix(Header.octetCount)), parts: parts,
                    isRetransmission: isRetransmission)))
    }

    /// `duration` less a random part of up to `jitter`; `nil` for zero, which means never.
    mutating func jittered(_ duration: Duration, by jitter: Duration) -> Duration? {
        guard duration > .zero else { return nil }
        let shorter = duration - jitter * environment.randomness.fraction()
        // A jitter as long as the time itself would make it fire at once and for ever.
        return max(shorter, min(duration, .seconds(1)))
    }
}
