/// Reads KAME's `racoon.conf`: `remote` and `sainfo` sections with `proposal` inside. Its policies live in the kernel's
/// database, not in this file.
struct RacoonReader {
    private(set) var losses: [Conversion.Loss] = []
    private var tokens: [(text: String, line: Int)] = []
    private var position = 0
    private var connections: [(section: SwanctlDocument.Section, name: String)] = []

    mutating func read(_ text: String, into document: inout SwanctlDocument) {
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            tokens += IkedReader.words(String(raw.prefix { $0 != "#" })).map { ($0, index + 1) }
        }
        while position < tokens.count {
            let (word, line) = tokens[position]
            position += 1
            switch word {
            case "remote": remote(line, document)
            case "sainfo": securityAssociation(line, document)
            case "path", "include":
                lose(line, "\(word) \(statement().joined(separator: " "))", "files are named on the command line")
            case "listen", "padding", "timer", "log", "mode_cfg", "privsep", "ldapcfg", "radiuscfg":
                lose(line, word, "a setting of the daemon")
                skip()
            default: lose(line, word, "is no section of a peer")
            }
        }
        for connection in connections where connection.section.section("children").sections.isEmpty {
            _ = connection.section.section("children").section(connection.name)
            lose(
                0, "connection \(connection.name)",
                "write its local_ts and remote_ts: racoon has them in the kernel's policies")
        }
    }

    private mutating func lose(_ line: Int, _ what: String, _ why: String) {
        losses.append(Conversion.Loss(line: line, what: what, why: why))
    }

    /// Words up to the semicolon.
    private mutating func statement() -> [String] {
        var words: [String] = []
        while position < tokens.count, tokens[position].text != ";", tokens[position].text != "{",
            tokens[position].text != "}"
        {
            words.append(tokens[position].text)
            position += 1
        }
        if position < tokens.count, tokens[position].text == ";" { position += 1 }
        return words
    }

    /// A block, or a statement, that is left out.
    private mutating func skip() {
        var depth = 0
        while position < tokens.count {
            let word = tokens[position].text
            position += 1
            if word == "{" { depth += 1 }
            if word == "}" { depth -= 1 }
            if depth == 0 && (word == "}" || word == ";") { return }
        }
    }

    private mutating func remote(_ line: Int, _ document: SwanctlDocument) {
        let head = statement()
        let peer = head.first ?? "anonymous"
        let name = SwanctlDocument.sectionName(peer)
        let connection = document.connections.section(name)
        connections.append((connection, name))
        connection.set("version", "1")
        if peer != "anonymous" { connection.set("remote_addrs", peer) }
        if let port = head.firstIndex(of: "port"), port + 1 < head.count {
            connection.set("remote_port", head[port + 1])
        }
        let local = connection.section("local")
        let remote = connection.section("remote")
        for round in [local, remote] { round.set("auth", "pubkey") }
        var proposals: [String] = []
        block { reader, word, line in
            switch word {
            case "exchange_mode":
                let modes = reader.statement()
                if modes.contains(",") {
                    reader.lose(line, "exchange_mode", "one mode a connection: the first is taken")
                }
                if modes.first == "aggressive" { connection.set("aggressive", "yes") }
            case "my_identifier": if let id = RacoonReader.identity(reader.statement()) { local.set("id", id) }
            case "peers_identifier": if let id = RacoonReader.identity(reader.statement()) { remote.set("id", id) }
            case "nat_traversal": if reader.statement().first == "force" { connection.set("encap", "yes") }
            case "dpd_delay": connection.set("dpd_delay", (reader.statement().first ?? "0") + "s")
            case "passive", "verify_identifier", "initial_contact", "generate_policy", "proposal_check", "doi",
                "situation",
                "support_proxy", "ike_frag", "nonce_size", "verify_cert":
                let words = reader.statement()
                if word == "generate_policy" || word == "proposal_check" {
                    reader.lose(
                        line, "\(word) \(words.joined(separator: " "))", "policies come from the children's selectors")
                }
            case "lifetime": if let time = RacoonReader.time(reader.statement()) { connection.set("rekey_time", time) }
            case "certificate_type": if let file = reader.statement().dropFirst().first { local.set("certs", file) }
            case "proposal":
                var proposal = Proposal()
                reader.block { reader, word, line in reader.read(word, line, &proposal) }
                proposals.append(proposal.text)
                if proposal.isSharedKey { for round in [local, remote] { round.set("auth", "psk") } }
                if let time = proposal.lifetime { connection.set("rekey_time", time) }
            default:
                reader.lose(
                    line, "\(word) \(reader.statement().joined(separator: " "))",
                    "has no counterpart that this converter knows")
            }
        }
        if !proposals.isEmpty { connection.set("proposals", proposals.joined(separator: ", ")) }
    }

    private struct Proposal {
        var encryption = "aes128"
        var hash = "sha1"
        var group = "modp1024"
        var isSharedKey = false
        var lifetime: String?
        var text: String { "\(encryption)-\(hash)-\(group)" }
    }

    private mutating func read(_ word: String, _ line: Int, _ proposal: inout Proposal) {
        let words = statement()
        switch word {
        case "encryption_algorithm": proposal.encryption = RacoonReader.cipher(words)
        case "hash_algorithm": proposal.hash = RacoonReader.hash(words.first ?? "sha1")
        case "dh_group": proposal.group = RacoonReader.group(words.first ?? "2")
        case "authentication_method": proposal.isSharedKey = words.first?.contains("pre_shared_key") == true
        case "lifetime": proposal.lifetime = RacoonReader.time(words)
        default: lose(line, word, "has no counterpart that this converter knows")
        }
    }

    private mutating func securityAssociation(_ line: Int, _ document: SwanctlDocument) {
        let head = statement()
        let networks = RacoonReader.networks(head)
        guard let connection = connections.last else {
            lose(line, "sainfo \(head.joined(separator: " "))", "no remote section stands before it")
            return skip()
        }
        if connections.count > 1 {
            lose(line, "sainfo", "goes to connection \(connection.name), the last one before it")
        }
        let number = connection.section.section("children").sections.count
        let name = number == 0 ? connection.name : "\(connection.name)-\(number + 1)"
        let child = connection.section.section("children").section(name)
        if let networks {
            child.set("local_ts", networks.0)
            child.set("remote_ts", networks.1)
        } else {
            lose(line, "sainfo anonymous", "write local_ts and remote_ts: racoon has them in the kernel's policies")
        }
        var ciphers: [String] = []
        var hashes: [String] = []
        var group: String?
        block { reader, word, line in
            let words = reader.statement().filter { $0 != "," }
            switch word {
            case "encryption_algorithm": ciphers = RacoonReader.ciphers(words)
            case "authentication_algorithm": hashes = words.map(RacoonReader.hash)
            case "pfs_group": group = RacoonReader.group(words.first ?? "2")
            case "lifetime": if let time = RacoonReader.time(words) { child.set("life_time", time) }
            case "compression_algorithm": break
            default: reader.lose(line, word, "has no counterpart that this converter knows")
            }
        }
        let words = ciphers + hashes + [group].compactMap { $0 }
        if !ciphers.isEmpty { child.set("esp_proposals", words.joined(separator: "-")) }
    }

    /// Calls `body` for each statement of a block, with its first word.
    private mutating func block(_ body: (inout RacoonReader, String, Int) -> Void) {
        guard position < tokens.count, tokens[position].text == "{" else { return }
        position += 1
        while position < tokens.count, tokens[position].text != "}" {
            let (word, line) = tokens[position]
            position += 1
            if word != ";" { body(&self, word, line) }
        }
        position += 1
    }

    // MARK: Words

    private static func identity(_ words: [String]) -> String? {
        switch words.first {
        case "address", "fqdn", "user_fqdn", "keyid": words.dropFirst().first
        default: nil
        }
    }

    /// `lifetime time 1 hour`.
    private static func time(_ words: [String]) -> String? {
        guard words.count >= 3, words[0] == "time", let number = Int(words[1]) else { return nil }
        let units = ["sec": "s", "min": "m", "hou": "h", "day": "d"]
        return units[String(words[2].prefix(3))].map { "\(number)\($0)" }
    }

    private static func cipher(_ words: [String]) -> String { ciphers(words).first ?? "aes128" }

    /// `aes 256`, `aes256`, `3des`: a number may stand apart.
    private static func ciphers(_ words: [String]) -> [String] {
        var result: [String] = []
        for word in words {
            if let bits = Int(word), let last = result.last {
                result[result.count - 1] = last.filter { !$0.isNumber } + "\(bits)"
            } else {
                let word = word == "rijndael" ? "aes" : word
                result.append(word == "aes" || word == "camellia" ? word + "128" : word)
            }
        }
        return result
    }

    private static func hash(_ word: String) -> String { word.replacing("hmac_", with: "") }

    private static func group(_ word: String) -> String {
        let groups = [
            "1": "modp768", "2": "modp1024", "5": "modp1536", "14": "modp2048", "15": "modp3072",
            "16": "modp4096", "17": "modp6144", "18": "modp8192",
        ]
        return groups[word] ?? word
    }

    /// `address 10.1.0.0/24 any address 10.2.0.0/24 any` as our side and the peer's.
    private static func networks(_ words: [String]) -> (String, String)? {
        let found = words.indices.filter { ["address", "subnet"].contains(words[$0]) && $0 + 1 < words.count }
            .map { words[$0 + 1] }
        return found.count >= 2 ? (found[0], found[1]) : nil
    }
}
