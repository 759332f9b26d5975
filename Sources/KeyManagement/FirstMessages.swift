import Cryptography
import IPsec
import ISAKMP
import Primitives

/// First messages of Main Mode that were answered without a session, while many half-open SAs weigh on the node.
///
/// Message 2 follows from message 1 and the policies, but for the cookie; and that is made so that it can be known again
/// (RFC 2408 §2.5.3). So nothing need be kept to answer. But message 3 does not bring the offer along, and HASH_I and
/// HASH_R cover it (RFC 2409 §5: SAi_b): message 1 itself is what must be kept, and all that is. Message 3 with our cookie
/// proves the initiator's address; then a session begins from both. The least that Main Mode allows is this bounded
/// store, in which the oldest makes room; an initiator whose message fell out repeats it.
struct FirstMessages: Sendable {
    /// Messages kept, and octets of all of them together.
    static let maximumCount = 2048
    static let maximumOctets = 2 << 20
    /// Messages of one source address.
    static let maximumPerSource = 16
    /// Longer ones are not kept: a hundred transforms fit.
    static let maximumMessageOctets = 8192
    /// Half-open SAs of an address that has proved itself, beyond which it gets no more.
    static let maximumProven = 64

    private struct Entry: Sendable {
        var datagram: Datagram
        var order: UInt64
    }

    private struct Place: Hashable, Sendable {
        var order: UInt64
        var key: KeyManager.InitialKey
    }

    private let cookies: AntiCloggingCookie
    private var entries: [KeyManager.InitialKey: Entry] = [:]
    /// Oldest first; entries that were taken or replaced are passed over.
    private var queue: [Place] = []
    private var head = 0
    private var perSource: [IPAddress: Int] = [:]
    private var octets = 0
    private var lastOrder: UInt64 = 0

    init(_ randomness: inout Randomness) {
        let secret = Secret(randomness.octets(32))
        cookies = AntiCloggingCookie { octets in
            let mark = try? PseudorandomFunction.compute(.hmacSHA256, key: secret, [.open(octets)])
            // Where libcrypto makes no MAC, no SA can stand either.
            return mark ?? [UInt8](repeating: 0, count: 32)
        }
    }

    var count: Int { entries.count }
    var heldOctets: Int { octets }

    private func parties(_ datagram: Datagram) -> AntiCloggingCookie.Parties {
        AntiCloggingCookie.Parties(own: datagram.local, peer: datagram.remote)
    }

    /// The responder's cookie for a first message.
    func cookie(for datagram: Datagram, _ header: Header, now: Instant) -> Cookie {
        cookies.make(for: parties(datagram), initiator: header.initiator, now: now, binding: datagram.octets)
    }

    /// Keeps a first message that was answered; `false` where it is not worth the room.
    mutating func keep(_ datagram: Datagram, _ header: Header) -> Bool {
        guard datagram.octets.count <= FirstMessages.maximumMessageOctets else { return false }
        let key = KeyManager.InitialKey(remote: datagram.remote, cookie: header.initiator)
        if entries[key]?.datagram == datagram { return true }
        remove(key)
        if perSource[datagram.remote.address, default: 0] >= FirstMessages.maximumPerSource {
            // Whoever claims an address a lot pushes out what was said under that address, and nobody else's.
            let own = entries.filter { $0.key.remote.address == datagram.remote.address }
            if let oldest = own.min(by: { $0.value.order < $1.value.order }) { remove(oldest.key) }
        }
        lastOrder += 1
        entries[key] = Entry(datagram: datagram, order: lastOrder)
        queue.append(Place(order: lastOrder, key: key))
        perSource[datagram.remote.address, default: 0] += 1
        octets += datagram.octets.count
        while entries.count > FirstMessages.maximumCount || octets > FirstMessages.maximumOctets { dropOldest() }
        return true
    }

    /// The first message that a third one with our cookie belongs to. It is forgotten here.
    mutating func take(for datagram: Datagram, _ header: Header, now: Instant) -> Datagram? {
        let key = KeyManager.InitialKey(remote: datagram.remote, cookie: header.initiator)
        guard let entry = entries[key], entry.datagram.local == datagram.local,
            cookies.note(
                in: header.responder, for: parties(datagram), initiator: header.initiator, now: now,
                binding: entry.datagram.octets) != nil
        else { return nil }
        remove(key)
        return entry.datagram
    }

    private mutating func remove(_ key: KeyManager.InitialKey) {
        guard let entry = entries.removeValue(forKey: key) else { return }
        octets -= entry.datagram.octets.count
        let source = entry.datagram.remote.address
        if let count = perSource[source] { perSource[source] = count > 1 ? count - 1 : nil }
    }

    private mutating func dropOldest() {
        while head < queue.count {
            let place = queue[head]
            head += 1
            if entries[place.key]?.order == place.order {
                remove(place.key)
                break
            }
        }
        // The part of the queue that is done with goes when it is the larger one.
        if head > 64, head * 2 > queue.count {
            queue.removeFirst(head)
            head = 0
        }
    }
}

extension KeyManager {
    /// Answers a first message of Main Mode without a session: one is made to say message 2, and forgotten.
    mutating func answerWithoutState(_ datagram: Datagram, _ header: Header, _ effects: inout [Effect]) {
        guard firstMessages.keep(datagram, header) else {
            counters.notAdmitted += 1
            return
        }
        counters.challenged += 1
        environment.nextIKESPI = firstMessages.cookie(for: datagram, header, now: environment.now).value
        defer { environment.nextIKESPI = nil }
        var session = engines.v1.init(
            responder: environment.freshSessionID(), local: datagram.local, remote: datagram.remote, &environment)
        for effect in session.handle(.datagram(datagram), &environment) {
            if case .send(let answer) = effect { effects.append(.send(answer)) }
        }
    }

    /// A message 3 with a cookie that was made without state: its first message and it begin a session now. `false` where
    /// it is nothing of the kind.
    mutating func resume(_ datagram: Datagram, _ header: Header, _ effects: inout [Effect]) -> Bool {
        guard header.majorVersion == 1, header.exchange == .identityProtection, header.messageID == 0,
            !header.flags.contains(.encryption), !header.responder.isZero,
            let first = firstMessages.take(for: datagram, header, now: environment.now)
        else { return false }
        guard
            !admission.limits.refusesAll, admission.halfOpen(of: datagram.remote.address) < FirstMessages.maximumProven,
            admission.halfOpen < admission.limits.halfOpenMaximum, sessions.count < admission.limits.sessionMaximum
        else {
            counters.notAdmitted += 1
            return true
        }
        environment.nextIKESPI = header.responder.value
        defer { environment.nextIKESPI = nil }
        var again: [Effect] = []
        let id = openResponder(first, Cookie(header.initiator.value), isVersion2: false, &again)
        // Message 2 went out already.
        effects += again.filter { if case .send = $0 { false } else { true } }
        environment.nextIKESPI = nil
        if sessions[id] != nil { feed(.datagram(datagram), to: id, &effects) }
        return true
    }
}
