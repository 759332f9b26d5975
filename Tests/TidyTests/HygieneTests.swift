import Foundation
import Testing

/// What no file may hold, and how long it may be.
@Suite struct HygieneTests {
    private static let folders = ["Sources", "Tests", "Benchmarks", "Fuzz", "scripts"]

    /// Text files of the package: Swift, C, shell, Python.
    private func files() throws -> [SourceFile] {
        try Self.folders.flatMap { folder -> [SourceFile] in
            let base = Manifest.root.appending(path: folder)
            let found = FileManager.default.enumerator(at: base, includingPropertiesForKeys: [.isRegularFileKey])
            return try (found?.compactMap { $0 as? URL } ?? []).sorted { $0.path < $1.path }.compactMap { url in
                guard try url.resourceValues(forKeys: [.isRegularFileKey]).isRegularFile == true else { return nil }
                let isCode = ["swift", "c", "h", "py", "sh", "modulemap"].contains(url.pathExtension)
                guard isCode || folder == "scripts", let text = try? String(contentsOf: url, encoding: .utf8) else {
                    return nil
                }
                return SourceFile(
                    path: String(url.path.dropFirst(Manifest.root.path.count)).trimmingPrefix("/").description,
                    lines: text.split(separator: "\n", omittingEmptySubsequences: false))
            }
        }
    }

    @Test func nothingIsLeftForLater() throws {
        // Spelled in parts, or this file would find itself.
        let marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
        let files = try files()
        #expect(files.count >= 200)
        for file in files {
            for (index, line) in file.lines.enumerated() {
                let words = line.split { !$0.isLetter }
                let found = marks.first { mark in words.contains { $0 == mark } }
                #expect(found == nil, "\(file.path):\(index + 1): \(found ?? "")")
            }
        }
    }

    @Test func filesStayShort() throws {
        for file in try files() {
            let count = file.lines.last?.isEmpty == true ? file.lines.count - 1 : file.lines.count
            #expect(count <= 500, "\(file.path) has \(count) lines: look for its second noun")
        }
    }

    /// A target's header of its own name is its module's umbrella, and a module whose umbrella leaves a public header out
    /// may not be built at all.
    @Test func umbrellaHeadersIncludeTheOthers() throws {
        let headers = try files().filter { $0.path.contains("/include/") && $0.path.hasSuffix(".h") }
        #expect(headers.count >= 10)
        for (folder, group) in Dictionary(
            grouping: headers, by: { $0.path.split(separator: "/").dropLast().dropFirst() })
        {
            let name = "\(folder.first ?? "").h"
            let umbrella = try #require(group.first { $0.path.hasSuffix("/" + name) }, "\(folder) has no \(name)")
            for header in group where header.path != umbrella.path {
                let include = "#include \"\(header.path.split(separator: "/").last ?? "")\""
                #expect(umbrella.lines.contains { $0 == include }, "\(umbrella.path) leaves \(header.path) out")
            }
        }
    }

    /// That a peer is who it says is known where its proof has just been checked, and nowhere else. Each place here was
    /// read with that in mind; a new one is added when it has been.
    private static let verifiers: Set<String> = [
        "Sources/Credentials/CertificateProofs.swift",
        "Sources/Credentials/CredentialStore.swift", "Sources/Credentials/SharedKeyStore.swift",
        "Sources/Credentials/UserStore.swift", "Sources/IKEv1/BaseMode.swift",
        "Sources/IKEv1/PhaseOneAuthentication.swift", "Sources/IKEv2/GatewayUsers.swift",
        "Sources/IKEv2/HostUser.swift",
        "Sources/IKEv2/NullAuthentication.swift", "Sources/IKEv2/Resumption.swift",
        "Sources/IKEv2/ResumptionGateway.swift",
        "Sources/Simulation/KeyAnswerer.swift",
    ]

    @Test func onlyAVerifiedProofMakesAPeerAuthenticated() throws {
        var found: Set<String> = []
        for file in try SourceFile.all(below: "Sources") {
            for line in file.lines where SourceFile.code(line).contains(/PeerAuthenticated(\.init)?\(verified:/) {
                found.insert(file.path)
            }
        }
        #expect(found.subtracting(Self.verifiers).isEmpty, "these make a verified peer, and nobody has agreed to it")
        #expect(Self.verifiers.subtracting(found).isEmpty, "these verify nobody any more")
    }
}
