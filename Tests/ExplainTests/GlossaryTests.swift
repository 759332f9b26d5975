import Testing

@testable import Explain

@Suite struct GlossaryTests {
    @Test func aNameHasItsSenseInAnySpelling() throws {
        for word in ["NO_PROPOSAL_CHOSEN", "no-proposal-chosen", "No Proposal Chosen"] {
            let meanings = Glossary.meanings(of: word)
            #expect(
                meanings.map(\.kind) == ["IKEv2 notification, an error", "IKEv1 notification, an error"], "\(word)")
            #expect(meanings.allSatisfy { $0.number == 14 && $0.remedy != nil && $0.sender != nil })
        }
        #expect(Glossary.meanings(of: "TS_UNACCEPTABLE").first?.remedy?.contains("local_ts") == true)
        #expect(Glossary.meanings(of: "nat-d").map(\.number) == [20])
        #expect(Glossary.meanings(of: "SKF").first?.means.contains("piece") == true)
    }

    @Test func aNumberHasEverySenseThatItHas() {
        #expect(
            Glossary.meanings(of: "14").map(\.name) == ["NO_PROPOSAL_CHOSEN", "NO-PROPOSAL-CHOSEN", "Attributes"])
        #expect(Glossary.meanings(of: "36136").map(\.name) == ["R-U-THERE"])
        #expect(Glossary.meanings(of: "65000").isEmpty)
        #expect(Glossary.meanings(of: "").isEmpty)
        #expect(Glossary.meanings(of: "99999999999999999999999").isEmpty)
    }

    @Test func everyNamedNotificationAndPayloadCanBeExplained() {
        for isVersion2 in [false, true] {
            for (number, name) in NotificationNames.all(isVersion2: isVersion2) {
                let version = isVersion2 ? "IKEv2" : "IKEv1"
                #expect(
                    Glossary.meanings(of: name).contains { $0.number == Int(number) && $0.kind.hasPrefix(version) })
            }
            for (number, name) in PayloadNames.all(isVersion2: isVersion2) {
                #expect(
                    Glossary.meanings(of: name).contains { $0.kind.hasSuffix(" \(number)") || $0.number == Int(number) }
                )
            }
        }
    }

    /// An error of RFC 2408 or RFC 7296 has words of its own, not only those of its range.
    @Test func errorsSayWhatTheyMean() {
        for number in [1, 4, 5, 7, 9, 11, 14, 17, 24, 34, 35, 36, 37, 38, 39, 43, 44] + Array(1...30) {
            let meanings = Glossary.meanings(of: "\(number)").filter { $0.kind.contains("an error") }
            #expect(!meanings.isEmpty, "\(number)")
            #expect(
                meanings.allSatisfy { $0.number != number || $0.means != "the sender could not go on" }, "\(number)")
        }
    }

    @Test func refusalsSpeakAsTheLogDoes() {
        let timeout = Glossary.meanings(of: "timeout")
        #expect(timeout.map(\.means) == ["the peer did not finish in time"])
        #expect(Glossary.meanings(of: "no_credential").first?.remedy?.contains("secrets.ike-NAME") == true)
    }

    @Test func linesFit() {
        for name in Glossary.names {
            let lines = Glossary.lines(Glossary.meanings(of: name))
            #expect(!lines.isEmpty && lines.allSatisfy { $0.count <= 100 }, "\(name)")
        }
        #expect(Glossary.lines([]).isEmpty)
        #expect(Glossary.names == Glossary.names.sorted() && Set(Glossary.names).count == Glossary.names.count)
    }
}
