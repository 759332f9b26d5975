import Foundation

/// Debian's FreeRADIUS on one host of the lab, which knows the user joe.
final class AuthenticationServer {
    static let binary = "/usr/sbin/freeradius"
    static var isPresent: Bool { FileManager.default.isExecutableFile(atPath: binary) }
    static let secret = "radius secret"

    /// How Parley finds it.
    static let section = """
        radius {
          servers {
            main {
              address = 127.0.0.1
              secret = "\(secret)"
            }
          }
        }

        """

    /// A gateway that accounts for its users, and that the server may tell to end their sessions.
    static func gateway(_ secret: String = secret) -> String {
        """
        radius {
          accounting = yes
          retransmit_timeout = 0.5
          retransmit_tries = 2
          servers {
            main {
              address = 127.0.0.1
              secret = "\(secret)"
              require_message_authenticator = no
            }
          }
          dae {
            enable = yes
            listen = 127.0.0.1
            secret = "dae secret"
          }
        }

        """
    }

    private let directory: URL
    private let process: Subprocess
    private let network: Network
    private let side: Side

    /// What accounting has told.
    var accounts: String {
        (try? String(contentsOf: directory.appendingPathComponent("accounting"), encoding: .utf8)) ?? ""
    }

    /// What accounting has told of one kind, by attribute.
    func records(_ status: String) -> [[String: String]] {
        accounts.components(separatedBy: "\n\n").map { block in
            block.split(separator: "\n").reduce(into: [:]) { record, line in
                let parts = line.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
                if parts.count == 2 { record[parts[0]] = parts[1] }
            }
        }.filter { $0["Acct-Status-Type"] == status }
    }

    var output: String {
        (try? String(contentsOf: directory.appendingPathComponent("output"), encoding: .utf8)) ?? ""
    }

    /// The server's certificate of `parley pki`, by its swanctl directory and name, and the versions of TLS.
    struct Credential {
        var directory: String
        var name: String
        var versions: ClosedRange<String> = "1.2"..."1.2"
    }

    /// - Parameters:
    ///   - method: of EAP, which the server asks for.
    ///   - credential: for methods that run TLS.
    init(_ lab: Lab, on side: Side, method: String = "mschapv2", credential: Credential? = nil) throws {
        network = lab.network
        self.side = side
        directory = lab.directory.appendingPathComponent("freeradius")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let path = directory.path
        for (name, text) in [
            ("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n"),
            (
                "users",
                """
                joe Cleartext-Password := "foo bar"
                    Framed-IP-Address = 10.9.0.7,
                    Session-Timeout = 7200,
                    Class = 0x6c6162

                """
            ), ("radiusd.conf", Self.configuration(path, method, credential)),
        ] { try text.write(to: directory.appendingPathComponent(name), atomically: true, encoding: .utf8) }
        process = try Subprocess(
            lab.network.on(side, [Self.binary, "-d", path, "-n", "radiusd", "-f", "-X"]),
            outputPath: directory.appendingPathComponent("output"))
        try eventually("FreeRADIUS is ready", seconds: 20) { output.contains("Ready to process requests") }
    }

    private static func tunnels(_ credential: Credential) -> String {
        """
        tls-config tls-common {
            private_key_file = \(credential.directory)/private/\(credential.name).pem
            certificate_file = \(credential.directory)/x509/\(credential.name).pem
            ca_file = \(credential.directory)/x509ca/ca.pem
            tls_min_version = "\(credential.versions.lowerBound)"
            tls_max_version = "\(credential.versions.upperBound)"
            fragment_size = 1000
            cache {
                enable = no
            }
        }
        tls {
            tls = tls-common
        }
        ttls {
            tls = tls-common
            default_eap_type = mschapv2
            virtual_server = "lab"
        }
        peap {
            tls = tls-common
            default_eap_type = mschapv2
            virtual_server = "lab"
        }
        """
    }

    private static func configuration(_ path: String, _ method: String, _ credential: Credential?) -> String {
        """
        name = freeradius
        raddbdir = \(path)
        logdir = \(path)
        run_dir = \(path)
        libdir = /usr/lib/freeradius
        security {
            reject_delay = 0
        }
        client lab {
            ipaddr = 127.0.0.1
            secret = "\(secret)"
            require_message_authenticator = yes
        }
        modules {
            pap {
            }
            mschap {
            }
            eap {
                default_eap_type = \(method)
                md5 {
                }
                mschapv2 {
                }
                \(credential.map { tunnels($0) } ?? "")
            }
            files {
                filename = \(path)/users
            }
            detail {
                filename = \(path)/accounting
                permissions = 0600
            }
        }
        server lab {
            listen {
                type = auth
                ipaddr = 127.0.0.1
                port = 1812
            }
            listen {
                type = acct
                ipaddr = 127.0.0.1
                port = 1813
            }
            authorize {
                eap
                files
                pap
            }
            authenticate {
                eap
                Auth-Type PAP {
                    pap
                }
                Auth-Type MS-CHAP {
                    mschap
                }
            }
            accounting {
                detail
            }
        }

        """
    }

    /// Sends a request of RFC 5176 to the gateway, by FreeRADIUS's own client.
    func disconnect(_ attributes: String, secret: String, kind: String = "disconnect") throws -> CommandResult {
        let file = directory.appendingPathComponent("request")
        try (attributes + "\n").write(to: file, atomically: true, encoding: .utf8)
        return try Subprocess.run(
            network.on(
                side,
                [
                    "radclient", "-x", "-r", "1", "-t", "3", "-f", file.path, "127.0.0.1:3799", kind, secret,
                ]))
    }

    func stop() { process.stop() }
}
