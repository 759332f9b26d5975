import Foundation
import Testing

extension Interop {
    /// Parley and Libreswan. Version 4 is the last that speaks IKEv1, and what is in the field.
    @Suite(
        .enabled(
            if: Libreswan.missing.isEmpty, "this machine lacks \(Libreswan.missing.joined(separator: ", "))"))
    struct LibreswanPeer {
        /// A lab with Parley on one host and Libreswan on the other.
        private static func lab(
            parley: Side, _ link: Link, _ options: [String] = [], isAnonymous: Bool = false, isStream: Bool = false,
            _ body: (Peer, Libreswan) throws -> Void
        ) throws {
            let network = try Network()
            let directory = FileManager.default.temporaryDirectory
                .appendingPathComponent("parley-lab-\(UUID().uuidString.prefix(8))")
            let ours = try Peer.make(
                .parley, side: parley, directory: directory.appendingPathComponent("parley"), network: network)
            let theirs = try Libreswan(
                side: parley.other, directory: directory.appendingPathComponent("libreswan"), network: network,
                secret: "a shared secret")
            defer {
                ours.stop()
                theirs.stop()
                network.remove()
                try? FileManager.default.removeItem(at: directory)
            }
            do {
                try theirs.start()
                let suite = "aes256-sha2_256-modp2048"
                if isStream {
                    try theirs.loadStream(ike: suite, esp: suite)
                } else {
                    try theirs.load(link.version, ike: suite, esp: suite, options, isAnonymous: isAnonymous)
                }
                try ours.load(link.configuration(of: parley))
                try body(ours, theirs)
            } catch {
                print("interop: failed with Libreswan: \(error)\n---- parley:\n\(ours.log)\n---- pluto:")
                print(theirs.log.split(separator: "\n").suffix(60).joined(separator: "\n"))
                throw error
            }
        }

        private static func link(_ version: Version) -> Link {
            Link(version).suite(ike: "aes256-sha256-modp2048", esp: "aes256-sha256-modp2048")
        }

        /// The IKE SA and its only child, where both ends hold them; waits for them.
        private static func installed(
            _ ours: Peer, _ theirs: Libreswan, _ what: String, besides old: String? = nil
        ) throws -> (IKESAView, ChildSAView) {
            try eventually(what) {
                let all = try ours.securityAssociations().filter { $0.state == "ESTABLISHED" }
                guard all.count == 1 else { return nil }
                let children = all[0].children.filter { $0.state == "INSTALLED" && $0.spiIn != old }
                guard let child = children.first, try theirs.holds(child) else { return nil }
                return (all[0], child)
            }
        }

        /// Brings the tunnel up from the left, whoever that is.
        @discardableResult
        private static func up(_ ours: Peer, _ theirs: Libreswan) throws -> (IKESAView, ChildSAView) {
            let result =
                ours.side == .left ? try ours.up("inner") : try theirs.whack(["--name", "net", "--initiate"])
            guard result.succeeded else { throw LabFailure(result.description) }
            return try installed(ours, theirs, "both hold the SAs")
        }

        private static func end(_ ours: Peer, _ theirs: Libreswan, byOurs: Bool) throws {
            let result = byOurs ? try ours.down(ike: "net") : try theirs.whack(["--name", "net", "--terminate"])
            #expect(result.succeeded, "\(result)")
            try eventually("nothing is left") { try ours.securityAssociations().isEmpty && theirs.isEmpty() }
        }

        @Test("Main and Aggressive Mode, then Quick Mode with PFS", arguments: Side.allCases, [false, true])
        func modes(parley: Side, isAggressive: Bool) throws {
            var link = Self.link(.v1)
            if isAggressive { link.aggressive = [parley] }
            try Self.lab(parley: parley, link, isAggressive ? ["--aggressive"] : []) { ours, theirs in
                var (_, child) = try Self.up(ours, theirs)
                #expect(try ours.rekey(child: "inner").succeeded)
                (_, child) = try Self.installed(ours, theirs, "our new child", besides: child.spiIn)
                // Where Libreswan began it would begin again if we ended it.
                try Self.end(ours, theirs, byOurs: parley == .left && !isAggressive)
            }
        }

