/// The two versions of IKE.
enum Version: Int, CaseIterable, CustomStringConvertible {
    case v1 = 1
    case v2 = 2
    var description: String { "IKEv\(rawValue)" }
}

/// One connection between the hosts, written down once; each side's configuration is drawn from it.
struct Link {
    var name = "net"
    var version: Version
    var ikeProposals: [Side: String] = [.left: "aes256-sha256-ecp256", .right: "aes256-sha256-ecp256"]
    var secret: [Side: String] = [.left: "a shared secret", .right: "a shared secret"]
    /// The value of `auth` on both sides. All but `psk` name the files `own.pub` and `peer.pub` of public keys.
    var authentication = "psk"
    var children = [Child()]
    var dpdDelay: Int?
    var ikeRekeyTime: [Side: Int] = [:]
    /// Version 1: the sides that use Aggressive Mode.
    var aggressive: Set<Side> = []
    /// Further lines of the connection, for both sides.
    var further: [String] = []
    /// What stands in a side's `local` and `remote` sections, instead of what `authentication` says.
    var rounds: [Side: (local: String, remote: String)] = [:]
    /// Whether a side knows where the other is; a responder behind whose peer a NAT sits does not.
    var remoteAddress: [Side: String] = [:]
    /// What a side says of its own address instead.
    var localAddress: [Side: String] = [:]
    /// Further lines of a side's connection.
    var lines: [Side: [String]] = [:]
    /// Lines of this program's own section `charon`; charon has them elsewhere.
    var settings: [Side: [String]] = [:]
    /// Passwords by user (XAUTH).
    var users: [Side: [String: String]] = [:]
    /// A post-quantum key of the name "quantum".
    var postquantumKey: [Side: String] = [:]

    struct Child {
        var name = "inner"
        var proposals: [Side: String] = [.left: "aes256gcm16-ecp256", .right: "aes256gcm16-ecp256"]
        /// Selectors of each side's own network as `Side` key believes them; the peer's come from the same table.
        var selectors: [Side: String] = [.left: Side.left.innerPrefix, .right: Side.right.innerPrefix]
        /// What a side believes of the other's network, when that differs.
        var remoteSelectors: [Side: String] = [:]
        var rekeyTime: [Side: Int] = [:]
        var replayWindow: Int?
        /// Further lines, for both sides; with `ah_proposals` among them, `proposals` may be empty.
        var further: [String] = []
    }

    init(_ version: Version) { self.version = version }

    /// Sets the same proposals for both sides.
    func suite(ike: String, esp: String) -> Link {
        var link = self
        link.ikeProposals = [.left: ike, .right: ike]
        for index in link.children.indices { link.children[index].proposals = [.left: esp, .right: esp] }
        return link
    }

    /// The text of one side's swanctl.conf.
    func configuration(of side: Side) -> String {
        var lines = (settings[side] ?? []).isEmpty ? [] : ["charon {"] + (settings[side] ?? []) + ["}"]
        lines += ["connections {", "  \(name) {", "    version = \(version.rawValue)"]
        lines.append("    local_addrs = \(localAddress[side] ?? side.outerAddress)")
        lines += (self.lines[side] ?? []).map { "    \($0)" }
        lines.append("    remote_addrs = \(remoteAddress[side] ?? side.other.outerAddress)")
        lines.append("    proposals = \(ikeProposals[side] ?? "default")")
        if aggressive.contains(side) { lines.append("    aggressive = yes") }
        lines += further.map { "    \($0)" }
        if let dpdDelay {
            lines.append("    dpd_delay = \(dpdDelay)s")
            if version == .v1 { lines.append("    dpd_timeout = \(dpdDelay * 3)s") }
        }
        if let seconds = ikeRekeyTime[side] {
            lines += ["    rekey_time = \(seconds)s", "    rand_time = 0s", "    over_time = 60s"]
        }
        func round(_ name: String, _ identity: String, _ file: String, _ text: String?) {
            lines.append("    \(name) {")
            if let text {
                lines.append("      \(text)")
            } else {
                lines += ["      auth = \(authentication)", "      id = \(identity)"]
                if authentication != "psk" { lines.append("      pubkeys = \(file)") }
            }
            lines.append("    }")
        }
        round("local", side.identity, "own.pub", rounds[side]?.local)
        round("remote", side.other.identity, "peer.pub", rounds[side]?.remote)
        lines.append("    children {")
        for child in children {
            lines.append("      \(child.name) {")
            lines.append("        local_ts = \(child.selectors[side] ?? "dynamic")")
            let remote = child.remoteSelectors[side] ?? child.selectors[side.other] ?? "dynamic"
            lines.append("        remote_ts = \(remote)")
            if child.proposals[side] != "" {
                lines.append("        esp_proposals = \(child.proposals[side] ?? "default")")
            }
            lines += child.further.map { "        \($0)" }
            if let seconds = child.rekeyTime[side] {
                lines += ["        rekey_time = \(seconds)s", "        rand_time = 0s", "        life_time = 60s"]
            }
            if let window = child.replayWindow { lines.append("        replay_window = \(window)") }
            lines.append("      }")
        }
        lines += ["    }", "  }", "}", "secrets {", "  ike-\(name) {"]
        // Several identities: whichever of them a responder looks up with, it finds the key.
        lines.append("    id-left = \(Side.left.identity)\n    id-right = \(Side.right.identity)")
        lines.append("    secret = \"\(secret[side] ?? "")\"")
        lines.append("  }")
        if let key = postquantumKey[side] {
            lines += ["  ppk-\(name) {", "    id = quantum", "    secret = \(key)", "  }"]
        }
        for (user, password) in users[side] ?? [:] {
            lines += ["  xauth-\(user) {", "    id = \(user)", "    secret = \"\(password)\"", "  }"]
        }
        lines += ["}", ""]
        return lines.joined(separator: "\n")
    }
}
