import Foundation
import Testing

extension Interop {
    /// What a scanner sees of Parley.
    @Suite(
        .enabled(
            if: ["ike-scan", "psk-crack"].allSatisfy {
                FileManager.default.isExecutableFile(atPath: "/usr/bin/\($0)")
            }, "this machine lacks ike-scan"))
    struct Scanner {
        private static func lab(_ link: Link, _ body: (Network, Peer, URL) throws -> Void) throws {
            var link = link
            link.remoteAddress[.right] = "%any"
            let network = try Network()
            let directory = FileManager.default.temporaryDirectory
                .appendingPathComponent("parley-lab-\(UUID().uuidString.prefix(8))")
            let ours = try Peer.make(.parley, side: .right, directory: directory, network: network)
            defer {
                ours.stop()
                network.remove()
                try? FileManager.default.removeItem(at: directory)
            }
            try ours.load(link.configuration(of: .right))
            try body(network, ours, directory)
        }

        private static func scan(_ network: Network, _ arguments: [String]) throws -> String {
            try Subprocess.run(
                network.on(.left, ["ike-scan", "--sport=0", "--retry=1"] + arguments + [Side.right.outerAddress]),
                seconds: 30
            ).output
        }

        /// A transform by its keywords and by the attributes of RFC 2409 Appendix A.
        private struct Transform {
            let keywords: String
            let attributes: String

            init(_ cipher: (String, String), _ hash: (String, Int), _ group: (String, Int)) {
                keywords = "\(cipher.0)-\(hash.0)-\(group.0)"
                attributes = "(\(cipher.1),2=\(hash.1),3=1,4=\(group.1))"
            }

            /// Every cipher with every hash, and every group.
            static let all: [Transform] = {
                let ciphers =
                    [("3des", "1=5")]
                    + [128, 192, 256].flatMap {
                        [("aes\($0)", "1=7,14=\($0)"), ("camellia\($0)", "1=8,14=\($0)")]
                    }
                let hashes = [("md5", 1), ("sha1", 2), ("sha256", 4), ("sha384", 5), ("sha512", 6)]
                let groups = [
                    ("modp768", 1), ("modp1024", 2), ("modp1536", 5), ("modp2048", 14), ("modp3072", 15),
                    ("modp4096", 16), ("modp6144", 17), ("modp8192", 18), ("ecp256", 19), ("ecp384", 20),
                    ("ecp521", 21), ("modp1024s160", 22), ("modp2048s224", 23), ("modp2048s256", 24), ("ecp192", 25),
                    ("ecp224", 26),
                ]
                return ciphers.flatMap { cipher in hashes.map { Transform(cipher, $0, groups[3]) } }
                    + groups.map { Transform(ciphers[5], hashes[2], $0) }
            }()

            /// What no default has: 3DES, MD5, SHA-1 and groups of less than 2048 bits.
            var isWeak: Bool {
                let words = keywords.split(separator: "-")
                let weak: Set<Substring> = [
                    "3des", "md5", "sha1", "modp768", "modp1024", "modp1536", "modp1024s160", "ecp192", "ecp224",
                ]
                return words.contains(where: weak.contains)
            }
        }

        @Test("every transform is chosen where it is named, and a weak one nowhere else")
        func transforms() throws {
            var link = Link(.v1)
            link.ikeProposals[.right] = Transform.all.map(\.keywords).joined(separator: ", ")
            try Self.lab(link) { network, _, _ in
                for transform in Transform.all {
                    let output = try Self.scan(network, ["--trans=\(transform.attributes)"])
                    #expect(output.contains("Main Mode Handshake returned"), "\(transform.keywords): \(output)")
                }
                // DES is nowhere; nor is what was not named in this combination.
                for attributes in ["(1=1,2=1,3=1,4=1)", "(1=5,2=1,3=1,4=1)", "(1=7,14=256,2=4,3=3,4=14)"] {
                    let output = try Self.scan(network, ["--trans=\(attributes)"])
                    #expect(output.contains("NO-PROPOSAL-CHOSEN"), "\(attributes): \(output)")
                }
            }
            link.ikeProposals[.right] = "default"
            try Self.lab(link) { network, _, _ in
                for transform in Transform.all where transform.isWeak {
                    let output = try Self.scan(network, ["--trans=\(transform.attributes)"])
                    #expect(output.contains("NO-PROPOSAL-CHOSEN"), "\(transform.keywords): \(output)")
                }
                let output = try Self.scan(network, ["--trans=(1=7,14=256,2=4,3=1,4=14)"])
                #expect(output.contains("Main Mode Handshake returned"), "\(output)")
            }
        }

