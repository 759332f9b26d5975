import Foundation
import Testing

/// Debian's hostapd as a RADIUS server alone, which knows the user joe by PEAP and binds that to the password (MS-PEAP
/// §3.1.5.5), as FreeRADIUS does not.
final class BindingServer {
    static let binary = "/usr/sbin/hostapd"
    static var isPresent: Bool { FileManager.default.isExecutableFile(atPath: binary) }

    private let directory: URL
    private let process: Subprocess

    var output: String {
        (try? String(contentsOf: directory.appendingPathComponent("output"), encoding: .utf8)) ?? ""
    }

    /// - Parameters:
    ///   - credentials: a swanctl directory with the server's certificate of `parley pki`.
    init(_ lab: Lab, on side: Side, credentials: String, name: String) throws {
        directory = lab.directory.appendingPathComponent("hostapd")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let path = directory.path
        for (file, text) in [
            ("users", "* PEAP\n\"joe\" MSCHAPV2 \"foo bar\" [2]\n"),
            ("clients", "127.0.0.1/32 \(AuthenticationServer.secret)\n"),
            (
                "hostapd.conf",
                """
                driver=none
                eap_server=1
                eap_user_file=\(path)/users
                ca_cert=\(credentials)/x509ca/ca.pem
                server_cert=\(credentials)/x509/\(name).pem
                private_key=\(credentials)/private/\(name).pem
                radius_server_clients=\(path)/clients
                radius_server_auth_port=1812

                """
            ),
        ] { try text.write(to: directory.appendingPathComponent(file), atomically: true, encoding: .utf8) }
        process = try Subprocess(
            lab.network.on(side, [Self.binary, "-dd", "\(path)/hostapd.conf"]),
            outputPath: directory.appendingPathComponent("output"))
        try eventually("hostapd is ready") { output.contains("Setup of interface done") }
    }

    func stop() { process.stop() }
}

extension Interop.TunnelledUsers {
    @Test(
        "PEAP is bound to the password inside, as hostapd has it",
        .enabled(if: BindingServer.isPresent, "hostapd is not here"))
    func boundByHostapd() throws {
        let scenario = try #require(
            Scenario.versions2.first { $0.pairing.initiator == .parley && $0.pairing.responder == .parley })
        try Lab.with(scenario) { lab in
            let root = try lab.issueCertificates("ecdsa")
            let folder = lab.directory.appendingPathComponent("aaa").path
            try Parley.pki(["issue", "aaa.example", "--ca", root, "-o", folder, "--type", "ecdsa"])
            let server = try BindingServer(lab, on: .right, credentials: folder, name: "aaa.example")
            defer { server.stop() }
            var setting = VirtualHost()
            setting.vips = ""
            setting.pools = []
            let user = VirtualHost.TunnelledUser(
                method: "eap-peap", hostLines: ["aaa_id = aaa.example"], gatewayMethod: "eap-radius")
            try lab.right.load(AuthenticationServer.section + setting.text(of: .right, user))
            try lab.left.load(setting.text(of: .left, user))
            let result = try lab.left.up("inner", seconds: 20)
            #expect(result.succeeded, "\(result)\n\(server.output.suffix(6000))")
            // Its own keys say the same of ours; and IKE's AUTH payloads, that the key which comes of both is the same.
            #expect(server.output.contains("Valid cryptobinding TLV received"), "\(server.output.suffix(6000))")
            guard result.succeeded else { return }
            #expect(try lab.installed(on: .right).0.value("remote-eap-id") == "joe")
        }
    }
}
