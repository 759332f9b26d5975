import Foundation
import Testing

extension Interop {
    /// Tunnels that are rekeyed again and again while packets pass.
    @Suite struct Endurance {
        /// How long each of them lasts, at least.
        private static let seconds =
            ProcessInfo.processInfo.environment["PARLEY_LAB_REKEY_SECONDS"].flatMap { Double($0) } ?? 20

        /// Version 1 knows no rekeying of the IKE SA, and charon none that would do in a second.
        @Test(
            "lifetimes of a second lose no packet (PARLEY_LAB_REKEY_SECONDS: how long, else 20)",
            arguments: Scenario.versions2 + Scenario.versions1.filter { $0.pairing == Pairing.all[0] })
        func secondsOnly(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.children[0].rekeyTime = [.left: 1, .right: 1]
                if scenario.version == .v2 { link.ikeRekeyTime = [.left: 1, .right: 1] }
                let profile = lab.directory.appendingPathComponent("keys")
                [lab.left, lab.right].compactMap { $0 as? Parley }.first?.options = [
                    "--key-log", profile.path,
                ]
                try lab.load(link)
                let wire = try Wire(lab.network, directory: lab.directory, snapLength: 400)
                try lab.up()
                var children: Set<String> = []
                var sessions: Set<[String]> = []
                let end = Date().addingTimeInterval(Self.seconds)
                let result = try lab.pinging {
                    try eventually("the time is over and everything was rekeyed", seconds: Self.seconds + 60) {
                        let (ike, child) = try lab.installed(on: .right)
                        children.insert(child.spiIn)
                        sessions.insert(ike.spis)
                        return Date() > end && children.count >= 8
                            && (scenario.version == .v1 || sessions.count >= 8)
                    }
                }
                let recording = try wire.finish()
                print(
                    "interop: \(result.loss) of \(result.sent) echoes lost over \(children.count) children and "
                        + "\(sessions.count) IKE SAs (\(scenario.testDescription))")
                #expect(
                    result.sent > 500
                        && recording.kinds[.espInUDP, default: 0] >= 2 * (result.sent - result.loss))
                // charon loses its child now and then, where rekeyings of the IKE SA and of the child cross, and sends and
                // answers nothing before there is another: half a second mostly, three on a busy machine. It comes back.
                let places =
                    result.loss == 0
                    ? [:] : try Recording.places(of: result.unanswered, in: wire.path, profile: profile)
                for (sequence, place) in places.sorted(by: { $0.key < $1.key }) {
                    let peer = lab.peer(place.side)
                    print("interop: echo \(sequence): \(place.rawValue) (\(peer.implementation))")
                }
                let own = places.filter { lab.peer($0.value.side).implementation == .parley }
                #expect(own.isEmpty, "lost at an end that is Parley: \(own)")
                let isOurs = lab.left.implementation == .parley && lab.right.implementation == .parley
                #expect(result.loss <= result.sent / (isOurs ? 1000 : 4), "\(result)")
                // Neither keeps what was replaced: what is left is one IKE SA, and the children that are on their way out.
                if scenario.version == .v2 {
                    for side in Side.allCases {
                        try eventually("few SAs on the \(side.rawValue)") {
                            let all = try lab.peer(side).securityAssociations()
                            return all.count <= 2 && all.flatMap(\.children).count <= 12
                        }
                    }
                }
            }
        }

        /// What tells where an echo was lost must itself be right: two hosts, and a path that loses on purpose.
        @Test func whereEchoesAreLost() throws {
            try Lab.with(Scenario(pairing: Pairing(.parley, .parley), version: .v2)) { lab in
                let profile = lab.directory.appendingPathComponent("keys")
                (lab.left as? Parley)?.options = ["--key-log", profile.path]
                try lab.load(Link(.v2))
                let wire = try Wire(lab.network, directory: lab.directory, snapLength: 400)
                try lab.up()
                // The router loses both ways, behind the recording for what goes to the right, in front of it for answers.
                let result = try lab.pinging {
                    // Requests and answers take turns: an odd period ends with requests, an even one with answers.
                    for period in [7, 6] {
                        try lab.network.lose(oneIn: period)
                        usleep(600_000)
                        try lab.network.cut(false)
                    }
                }
                _ = try wire.finish()
                let places = try Recording.places(of: result.unanswered, in: wire.path, profile: profile)
                #expect(result.loss > 5 && places.count == result.unanswered.count)
                // What the router drops on its way to the right never crosses; what it drops of the answers has crossed.
                #expect(places.values.contains(.left) && places.values.contains(.leftAgain))
                #expect(!places.values.contains(.right))
            }
        }
    }
}
