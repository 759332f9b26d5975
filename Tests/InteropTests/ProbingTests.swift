import Foundation
import Testing

extension Interop {
    /// What the path takes, learned from what arrives (RFC 8899): routers drop what is too long and tell nobody.
    @Suite struct Probing {
        private static func link(_ interval: Int) -> Link {
            // A cipher without blocks, whose probes have every length.
            var link = Link(.v2).suite(ike: "aes256gcm16-prfsha256-ecp256", esp: "aes256gcm16-ecp256")
            for side in Side.allCases {
                link.settings[side] = ["  path_probing = yes\n  path_probing_interval = \(interval)s"]
            }
            return link
        }

        private static func deviceMTU(_ lab: Lab, _ side: Side) throws -> Int? {
            let output = try Subprocess.require(
                lab.network.on(side, ["ip", "-o", "link", "show", "type", "tun"]))
            let words = output.split(separator: " ")
            return words.firstIndex(of: "mtu").flatMap { Int(words[$0 + 1]) }
        }

        @Test("a narrow place is found and passed, and so is its end", arguments: ["tunnel", "iptfs"])
        func narrowPlace(_ mode: String) throws {
            try Lab.with(Scenario(pairing: Pairing(.parley, .parley), version: .v2)) { lab in
                var link = Self.link(3)
                link.children[0].further = ["mode = \(mode)"]
                try lab.network.dropLonger(than: 1410)
                try lab.load(link)
                try lab.up()
                for side in Side.allCases {
                    #expect(try lab.installed(on: side).1.value("mtu-path") == "1500")
                    #expect(try lab.installed(on: side).1.value("mtu-source") == "kernel")
                }
                let wide = try #require(try Self.deviceMTU(lab, .left))
                for side in Side.allCases {
                    try eventually("the path is measured on the \(side.rawValue)", seconds: 60) {
                        try lab.installed(on: side).1.value("mtu-path") == "1400"
                    }
                    let child = try lab.installed(on: side).1
                    #expect(child.value("mtu-source") == "probing")
                    let inner = try #require(child.value("mtu-inner").flatMap { Int($0) })
                    // IP, UDP, ESP with its IV and check value, and padding.
                    #expect((1310..<1400 - 50).contains(inner))
                    #expect(child.value("mtu") == "\(inner)")
                    #expect(try Self.deviceMTU(lab, side) == inner)
                    #expect(inner < wide)
                    let status = try #require(lab.peer(side) as? Parley).client(["status"])
                    #expect(
                        status.output.contains("\(inner) inside of 1400, as larger packets did not arrive"), "\(status)"
                    )
                }
                // TCP's segments are made for the path, in both directions, and nothing longer is tried.
                let recording = try lab.recording {
                    for isBack in [false, true] {
                        let octets = try lab.transfer(reverse: isBack)
                        #expect(octets >= 4 << 20)
                    }
                }
                #expect(recording.lengths(of: .espInUDP).allSatisfy { $0 <= 1400 })
                #expect(try lab.ping(count: 20).loss == 0)

                // A new child knows at once.
                #expect(try lab.left.rekey(child: "inner").succeeded)
                #expect(try lab.transfer() >= 4 << 20)
                #expect(try lab.installed(on: .left).1.value("mtu-path") == "1400")

                try lab.network.cut(false)
                for side in Side.allCases {
                    try eventually("the path is wide again on the \(side.rawValue)", seconds: 60) {
                        try lab.installed(on: side).1.value("mtu-path") == "1500"
                    }
                    #expect(try lab.installed(on: side).1.value("mtu-source") == "kernel")
                    #expect(try Self.deviceMTU(lab, side) == wide)
                }
                let after = try lab.recording { _ = try lab.transfer() }
                #expect(after.lengths(of: .espInUDP).contains { $0 > 1450 })

                // It becomes narrow while the SA lives.
                try lab.network.dropLonger(than: 1330)
                try eventually("the path is measured anew", seconds: 90) {
                    try lab.installed(on: .left).1.value("mtu-path") == "1320"
                        && lab.installed(on: .right).1.value("mtu-path") == "1320"
                }
                #expect(try lab.transfer() >= 4 << 20)
            }
        }
    }
}
