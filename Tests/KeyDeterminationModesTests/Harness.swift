import Cryptography
import ISAKMP
import KeyDeterminationModes
import Primitives

typealias ModeNode = FrameworkNode<ModeFunctions>
typealias ModeSession = FrameworkSession<ModeFunctions>
typealias ModePolicy = ExchangePolicy<Secret>
typealias ModeOutcome = ExchangeOutcome<Secret>

/// Keys that both ends of a test hold. Public keys are played by symmetric ones: what is encrypted "to" an identity is
/// sealed under a key that only this holder derives for it; what these tests ask is whose key an exchange uses, and when.
struct KeyHolder: Sendable {
    var shared: [UInt8] = Array("a key of this test".utf8)
    /// Whose private keys are here.
    var identities: Set<[UInt8]> = []
    var secret: [UInt8] = Array("all keys of this test".utf8)
    private static let encryption = Encryption(.aesGCM16, keyBits: 128)

    private func key(_ identity: [UInt8], _ use: UInt8) -> Secret {
        let derived = try! PseudorandomFunction.derive(
            .hmacSHA256, key: Secret(secret), [.open([use]), .open(identity)])
        return derived[0..<20]
    }

    func answer(_ question: ExchangeQuestion<Secret>) -> ExchangeAnswer<Secret> {
        switch question {
        case .sharedKey: return .key(Secret(shared))
        case .sign(let identity, let octets):
            guard identities.contains(identity) else { return .refused }
            return .octets(signature(identity, octets))
        case .verify(let identity, let octets, let signature):
            return ConstantTime.equal(signature, self.signature(identity, octets)) ? .holds : .refused
        case .encrypt(let identity, let plaintext):
            let sealed = try! MessageCipher.seal(
                Self.encryption, key: key(identity, 1), explicitIV: [UInt8](repeating: 7, count: 8), additionalData: [],
                plaintext.exposed)
            return .octets(sealed)
        case .decrypt(let identity, let ciphertext):
            guard identities.contains(identity),
                let plaintext = try? MessageCipher.open(
                    Self.encryption, key: key(identity, 1), explicitIV: [UInt8](repeating: 7, count: 8),
                    additionalData: [], ciphertext)
            else { return .refused }
            return .key(Secret(plaintext))
        }
    }

    private func signature(_ identity: [UInt8], _ octets: [UInt8]) -> [UInt8] {
        try! PseudorandomFunction.compute(.hmacSHA256, key: key(identity, 2), [.open(octets)])
    }
}

enum Identities {
    static func name(_ text: String) -> [UInt8] { [2, 0, 0, 0] + Array(text.utf8) }
    static let left = name("left.example")
    static let right = name("right.example")
    /// The responder's well-known one.
    static let gate = name("gate.example")
}

/// Two nodes, a wire between them, and virtual time.
struct Wire {
    static let addresses = [IPAddress(v4: 0x0A00_0001), IPAddress(v4: 0x0A00_0002)]
    static func parties(_ node: Int) -> AntiCloggingCookie.Parties {
        AntiCloggingCookie.Parties(
            own: Endpoint(addresses[node], port: 500), peer: Endpoint(addresses[1 - node], port: 500))
    }

    var nodes: [ModeNode]
    var holders = [
        KeyHolder(identities: [Identities.left]), KeyHolder(identities: [Identities.right, Identities.gate]),
    ]
    var randomness: [Randomness]
    var now = Instant(nanoseconds: 1_000_000_000_000)
    /// Under way: to whom, what.
    var underWay: [(to: Int, octets: [UInt8])] = []
    /// Every datagram that was sent, in order.
    var sent: [(from: Int, octets: [UInt8])] = []
    var events: [[FrameworkEvent<Secret>]] = [[], []]
    var asked: [[ExchangeQuestion<Secret>]] = [[], []]
    /// Looks at each datagram before it arrives; `nil` loses it.
    var tamper: (@Sendable (_ number: Int, _ octets: [UInt8]) -> [UInt8]?)?

