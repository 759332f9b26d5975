import Foundation
import Testing

extension Interop {
    /// `/metrics` of a daemon at work, read by Prometheus' own parser of OpenMetrics.
    @Suite struct Monitoring {
        private static let calls = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("calls")
        private static let packages = calls.deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent(".build/peers/python").path
        private static let hasParser: Bool = {
            let probe = try? Subprocess.run(
                ["python3", "-c", "import prometheus_client.openmetrics.parser"], environment: ["PYTHONPATH": packages])
            if probe?.succeeded != true {
                print("interop: skipped, python3 has no prometheus_client (scripts/install)")
            }
            return probe?.succeeded == true
        }()

        struct Sample {
            let name: String
            let labels: [String: String]
            let value: Double
        }

        /// All samples, by family, as the parser has them; it refuses what breaks a rule.
        private func metrics(_ lab: Lab) throws -> [String: (type: String, samples: [Sample])] {
            let text = try Subprocess.require(
                lab.network.on(.left, ["curl", "-sS", "http://127.0.0.1:9501/metrics"]))
            let file = lab.directory.appendingPathComponent("metrics.txt")
            try text.write(to: file, atomically: true, encoding: .utf8)
            let script = Self.calls.appendingPathComponent("openmetrics.py").path
            let output = try Subprocess.require(
                ["sh", "-c", "exec env PYTHONPATH=\(Self.packages) python3 -W ignore \(script) < \(file.path)"],
                seconds: 60)
            let read = try #require(
                JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: [String: Any]], "\(output)")
            return read.mapValues { family in
                let samples = (family["samples"] as? [[Any]] ?? []).map { sample in
                    Sample(
                        name: sample[0] as? String ?? "", labels: sample[1] as? [String: String] ?? [:],
                        value: (sample[2] as? NSNumber)?.doubleValue ?? .nan)
                }
                return (family["type"] as? String ?? "", samples)
            }
        }

        @Test(
            "what /metrics says is what happened", .enabled(if: hasParser),
            arguments: Scenario.all.filter { $0.pairing.initiator == .parley && $0.pairing.responder == .charon })
        func tells(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let daemon = try #require(lab.left as? Parley)
                daemon.options = ["--observe", "9501"]
                let link = Link(scenario.version)
                try lab.load(link)
                func up(_ families: [String: (type: String, samples: [Sample])]) -> [Double] {
                    families["parley_child_up"]?.samples.filter { $0.labels["child"] == "inner" }.map(\.value) ?? []
                }
                let before = try metrics(lab)
                #expect(up(before) == [0])
                #expect(before["parley_up_seconds"]?.type == "gauge")
                try lab.up()
                #expect(try lab.ping().loss == 0)
                let during = try metrics(lab)
                #expect(up(during) == [1])
                let traffic = try #require(during["parley_child_traffic_bytes"])
                #expect(traffic.type == "counter")
                for direction in ["in", "out"] {
                    let octets = traffic.samples.filter { sample in
                        sample.labels["connection"] == "net" && sample.labels["direction"] == direction
                            && sample.labels["remote_id"]?.contains(Side.right.identity) == true
                    }
                    #expect(octets.count == 1 && octets.allSatisfy { $0.value >= 84 }, "\(direction): \(octets)")
                }
                let handshakes = try #require(during["parley_handshake_seconds"])
                #expect(handshakes.type == "histogram")
                #expect(handshakes.samples.contains { $0.name.hasSuffix("_count") && $0.value == 1 })
                #expect(
                    during["parley_ike_sas"]?.samples.contains {
                        $0.labels == ["connection": "net", "state": "ESTABLISHED"] && $0.value == 1
                    } == true)
                #expect(try lab.left.down(ike: "net").succeeded)
                try lab.awaitEmpty()
                // A refusal is counted by its reason.
                try lab.left.load(link.suite(ike: "aes128-sha256-ecp256", esp: "aes128gcm16").configuration(of: .left))
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                let after = try metrics(lab)
                #expect(up(after) == [0])
                let refusals = after["parley_refusals"]?.samples ?? []
                #expect(refusals.contains { $0.labels["reason"] == "peer" && $0.value >= 1 }, "\(refusals)")
            }
        }
    }
}
