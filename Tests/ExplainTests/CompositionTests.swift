import Cryptography
import IKEv1
import IPsec
import ISAKMP
import Oakley
import Primitives
import SKEME
import Testing

@testable import Explain

/// The parts, held against the tables and against what the code does.
@Suite struct CompositionTests {
    private let home: Connection = {
        let esp = Proposal(
            .esp, encryption: [Encryption(.aesCBC, keyBits: 256)], integrity: [.hmacSHA256_128], keyExchange: [.ecp256])
        var connection = Connection(
            name: "home",
            proposals: [
                Proposal(
                    .ike, encryption: [Encryption(.aesCBC, keyBits: 256)], integrity: [.hmacSHA256_128],
                    prf: [.hmacSHA256], keyExchange: [.modp2048])
            ],
            children: [ChildPolicy(name: "net", proposals: [esp])])
        connection.version = .v1
        return connection
    }()

    private func table(_ key: String, of explanation: Explanation) throws -> Explanation.Table {
        try #require(explanation.tables.first { $0.key == key })
    }

    /// The cells of one column, of all rows or of those that are used.
    private func cells(_ column: String, _ table: Explanation.Table, areUsed: Bool? = nil) throws -> [String] {
        let index = try #require(table.columns.firstIndex { $0.key == column })
        return table.rows.filter { areUsed == nil || $0.isUsed == areUsed }.map { $0.cells[index] }
    }

    @Test(arguments: Composition.Part.allCases)
    func theQuestionIsAnsweredInTwoLines(_ part: Composition.Part) {
        let explanation = Composition.explain(part)
        #expect(explanation.answer.count == 2)
        let answer = explanation.answer.joined(separator: " ")
        #expect(answer.contains("IKE") && answer.contains("ISAKMP"))
        #expect(explanation.lines.prefix(2) == explanation.answer.prefix(2))
    }

    @Test(arguments: Composition.Part.allCases)
    func linesFitAndAlign(_ part: Composition.Part) {
        for line in Composition.explain(part, connection: home).lines {
            #expect(line.count <= 100, "\(line)")
            #expect(line.last != " ")
        }
    }

    @Test func everyCellHasAColumn() {
        for part in Composition.Part.allCases {
            for table in Composition.explain(part).tables {
                #expect(table.rows.allSatisfy { $0.cells.count == table.columns.count && $0.isUsed == nil })
                #expect(!table.rows.isEmpty, "\(table.key)")
            }
        }
    }

    @Test func theFrameworkHasFiveExchangesAndThirteenPayloads() throws {
        let explanation = Composition.explain(.isakmp)
        let exchanges = try table("exchanges", of: explanation)
        #expect(try cells("number", exchanges) == ["1", "2", "3", "4", "5"])
        let payloads = try table("payloads", of: explanation)
        #expect(try cells("number", payloads) == (1...13).map(String.init))
        #expect(try cells("reference", payloads) == (4...16).map { "RFC 2408 §3.\($0)" })
    }

    @Test func everyExchangeOfIKEIsListedWithItsMessages() throws {
        let explanation = Composition.explain(.ike)
        #expect(
            try cells("name", table("exchanges", of: explanation)) == ExchangeCatalogue.all.map(\.name))
        let messages = try table("messages", of: explanation)
        #expect(messages.rows.count == ExchangeCatalogue.all.reduce(0) { $0 + $1.description.messages.count })
        // The figure of RFC 2409 §5.4.
        let main = messages.rows.filter { $0.cells[0] == "Main Mode" }.map { "\($0.cells[1]) \($0.cells[2])" }
        #expect(main.contains("--> HDR, SA") && main.contains("<-- HDR, SA"))
        #expect(main.contains { $0.hasPrefix("--> HDR, KE, NONCE") })
        #expect(main.contains("--> HDR*, ID, HASH") && main.contains("<-- HDR*, ID, HASH"))
    }

    @Test func everyGroupIsListedWithItsOrigin() throws {
        let groups = try table("groups", of: Composition.explain(.oakley))
        let known = (1...1023).map { KeyExchangeID(rawValue: $0) }.filter(KeyDetermination.supports)
        #expect(try cells("number", groups) == known.map { "\($0.rawValue)" })
        #expect(try cells("keyword", groups) == known.map(\.name.keyword))
        #expect(!(try cells("reference", groups).contains("-")))
        #expect(!(try cells("family", groups).contains("other")))
        #expect(try cells("keyword", groups).allSatisfy { !$0.hasPrefix("ke-") })
    }

    @Test func methodsAndTransformsAreThoseThatOffersMayName() throws {
        let explanation = Composition.explain(.ike)
        #expect(try cells("number", table("methods", of: explanation)).contains("1"))
        #expect(!(try cells("name", table("methods", of: explanation)).contains("-")))
        let transforms = try table("transforms", of: explanation)
        let names = try cells("name", transforms)
        #expect(Set(["AES-CBC", "SHA2-256", "ESP_AES-GCM-16", "HMAC-SHA1", "tunnel in UDP"]).isSubset(of: Set(names)))
        #expect(!names.contains { $0.hasPrefix("unknown") || $0.contains("DES-IV64") })
    }

    @Test func aConnectionMarksWhatItUses() throws {
        let ike = Composition.explain(.ike, connection: home)
        let used = try cells("name", table("exchanges", of: ike), areUsed: true)
        #expect(Set(["Main Mode", "Quick Mode", "Informational"]).isSubset(of: Set(used)))
        #expect(try cells("name", table("methods", of: ike), areUsed: true) == ["pre-shared key"])
        let transforms = try cells("name", table("transforms", of: ike), areUsed: true)
        #expect(transforms == ["AES-CBC", "SHA2-256", "ESP_AES-CBC", "HMAC-SHA2-256", "tunnel in UDP"])
        #expect(try cells("number", table("version2", of: ike), areUsed: true).isEmpty)
        let groups = Composition.explain(.oakley, connection: home)
        #expect(try cells("keyword", table("groups", of: groups), areUsed: true) == ["modp2048", "ecp256"])
        let functions = Composition.explain(.skeme, connection: home)
        #expect(
            try cells("name", table("functions", of: functions), areUsed: true)
                .contains("PreSharedKey.proof"))
        let payloads = Composition.explain(.isakmp, connection: home)
        #expect(!(try cells("symbol", table("payloads", of: payloads), areUsed: true).contains("SIG")))
        #expect(ike.lines.contains { $0.hasPrefix("* marks what connection 'home' uses") })
    }

    @Test func version2UsesNoneOfIKEv1() throws {
        var connection = home
        connection.version = .v2
        let ike = Composition.explain(.ike, connection: connection)
        for key in ["exchanges", "messages", "methods", "transforms", "payloads"] {
            #expect(try table(key, of: ike).rows.allSatisfy { $0.isUsed == false }, "\(key)")
        }
        #expect(try table("version2", of: ike).rows.allSatisfy { $0.isUsed == true })
        let skeme = Composition.explain(.skeme, connection: connection)
        #expect(try table("functions", of: skeme).rows.allSatisfy { $0.isUsed == false })
    }

    @Test func namesOfTypesAreOneOfEach() {
        #expect(Set(ExchangeType.all.map(\.type)).count == ExchangeType.all.count)
        #expect(Set(PayloadType.all.map(\.type)).count == PayloadType.all.count)
        #expect(Set(PayloadType.all.map(\.symbol)).count == PayloadType.all.count)
        #expect(Set(Function.all.map(\.name)).count == Function.all.count)
        #expect(PayloadType(rawValue: 99).symbol == "99")
    }
}