    init(
        seed: UInt64 = 1, settings: FrameworkSettings = .init(), phaseOne: [ExchangeOffering<Secret>] = [],
        phaseTwo: [ExchangeOffering<Secret>] = [], functions: ModeFunctions = .init()
    ) {
        nodes = (0..<2).map { index in
            var node = ModeNode(
                functions: functions,
                cookies: AntiCloggingCookie(secret: Secret([UInt8](repeating: UInt8(index + 1), count: 32))),
                settings: settings)
            if index == 1 { node.phaseOne = phaseOne }
            node.phaseTwo = phaseTwo
            return node
        }
        randomness = [.seeded(seed), .seeded(seed &+ 1000)]
    }

    static func suite(
        _ authentication: ExchangeSuite.Authentication = .sharedKey, group: UInt32 = 31, hash: UInt16 = 4
    ) -> ExchangeSuite {
        ExchangeSuite(
            cipher: ModeProposal.aesGCM, keyBits: 256, hash: hash, authentication: authentication, group: group)
    }

    static func policy(_ node: Int, _ suites: [ExchangeSuite] = [suite()]) -> ModePolicy {
        var policy = ModePolicy(
            offer: ModeProposal.offer(suites),
            identities: node == 0 ? [Identities.left] : [Identities.right, Identities.gate],
            peerIdentity: node == 0 ? Identities.right : nil,
            accepts: { $0 == (node == 0 ? Identities.right : Identities.left) })
        if node == 0 { policy.given[OakleyModes.publicIdentity] = .open(Identities.gate) }
        return policy
    }

    @discardableResult
    mutating func begin(_ description: ExchangeDescription, _ policy: ModePolicy) -> FrameworkSessionID {
        let (id, effects) = nodes[0].begin(description, policy, with: Self.parties(0), now, &randomness[0])
        perform(effects, at: 0)
        return id
    }

    mutating func feed(_ input: FrameworkInput<Secret>, to id: FrameworkSessionID, at node: Int) {
        perform(nodes[node].handle(input, for: id, now, &randomness[node]), at: node)
    }

    mutating func perform(_ effects: [ModeNode.Effect], at node: Int) {
        for effect in effects {
            switch effect {
            case .send(_, let octets):
                sent.append((node, octets))
                let number = sent.count
                if let tamper {
                    if let changed = tamper(number, octets) { underWay.append((1 - node, changed)) }
                } else {
                    underWay.append((1 - node, octets))
                }
            case .ask(let id, let question, let what):
                asked[node].append(what)
                feed(.answer(question, holders[node].answer(what)), to: id, at: node)
            case .report(_, let event): events[node].append(event)
            }
        }
    }

    mutating func deliver(_ octets: [UInt8], to node: Int) {
        perform(nodes[node].receive(octets, from: Self.parties(node), now, &randomness[node]), at: node)
    }

    /// Everything under way arrives, and what follows from it.
    mutating func settle() {
        while !underWay.isEmpty {
            let (to, octets) = underWay.removeFirst()
            deliver(octets, to: to)
        }
    }

    /// Lets time pass, with everything that is due.
    mutating func run(for duration: Duration) {
        let end = now + duration
        settle()
        while let next = nodes.compactMap(\.nextDeadline).min(), next <= end {
            now = max(now, next)
            for index in nodes.indices {
                perform(nodes[index].fireDeadlines(now, &randomness[index]), at: index)
            }
            settle()
        }
        now = end
    }

    func outcomes(_ node: Int) -> [ModeOutcome] {
        events[node].compactMap { if case .finished(let outcome) = $0 { outcome } else { nil } }
    }

    func refusals(_ node: Int) -> [ExchangeRefusal] {
        events[node].compactMap { if case .failed(_, let refusal?) = $0 { refusal } else { nil } }
    }

    func messages(_ node: Int) -> [TracedMessage] {
        events[node].compactMap { if case .message(let message) = $0 { message } else { nil } }
    }
}