        @Test("NAT traversal as the drafts have it", arguments: Side.allCases)
        func drafts(parley: Side) throws {
            // Libreswan neither says nor understands RFC 3947 then.
            try Self.lab(parley: parley, Self.link(.v1), ["--ikev1-natt", "drafts"]) { ours, theirs in
                try Self.up(ours, theirs)
                #expect(theirs.log.contains("{ESPinUDP"), "\(theirs.log)")
            }
        }

        @Test("each notices that the other is gone, after it answered", arguments: [false, true])
        func deadPeers(parleyDies: Bool) throws {
            var link = Self.link(.v1)
            link.dpdDelay = 1
            let options = ["--dpddelay", "1", "--dpdtimeout", "3", "--dpdaction", "clear"]
            try Self.lab(parley: .left, link, options) { ours, theirs in
                try Self.up(ours, theirs)
                // It has asked, and waits for no answer.
                let answered = #"lastdpd=\d+s\(seq in:\d+ out:0\)"#
                try eventually("Libreswan's question is answered") {
                    try theirs.whack(["--status"]).output.range(of: answered, options: .regularExpression) != nil
                }
                if parleyDies {
                    ours.kill()
                    try eventually("Libreswan clears its SAs", seconds: 20) { try theirs.isEmpty() }
                    #expect(theirs.log.contains("DPD action"), "\(theirs.log)")
                } else {
                    theirs.kill()
                    try eventually("Parley clears its SAs", seconds: 20) { try ours.securityAssociations().isEmpty }
                }
            }
        }

        @Test("version 2: nobody says who it is (RFC 7619)", arguments: Side.allCases)
        func anonymity(parley: Side) throws {
            var link = Self.link(.v2)
            for side in Side.allCases { link.rounds[side] = ("auth = null", "auth = null") }
            try Self.lab(parley: parley, link, ["--no-esn"], isAnonymous: true) { ours, theirs in
                try Self.up(ours, theirs)
            }
        }

        /// Where Libreswan began it would begin again if we ended it.
        @Test(
            "version 2: both rekey the child and the IKE SA, and one ends it; in UDP and in TCP (RFC 9329)",
            arguments: [(Side.left, true), (.left, false), (.right, false)], [false, true])
        func versionTwo(_ parley: (side: Side, ends: Bool), isStream: Bool) throws {
            var link = Self.link(.v2)
            if isStream {
                link.lines[.left] = ["enable_tcp = yes"]
                link.settings[.right] = ["  tcp_ports = 4500"]
            }
            try Self.lab(parley: parley.side, link, ["--no-esn"], isStream: isStream) { ours, theirs in
                var (ike, child) = try Self.up(ours, theirs)
                #expect(try ours.rekey(child: "inner").succeeded)
                (ike, child) = try Self.installed(ours, theirs, "our new child", besides: child.spiIn)
                #expect(try theirs.whack(["--name", "net", "--rekey-ipsec"]).succeeded)
                (ike, child) = try Self.installed(ours, theirs, "their new child", besides: child.spiIn)
                for byOurs in [true, false] {
                    let before = ike.spis
                    let result =
                        byOurs ? try ours.rekey(ike: "net") : try theirs.whack(["--name", "net", "--rekey-ike"])
                    #expect(result.succeeded, "\(result)")
                    try eventually("a new IKE SA \(byOurs ? "of ours" : "of theirs")") {
                        (ike, child) = try Self.installed(ours, theirs, "both hold the SAs")
                        return ike.spis != before
                    }
                }
                if isStream { #expect(theirs.log.contains("{ESPinTCP"), "\(theirs.log)") }
                try Self.end(ours, theirs, byOurs: parley.ends)
            }
        }
    }
}
