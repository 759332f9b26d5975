import Foundation

/// The targets of Package.swift, read from its text: what a build knows is not there for a test to ask.
struct Manifest: Sendable {
    struct Target: Sendable {
        let name: String
        let folder: String
        /// Targets and products that it may import.
        let dependencies: Set<String>
        /// Whether it builds with strict memory safety.
        let isPure: Bool
        let isTest: Bool
        /// Where it stands among the targets.
        let position: Int
    }

    let targets: [Target]

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    init() throws {
        let text = try String(contentsOf: Manifest.root.appending(path: "Package.swift"), encoding: .utf8)
        let lines = text.split(separator: "\n").filter { !$0.drop { $0 == " " }.hasPrefix("//") }
        let code = lines.joined(separator: "\n")
        var targets: [Target] = []
        var rest = code[...]
        while let found = rest.firstMatch(of: /\.(target|executableTarget|testTarget)\(/) {
            let kind = String(found.output.1)
            let body = Manifest.balanced(code[found.range.upperBound...])
            rest = code[body.endIndex...]
            guard let name = body.firstMatch(of: /name: "([^"]+)"/)?.output.1 else { continue }
            let path = body.firstMatch(of: /path: "([^"]+)"/)?.output.1
            let folder = path.map(String.init) ?? (kind == "testTarget" ? "Tests/\(name)" : "Sources/\(name)")
            var dependencies: Set<String> = []
            if let list = body.firstMatch(of: /dependencies: \[/) {
                let names = Manifest.balanced(body[list.range.upperBound...], open: "[", close: "]")
                    .replacing(/package: "[^"]*"/, with: "")
                dependencies = Set(names.matches(of: /"([^"]+)"/).map { String($0.output.1) })
            }
            targets.append(
                Target(
                    name: String(name), folder: folder, dependencies: dependencies,
                    isPure: body.contains("swiftSettings: pure"), isTest: kind == "testTarget",
                    position: targets.count))
        }
        self.targets = targets
    }

    /// The text up to the bracket that closes the one just before it.
    private static func balanced(
        _ text: Substring, open: Character = "(", close: Character = ")"
    ) -> Substring {
        var depth = 1
        for index in text.indices {
            if text[index] == open { depth += 1 }
            if text[index] == close { depth -= 1 }
            if depth == 0 { return text[..<index] }
        }
        return text
    }
}

/// A Swift source file of one target.
struct SourceFile: Sendable {
    let path: String
    let lines: [Substring]

    /// Every Swift file below a folder of the package, in order of path.
    static func all(below folder: String) throws -> [SourceFile] {
        let base = Manifest.root.appending(path: folder)
        guard let found = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil) else { return [] }
        return try found.compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
            .sorted { $0.path < $1.path }
            .map { url in
                let text = try String(contentsOf: url, encoding: .utf8)
                return SourceFile(
                    path: String(url.path.dropFirst(Manifest.root.path.count)).trimmingPrefix("/").description,
                    lines: text.split(separator: "\n", omittingEmptySubsequences: false))
            }
    }

    /// The modules that it imports, with the line of each.
    var imports: [(line: Int, module: String)] {
        lines.enumerated().compactMap { index, line in
            guard line.contains("import "),
                let found = line.prefixMatch(
                    of:
                        /(?:@\w+(?:\(\w+\))? |package |internal |private |fileprivate |public )*import (?:struct |class |enum |func |protocol )?(\w+)/
                )
            else { return nil }
            return (index + 1, String(found.output.1))
        }
    }

    /// The line without what stands behind `//`.
    static func code(_ line: Substring) -> Substring {
        line.range(of: "//").map { line[..<$0.lowerBound] } ?? line
    }
}
