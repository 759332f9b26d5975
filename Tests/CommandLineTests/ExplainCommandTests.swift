import ArgumentParser
import Explain
import Foundation
import Testing

@testable import parley

@Suite struct ExplainCommandTests {
    private func end(_ arguments: [String]) -> Int32 {
        do {
            var command = try Parley.parseAsRoot(["explain"] + arguments)
            try command.run()
            return 0
        } catch let code as ExitCode {
            return code.rawValue
        } catch {
            return Parley.exitCode(for: error) == .validationFailure ? EndCode.usage.rawValue : 99
        }
    }

    private func withConfiguration(_ body: (String) -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "explain-\(UUID().uuidString).conf").path
        let text = """
            connections { home {
                version = 1
                remote_addrs = 192.0.2.2
                proposals = aes256-sha256-modp2048
                local { auth = psk }
                remote { auth = psk }
                children { net { esp_proposals = aes256-sha256 } }
            } }
            """
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: path) }
        body(path)
    }

    @Test func partsAndWordsAreFound() {
        for word in ["isakmp", "IKE", "Oakley", "skeme", "NO_PROPOSAL_CHOSEN", "14", "timeout"] {
            #expect(end([word]) == 0, "\(word)")
            #expect(end([word, "--json"]) == 0, "\(word)")
        }
        #expect(end([]) == 0)
        #expect(end(["--json"]) == 0)
        #expect(end(["nothing-of-the-kind"]) == EndCode.failure.rawValue)
    }

    @Test func aConnectionComesFromAConfiguration() throws {
        try withConfiguration { path in
            #expect(end(["ike", "--connection", "home", "--config", path]) == 0)
            #expect(end(["ike", "--connection", "hom", "--config", path]) == EndCode.failure.rawValue)
            #expect(end(["14", "--connection", "home", "--config", path]) == EndCode.usage.rawValue)
            #expect(end(["--connection", "home", "--config", path]) == EndCode.usage.rawValue)
            #expect(end(["ike", "--config", path]) == EndCode.usage.rawValue)
        }
        #expect(end(["ike", "--connection", "home", "--config", "/nonexistent"]) == EndCode.failure.rawValue)
    }

    @Test func JSONHoldsTheTables() throws {
        let text = ExplainCommand.json(Composition.explain(.isakmp)).text()
        let object = try #require(JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
        #expect(object["part"] as? String == "ISAKMP")
        #expect((object["answer"] as? [String])?.count == 2)
        let exchanges = try #require(object["exchanges"] as? [[String: Any]])
        #expect(exchanges.map { $0["number"] as? Int } == [1, 2, 3, 4, 5])
        #expect(exchanges.allSatisfy { $0["used"] == nil })
        let meaning = ExplainCommand.json(try #require(Glossary.meanings(of: "14").first)).text(indentation: 0)
        #expect(meaning.hasPrefix(#"{"name":"NO_PROPOSAL_CHOSEN","kind":"IKEv2 notification, an error","number":14,"#))
    }
}
