import Explain
import KeyManagement
import Testing

/// Two configurations that would meet but for one thing, and what the decision record of one side must name.
struct Misconfiguration: Sendable, CustomTestStringConvertible {
    /// What is done to make it show.
    enum Attempt: Sendable {
        case up
        /// The child comes up, and is refused when it is rekeyed.
        case rekey
    }

    var name: String
    var version = 2
    /// Replacements in each side's text.
    var left: [(String, String)] = []
    var right: [(String, String)] = []
    var attempt = Attempt.up
    /// Whose record is looked at.
    var side: TwoHosts.Side
    /// The key that is to be changed, and on which side.
    var key: String
    var remedySide = Remedy.Side.here
    /// What stands in the remedy.
    var wanted = ""
    /// What stands somewhere in the record's lines.
    var says: [String] = []

    var testDescription: String { "IKEv\(version), \(side): \(name)" }

    static func text(_ side: TwoHosts.Side, version: Int) -> String {
        let (own, other) = side == .left ? ("left", "right") : ("right", "left")
        let numbers = side == .left ? (1, 2) : (2, 1)
        return """
            connections {
                net {
                    version = \(version)
                    local_addrs = 192.0.2.\(numbers.0)
                    remote_addrs = 192.0.2.\(numbers.1)
                    proposals = aes256-sha256-ecp256
                    local {
                        auth = psk
                        id = \(own).example
                    }
                    remote {
                        auth = psk
                        id = \(other).example
                    }
                    children {
                        inner {
                            local_ts = 10.\(numbers.0).0.0/24
                            remote_ts = 10.\(numbers.1).0.0/24
                            esp_proposals = aes256-sha256
                        }
                    }
                }
            }
            secrets {
                ike-net {
                    id-1 = left.example
                    id-2 = right.example
                    secret = "the right one"
                }
            }
            """
    }

    private func text(_ side: TwoHosts.Side) -> String {
        var text = Misconfiguration.text(side, version: version)
        for (old, new) in side == .left ? left : right {
            precondition(text.contains(old), "\(name): '\(old)' is not in the text")
            text = text.replacing(old, with: new)
        }
        return text
    }

    /// The records of the side, after the attempt.
    func records() throws -> [DecisionRecord] {
        var hosts = try TwoHosts(left: text(.left), right: text(.right))
        hosts.command(.initiate(connection: nil, child: "inner"))
        if attempt == .rekey { hosts.command(.rekey(Target(child: "inner"))) }
        return hosts.records(side)
    }
}
