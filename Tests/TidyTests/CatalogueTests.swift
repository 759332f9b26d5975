import Testing

/// `parley explain` prints catalogues; what is defined and stands in none would be left out without a word.
@Suite struct CatalogueTests {
    private func sources(_ target: String) throws -> (catalogue: String, others: [SourceFile]) {
        let files = try SourceFile.all(below: "Sources/\(target)")
        let isCatalogue = { (file: SourceFile) in file.path.hasSuffix("Catalogue.swift") }
        return (
            files.filter(isCatalogue).flatMap(\.lines).joined(separator: "\n"), files.filter { !isCatalogue($0) }
        )
    }

    /// Names that a pattern captures in the code of files.
    private func names(_ files: [SourceFile], _ pattern: Regex<(Substring, Substring)>) -> [(String, String)] {
        files.flatMap { file in
            file.lines.compactMap { line in
                SourceFile.code(line).firstMatch(of: pattern).map { (String($0.output.1), file.path) }
            }
        }
    }

    @Test func everyExchangeAndPayloadTypeHasAnEntry() throws {
        let (catalogue, files) = try sources("ISAKMP")
        for (pattern, fewest) in [
            (/static let (\w+) = ExchangeType\(rawValue: [1-9]/, 12),
            (/static let (\w+) = PayloadType\(rawValue: [1-9]/, 16),
        ] {
            let found = names(files, pattern)
            #expect(found.count >= fewest)
            for (name, path) in found {
                #expect(
                    catalogue.contains(verbatimName(name)),
                    "\(path): '\(name)' has no entry in ISAKMP's Catalogue.swift")
            }
        }
    }

    /// `.name` as a word.
    private func verbatimName(_ name: String) -> Regex<Substring> { (try? Regex("\\.\(name)\\b")) ?? /$^/ }

    @Test func everyExchangeStandsInItsTargetsCatalogue() throws {
        var count = 0
        for target in ["ISAKMP", "Oakley", "SKEME", "IKEv1", "KeyDeterminationModes"] {
            let (catalogue, files) = try sources(target)
            let found =
                names(files, /static (?:let|var) (\w+)(?:: ExchangeDescription)? = ExchangeDescription\(/)
                + names(files, /static (?:let|var) (\w+): ExchangeDescription\b/)
                + names(files, /static func (\w+)\(.*-> ExchangeDescription\b/)
            count += found.count
            for (name, path) in found {
                #expect(
                    catalogue.contains(verbatimName(name)),
                    "\(path): exchange '\(name)' has no entry in a Catalogue.swift of \(target)")
            }
        }
        #expect(count >= 3)
    }

    @Test func everyFunctionOfSKEMEHasAnEntry() throws {
        let (catalogue, files) = try sources("SKEME")
        var count = 0
        for file in files {
            var type = ""
            for line in file.lines {
                let code = SourceFile.code(line)
                if let found = code.prefixMatch(of: /(?:package )?(?:enum|struct|extension) (\w+)/) {
                    type = String(found.output.1)
                }
                guard let name = code.prefixMatch(of: /[ ]{4}package static func (\w+)/)?.output.1 else { continue }
                count += 1
                #expect(
                    catalogue.contains("\"\(type).\(name)\""),
                    "\(file.path): '\(type).\(name)' has no entry in SKEME's Catalogue.swift")
            }
        }
        #expect(count >= 3)
    }
}
