import Testing

/// What a machine can check of CONTRIBUTING.md.
@Suite struct TidyTests {
    /// Modules of the toolchain, and who may import them: the sans-IO targets may not.
    private static let system: Set<String> = ["Foundation", "Glibc", "Darwin", "Dispatch"]
    private static let anywhere: Set<String> = ["Synchronization"]

    private struct Tree: Sendable {
        let manifest: Manifest
        let sources: [(target: Manifest.Target, file: SourceFile)]
    }

    /// Read once for all tests.
    private static let tree = Result {
        let manifest = try Manifest()
        return Tree(
            manifest: manifest,
            sources: try manifest.targets.filter { $0.folder.hasPrefix("Sources/") }.flatMap { target in
                try SourceFile.all(below: target.folder).map { (target, $0) }
            })
    }

    private let manifest: Manifest
    private let sources: [(target: Manifest.Target, file: SourceFile)]

    init() throws {
        let tree = try Self.tree.get()
        manifest = tree.manifest
        sources = tree.sources
    }

    @Test func theManifestIsUnderstood() {
        #expect(manifest.targets.count >= 30)
        #expect(sources.count >= 100)
        let names = Set(manifest.targets.map(\.name))
        #expect(names.isSuperset(of: ["Primitives", "ISAKMP", "IKEv1", "IKEv2", "KeyManagement", "parley"]))
        let byName = Dictionary(grouping: manifest.targets, by: \.name)
        #expect(byName.values.allSatisfy { $0.count == 1 })
        #expect(byName["Oakley"]?.first?.dependencies == ["Primitives", "Cryptography"])
        #expect(byName["Oakley"]?.first?.isPure == true)
        #expect(byName["Cryptography"]?.first?.isPure == false)
        #expect(byName["parley"]?.first?.dependencies.contains("ArgumentParser") == true)
    }

    @Test func importsAreParsed() {
        let file = SourceFile(
            path: "x",
            lines: [
                "import A", "package import B", "@testable import C", "import struct D.E", "// import F", "imported",
                "@preconcurrency internal import G",
            ])
        #expect(file.imports.map(\.module) == ["A", "B", "C", "D", "G"])
        #expect(file.imports.map(\.line) == [1, 2, 3, 4, 7])
    }

    /// Targets stand in Package.swift from the ground up, and each depends only on those above it in the text.
    @Test func arrowsPointDown() {
        let positions = Dictionary(uniqueKeysWithValues: manifest.targets.map { ($0.name, $0.position) })
        for target in manifest.targets where target.folder.hasPrefix("Sources/") {
            for name in target.dependencies {
                guard let position = positions[name] else { continue }  // a product of another package
                #expect(position < target.position, "\(target.name) depends on \(name), which stands below it")
            }
        }
    }

    /// SwiftPM accepts an import of any target that happens to be built; the manifest says which are meant.
    @Test func everyImportIsDeclared() {
        for (target, file) in sources {
            for (line, module) in file.imports where !Self.anywhere.contains(module) {
                if Self.system.contains(module) {
                    #expect(!target.isPure, "\(file.path):\(line): \(target.name) does no input or output of its own")
                } else {
                    #expect(
                        target.dependencies.contains(module),
                        "\(file.path):\(line): Package.swift does not let \(target.name) import \(module)")
                }
            }
        }
    }

    @Test func escapesFromTheCompilerSayWhyTheyAreSafe() {
        let escapes = ["@unchecked Sendable", "nonisolated(unsafe)", "@preconcurrency"]
        var count = 0
        for (_, file) in sources {
            for (index, line) in file.lines.enumerated() {
                guard line.contains("@") || line.contains("nonisolated"),
                    escapes.contains(where: SourceFile.code(line).contains)
                else { continue }
                count += 1
                let near = file.lines[max(0, index - 4)...min(file.lines.count - 1, index + 2)]
                #expect(near.contains { $0.contains("// SAFETY:") }, "\(file.path):\(index + 1)")
            }
        }
        #expect(count <= 8, "escapes stay few")
    }

    @Test func nothingTrapsOnPurpose() {
        for (_, file) in sources {
            for (index, line) in file.lines.enumerated() {
                guard line.contains("!") || line.contains("fatalError") else { continue }
                let code = SourceFile.code(line)
                let isTrap = ["try!", "as!", "fatalError("].contains(where: code.contains)
                #expect(!isTrap, "\(file.path):\(index + 1)")
            }
        }
    }

    /// Strict memory safety makes the compiler refuse unsafe code that does not say `unsafe`; here nothing says it.
    @Test func pureTargetsAreSafe() {
        for (target, file) in sources where target.isPure {
            for (index, line) in file.lines.enumerated() {
                guard line.contains("nsafe") else { continue }
                let isUnsafe = SourceFile.code(line).contains(/\bunsafe\b|\bUnsafe\w*Pointer\b/)
                #expect(!isUnsafe, "\(file.path):\(index + 1)")
            }
        }
    }
}
