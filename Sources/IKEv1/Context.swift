import IPsec
import ISAKMP
import Primitives

/// What one call of ``IKEv1Session/handle(_:_:)`` works with: the environment, moved in, and the effects so far.
struct Context {
    var environment: SessionEnvironment
    private(set) var effects: [SessionEffect] = []
    /// SPIs taken in this call: given back where the input is refused in the end.
    private var freshSPIs: [SPI] = []
    /// Addresses that were leased in this call; likewise.
    private var freshLeases: [(address: IPAddress, holder: SessionID)] = []

    /// Moves the environment in, so that its set of SPIs and its leases are not duplicated.
    init(taking environment: inout SessionEnvironment) {
        self.environment = environment
        environment.spisInUse = []
        environment.leases = AddressLeases()
    }

    var now: Instant { environment.now }
    var settings: EngineSettings { environment.settings }

    mutating func emit(_ effect: SessionEffect) { effects.append(effect) }
    mutating func report(_ event: SessionEvent) { effects.append(.report(event)) }
    mutating func note(_ text: String) { report(.note(text)) }

    /// A message of ours has its answer, maybe after retransmissions.
    mutating func noteAnswered(_ messageID: UInt32, attempts: Int) {
        guard attempts > 0 else { return }
        report(.noticed(.answeredLate(messageID: messageID, retransmissions: attempts)))
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

    /// `duration` less a random part of up to `jitter`; `nil` for zero, which means never.
    mutating func jittered(_ duration: Duration, by jitter: Duration) -> Duration? {
        guard duration > .zero else { return nil }
        return max(duration - jitter * environment.randomness.fraction(), min(duration, .seconds(1)))
    }
}