        @Test("Aggressive Mode betrays a weak key to who guesses it, where it was asked for and nowhere else")
        func weakKey() throws {
            var link = Link(.v1)
            link.ikeProposals[.right] = "3des-sha1-modp1024"
            link.secret[.right] = "dragon"
            func crack(_ network: Network, _ path: String) throws -> String {
                try Self.scan(
                    network,
                    [
                        "-A", "--id=\(Side.left.identity)", "--idtype=2", "--dhgroup=2", "--trans=5,2,1,2",
                        "--pskcrack=\(path)",
                    ])
            }
            try Self.lab(link) { network, ours, directory in
                let path = directory.appendingPathComponent("crack").path
                let output = try crack(network, path)
                #expect(output.contains("0 returned handshake"), "\(output)")
                #expect((FileManager.default.contents(atPath: path) ?? Data()).isEmpty)
                try eventually("the log says why") { ours.log.contains("aggressive = yes") }
            }
            link.aggressive = [.right]
            try Self.lab(link) { network, _, directory in
                let path = directory.appendingPathComponent("crack").path
                let output = try crack(network, path)
                #expect(output.contains("Aggressive Mode Handshake returned"), "\(output)")
                let words = directory.appendingPathComponent("words")
                try "secret\nletmein\ndragon\n".write(to: words, atomically: true, encoding: .utf8)
                let cracked = try Subprocess.require(["psk-crack", "-d", words.path, path])
                #expect(cracked.contains("key \"dragon\" matches"), "\(cracked)")
            }
        }

        @Test("nobody is sent an answer twice without asking twice", arguments: [false, true])
        func backoff(isAggressive: Bool) throws {
            var link = Link(.v1)
            if isAggressive { link.aggressive = [.right] }
            link.ikeProposals[.right] = "aes256-sha256-modp2048"
            try Self.lab(link) { network, _, _ in
                // The lab's retransmissions would come after 0.5, 0.75 and 1.125 s.
                let common = ["--showbackoff=4", "--trans=(1=7,14=256,2=4,3=1,4=14)"]
                let aggressive = ["-A", "--id=\(Side.left.identity)", "--idtype=2", "--dhgroup=14"]
                let output = try Self.scan(network, common + (isAggressive ? aggressive : []))
                #expect(output.contains("1 returned handshake"), "\(output)")
                let lines = output.split(separator: "\n").filter {
                    $0.hasPrefix("\(Side.right.outerAddress)\t") && $0.split(separator: "\t").count == 4
                        && Int($0.split(separator: "\t")[1]) != nil
                }
                #expect(lines.count == 1, "\(output)")
            }
        }

        @Test("no question is answered with more than three times its octets", arguments: [false, true])
        func amplification(isAggressive: Bool) throws {
            var link = Link(.v1)
            if isAggressive { link.aggressive = [.right] }
            link.ikeProposals[.right] = "aes256-sha256-modp2048, 3des-sha1-modp1024"
            try Self.lab(link) { network, _, directory in
                let wire = try Wire(network, directory: directory)
                let aggressive = ["-A", "--idtype=2", "--trans=5,2,1,2", "--dhgroup=2"]
                for arguments in [
                    [], ["--trans=5,2,1,2"], ["--trans=1,1,1,1"], aggressive + ["--id=\(Side.left.identity)"],
                    aggressive + ["--id=nobody.example"], ["--ikev2"], ["--exchange=5"], ["--exchange=32"],
                    ["--nextpayload=0"], ["--doi=2"], ["--vendor=afcad71368a1f1c96b8696fc77570100"],
                ] {
                    _ = try Subprocess.run(
                        network.on(
                            .left,
                            ["ike-scan", "--sport=0", "--retry=3", "--timeout=200"] + arguments
                                + [Side.right.outerAddress]), seconds: 30)
                }
                var asked: [Int: Int] = [:]
                var answered: [Int: Int] = [:]
                for packet in try wire.finish().packets where Recording.kind(packet) == .ike {
                    let bytes = Array(packet)
                    func number(_ at: Int) -> Int { Int(bytes[20 + at]) << 8 | Int(bytes[20 + at + 1]) }
                    if number(2) == 500 {
                        asked[number(0), default: 0] += number(4) - 8
                    } else {
                        answered[number(2), default: 0] += number(4) - 8
                    }
                }
                #expect(asked.count == 11 && answered.count >= 4, "\(asked), \(answered)")
                for (port, octets) in answered { #expect(octets <= 3 * asked[port, default: 0], "\(answered)") }
            }
        }
    }
}
