/// Reads OpenBSD's `iked.conf`: one `ikev2` rule a line (backslashes continue it), and macros.
struct IkedReader {
    private(set) var losses: [Conversion.Loss] = []
    private var macros: [String: String] = [:]
    private var count = 0

    mutating func read(_ text: String, into document: inout SwanctlDocument) {
        for (number, line) in IkedReader.joined(text) {
            let words = IkedReader.words(substituted(line))
            guard let first = words.first else { continue }
            if words.count >= 3, words[1] == "=" {
                macros[first] = words[2...].joined(separator: " ")
            } else if first == "ikev2" {
                rule(Array(words.dropFirst()), number, document)
            } else {
                lose(number, first, "is not part of a connection")
            }
        }
    }

    private mutating func lose(_ line: Int, _ what: String, _ why: String) {
        losses.append(Conversion.Loss(line: line, what: what, why: why))
    }

    private func substituted(_ line: String) -> String {
        var line = line
        for (name, value) in macros { line = line.replacing("$\(name)", with: value) }
        return line
    }

    /// Lines with what continues them, by the number of the first; comments are left out.
    private static func joined(_ text: String) -> [(Int, String)] {
        var result: [(Int, String)] = []
        var open: (Int, String)?
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            var line = String(raw.prefix { $0 != "#" })
            let continues = IPsecConfReader.trim(line).hasSuffix("\\")
            if continues { line = String(IPsecConfReader.trim(line).dropLast()) }
            open = (open?.0 ?? index + 1, (open?.1 ?? "") + " " + line)
            if !continues, let whole = open {
                result.append((whole.0, IPsecConfReader.trim(whole.1)))
                open = nil
            }
        }
        if let whole = open { result.append((whole.0, IPsecConfReader.trim(whole.1))) }
        return result
    }

    /// Words; quoted ones are one, and commas stand alone.
    static func words(_ line: String) -> [String] {
        var words: [String] = []
        var word = ""
        var isQuoted = false
        func flush() {
            if !word.isEmpty { words.append(word) }
            word = ""
        }
        for character in line {
            if character == "\"" {
                isQuoted.toggle()
                if !isQuoted { flush() }
            } else if isQuoted {
                word.append(character)
            } else if character.isWhitespace {
                flush()
            } else if character == "," || character == "=" || character == "{" || character == "}" || character == ";" {
                flush()
                words.append(String(character))
            } else {
                word.append(character)
            }
        }
        flush()
        return words
    }

    private struct Rule {
        var name = ""
        var mode = "passive"
        var child: [String: String] = [:]
        var flows: [(String, String)] = []
        var ipProtocol = ""
        var local = ""
        var peer = ""
        var ike: [String: [String]] = [:]
        var esp: [String: [String]] = [:]
    }

    private mutating func rule(_ words: [String], _ number: Int, _ document: SwanctlDocument) {
        count += 1
        var rule = Rule()
        var position = 0
        var from: String?
        var context = "ike"
        var lifetime: (String, String)?
        var identities: (source: String?, destination: String?) = (nil, nil)
        var secret: String?
        var method = "pubkey"
        func next() -> String {
            position += 1
            return position < words.count ? words[position] : ""
        }
        var unknown: [String] = []
        while position < words.count {
            let word = words[position]
            switch word {
            case "active", "passive": rule.mode = word
            case "quick", "skip", "inet", "inet6", ",": break
            case "tunnel", "transport": rule.child["mode"] = word
            case "esp", "ah": break
            case "ipcomp": rule.child["ipcomp"] = "yes"
            case "proto": rule.ipProtocol = next()
            case "from": from = network(next(), words, &position)
            case "to":
                let to = network(next(), words, &position)
                rule.flows.append((from ?? "any", to))
            case "local": rule.local = next()
            case "peer": rule.peer = next()
            case "ikesa": context = "ike"
            case "childsa": context = "esp"
            case "auth", "enc", "prf", "group":
                let value = next()
                if context == "ike" {
                    rule.ike[word, default: []].append(value)
                } else {
                    rule.esp[word, default: []].append(value)
                }
            case "srcid": identities.source = next()
            case "dstid": identities.destination = next()
            case "ikelifetime": rule.child["ikelifetime"] = next()
            case "lifetime":
                let time = next()
                lifetime = (time, "")
                if position + 1 < words.count, words[position + 1] == "bytes" {
                    position += 1
                    lifetime = (time, next())
                }
            case "psk": (method, secret) = ("psk", next())
            case "eap": (method, _) = ("eap-mschapv2", next())
            case "rsa", "ecdsa256", "ecdsa384", "ecdsa521": method = "pubkey"
            case "tag", "tap", "config", "request", "iface", "set": unknown.append("\(word) \(next())")
            default:
                if rule.name.isEmpty && position == 0 { rule.name = word } else { unknown.append(word) }
            }
            position += 1
        }
        for word in unknown { lose(number, word, "has no counterpart that this converter knows") }
        let name = SwanctlDocument.sectionName(rule.name.isEmpty ? "ikev2-\(count)" : rule.name)
        let connection = document.connections.section(name)
        connection.set("version", "2")
        if !rule.local.isEmpty, rule.local != "any" { connection.set("local_addrs", rule.local) }
        if !rule.peer.isEmpty, rule.peer != "any" { connection.set("remote_addrs", rule.peer) }
        if let proposals = IkedReader.proposals(rule.ike, isIKE: true) { connection.set("proposals", proposals) }
        if let time = rule.child["ikelifetime"] { connection.set("rekey_time", IkedReader.time(time)) }
        for (side, identity) in [("local", identities.source), ("remote", identities.destination)] {
            let round = connection.section(side)
            round.set("auth", side == "remote" && method.hasPrefix("eap") ? method : method == "psk" ? "psk" : "pubkey")
            if let identity { round.set("id", identity) }
        }
        let child = connection.section("children").section(name)
        let suffix = rule.ipProtocol.isEmpty ? "" : "[\(rule.ipProtocol)]"
        func list(_ networks: [String]) -> String {
            var seen: Set<String> = []
            return networks.filter { seen.insert($0).inserted }
                .map { ($0 == "any" ? "0.0.0.0/0" : $0 == "dynamic" ? "dynamic" : $0) + suffix }.joined(separator: ", ")
        }
        if !rule.flows.isEmpty {
            child.set("local_ts", list(rule.flows.map(\.0)))
            child.set("remote_ts", list(rule.flows.map(\.1)))
            if Set(rule.flows.map(\.0)).count > 1 && Set(rule.flows.map(\.1)).count > 1 {
                lose(number, "several from … to …", "pairs become two lists: every source may reach every destination")
            }
        }
        if let mode = rule.child["mode"], mode == "transport" { child.set("mode", mode) }
        if let proposals = IkedReader.proposals(rule.esp, isIKE: false) { child.set("esp_proposals", proposals) }
        if rule.child["ipcomp"] != nil { child.set("ipcomp", "yes") }
        if let lifetime {
            child.set("life_time", IkedReader.time(lifetime.0))
            if !lifetime.1.isEmpty { child.set("life_bytes", IkedReader.octets(lifetime.1)) }
        }
        if rule.mode == "active" { child.set("start_action", "start") }
        if let secret {
            var document = document
            SecretsReader.add("ike", [identities.destination].compactMap { $0 }, secret, &document)
        }
    }

    /// `10.0.0.0/8 (10.1.0.0/16)` names what the peer sees in parentheses; a port may follow.
    private mutating func network(_ word: String, _ words: [String], _ position: inout Int) -> String {
        var text = word
        if position + 2 < words.count, words[position + 1] == "port" {
            text += "[0/\(words[position + 2])]"
            position += 2
        }
        return text
    }

    /// `512M` as a number.
    private static func octets(_ text: String) -> String {
        let units: [Character: UInt64] = ["k": 1 << 10, "m": 1 << 20, "g": 1 << 30]
        guard let unit = text.lowercased().last.flatMap({ units[$0] }), let number = UInt64(text.dropLast()) else {
            return text
        }
        let (product, isTooLarge) = number.multipliedReportingOverflow(by: unit)
        return isTooLarge ? text : String(product)
    }

    private static func time(_ text: String) -> String {
        text.last?.isNumber == true ? text + "s" : text
    }

    private static func proposals(_ parts: [String: [String]], isIKE: Bool) -> String? {
        guard !parts.isEmpty else { return nil }
        let ciphers: [String: String] = [
            "aes-128": "aes128", "aes-192": "aes192", "aes-256": "aes256", "aes-128-gcm": "aes128gcm16",
            "aes-256-gcm": "aes256gcm16", "chacha20-poly1305": "chacha20poly1305", "3des": "3des",
            "aes-128-gcm-12": "aes128gcm12", "aes-256-gcm-12": "aes256gcm12",
        ]
        let hashes: [String: String] = [
            "hmac-sha1": "sha1", "hmac-sha2-256": "sha256", "hmac-sha2-384": "sha384", "hmac-sha2-512": "sha512",
            "hmac-md5": "md5",
        ]
        let groups = ["curve25519": "x25519", "sntrup761x25519": "x25519"]
        var words = (parts["enc"] ?? ["aes-256"]).map { ciphers[$0] ?? $0 }
        let isCombined = words.contains { $0.contains("gcm") || $0.contains("poly") }
        if !isCombined { words += (parts["auth"] ?? ["hmac-sha2-256"]).map { hashes[$0] ?? $0 } }
        if isIKE { words += (parts["prf"] ?? (isCombined ? ["hmac-sha2-256"] : [])).map { "prf" + (hashes[$0] ?? $0) } }
        words += (parts["group"] ?? (isIKE ? ["curve25519"] : [])).map { groups[$0] ?? $0 }
        return words.joined(separator: "-")
    }
}
