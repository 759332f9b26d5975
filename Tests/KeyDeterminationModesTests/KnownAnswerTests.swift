import Cryptography
import ISAKMP
import KeyDeterminationModes
import Primitives
import Testing
import VectorSupport

/// Every exchange and mode against what `reference/modes.py` makes of the standards' equations.
@Suite struct KnownAnswerTests {
    static let descriptions =
        FrameworkExchanges.all.filter(\.isComplete) + [
            OakleyModes.aggressive, OakleyModes.hiddenIdentities, OakleyModes.withoutExponentials,
            OakleyModes.conservative, OakleyModes.conservativeWithSignatures, OakleyModes.quick,
            OakleyModes.externalKeyDistribution, OakleyModes.newGroup, SKEMEModes.basic, SKEMEModes.shareOnly,
            SKEMEModes.preSharedKey, SKEMEModes.fastRekey,
        ]
    static let records = VectorFile("key-determination-modes").records

    private typealias Run = ExchangeRun<ModeFunctions>

    /// In the vectors, what is encrypted is only marked.
    private func answer(_ question: ExchangeQuestion<Secret>) -> ExchangeAnswer<Secret> {
        switch question {
        case .sharedKey: .key(Secret(Array("a key of this test".utf8)))
        case .encrypt(_, let plaintext): .octets([0xEE] + plaintext.exposed)
        case .decrypt(_, let ciphertext): .key(Secret(Array(ciphertext.dropFirst())))
        case .sign, .verify: .refused
        }
    }

    private func run(_ record: VectorFile.Record, _ role: Role) throws -> Run {
        let description = try #require(Self.descriptions.first { $0.name == record[text: "test"] })
        let method: ExchangeSuite.Authentication = record[text: "method"] == "4" ? .encryption : .sharedKey
        let suite = Wire.suite(method, group: try #require(UInt32(record[text: "group"])))
        var policy = Wire.policy(role == .initiator ? 0 : 1, [suite])
        let isInitiator = role == .initiator
        let fields: [(String, Symbol, Bool)] = [
            ("ni", .initiatorNonce, isInitiator), ("nr", .responderNonce, !isInitiator),
            ("si", Symbol("Ni", .share), isInitiator), ("sr", Symbol("Nr", .share), !isInitiator),
            ("ki", Symbol("sKi", .share), isInitiator), ("kr", Symbol("sKr", .share), !isInitiator),
            ("ka", Symbol("K_A", .share), isInitiator), ("kb", Symbol("K_B", .share), !isInitiator),
        ]
        for (field, symbol, isOurs) in fields where isOurs && !record[text: field].isEmpty {
            policy.given[symbol] =
                symbol.kind == .share ? .secret(Secret(record[field])) : .open(record[field])
        }
        if record[text: "message1"].contains("1:") || description.beginsWithCookies {
        } else {
            policy.suite = suite
            policy.given[.parentKey] = .secret(Secret((0..<32).map { UInt8($0) }))
            policy.given[.initiatorIdentity] = .open(Identities.left)
            policy.given[.responderIdentity] = .open(Identities.right)
        }
        if isInitiator {
            policy.given[OakleyModes.externalKey] = .secret(Secret(Array("a key from elsewhere".utf8)))
            policy.given[OakleyModes.groupDescriptor] = .open([1, 2, 3, 4, 5])
        }
        var run = Run(description, role: role, functions: ModeFunctions(), policy: policy)
        run.setCookies(initiator: Cookie(0x0102_0304_0506_0708), responder: Cookie(0x1112_1314_1516_1718))
        return run
    }

    /// Takes a step until every question is answered.
    private func step<Result>(_ run: inout Run, _ body: (inout Run) throws(Run.Fault) -> Result) throws -> Result {
        for _ in 0..<8 {
            var attempt = run
            do throws(Run.Fault) {
                let result = try body(&attempt)
                run = attempt
                return result
            } catch {
                switch error {
                case .needs(let question):
                    run.keepDraws(of: attempt)
                    run.answers.append(answer(question))
                case .refused(let refusal): throw refusal
                }
            }
        }
        Issue.record("a step asks for ever")
        throw ExchangeRefusal.authentication
    }

    @Test func everyCompleteExchangeHasAnAnswer() {
        #expect(Set(Self.records.map { $0[text: "test"] }) == Set(Self.descriptions.map(\.name)))
    }

    @Test(arguments: records) func messagesAndKeysAreAsComputedElsewhere(_ record: VectorFile.Record) throws {
        var runs = [try run(record, .initiator), try run(record, .responder)]
        // The generators that the reference draws the private values from.
        var randomness: [Randomness] = [.seeded(5), .seeded(6)]
        let rules = runs[0].description.messages
        #expect(rules.count == Int(record[text: "count"]))
        for (number, rule) in rules.enumerated() {
            let sender = rule.sender == .initiator ? 0 : 1
            let payloads = try step(&runs[sender]) { (run) throws(Run.Fault) in try run.say(&randomness[sender]) }
            let said = payloads.map { "\($0.type.rawValue):\($0.body.hex)" }.joined(separator: " ")
            #expect(said == record[text: "message\(number + 1)"], "message \(number + 1)")
            runs[sender].sent([UInt8(number)])
            try step(&runs[1 - sender]) { (run) throws(Run.Fault) in
                try run.judge(payloads, isEncrypted: rule.isEncrypted)
            }
            runs[1 - sender].accepted([UInt8(number)])
        }
        for index in 0..<2 {
            let result = try step(&runs[index]) { (run) throws(Run.Fault) in try run.result() }
            #expect((result?.key.exposed ?? []) == record["key"])
            #expect((result?.name ?? []) == record["keyName"] || result == nil)
            #expect(runs[index].isPeerProven)
        }
    }
}
