/// Reads `ipsec.conf` in the dialects of strongSwan and Libreswan: sections `config`, `conn` and `ca`, indented `key=value`
/// lines below, `also=` and `conn %default`.
struct IPsecConfReader {
    private struct Line {
        var number: Int
        var key: String
        var value: String
    }

    private struct Conn {
        var name: String
        var lines: [Line]
    }

    private let isLibreswan: Bool
    private(set) var losses: [Conversion.Loss] = []
    private var conns: [Conn] = []
    private var authorities: [Conn] = []

    /// `also=` inside `also=` is followed this deep.
    private static let maximumDepth = 16

    init(isLibreswan: Bool) { self.isLibreswan = isLibreswan }

    mutating func read(_ text: String, into document: inout SwanctlDocument) {
        parse(text)
        let defaults = conns.first { $0.name == "%default" }?.lines ?? []
        let templates = Set(conns.flatMap(\.lines).filter { $0.key == "also" }.map(\.value))
        for conn in conns where conn.name != "%default" {
            let lines = expanded(conn, depth: 0)
            let own = Set(lines.map(\.key))
            let whole = defaults.filter { !own.contains($0.key) } + lines
            // Without auto a section is never loaded; most are there for others to take over.
            guard let auto = whole.last(where: { $0.key == "auto" }), auto.value != "ignore" else {
                if !templates.contains(conn.name) {
                    lose(conn.lines.first?.number ?? 0, "conn \(conn.name)", "has no auto, so that it was never loaded")
                }
                continue
            }
            translate(conn.name, whole, document)
        }
        for authority in authorities { translate(authority: authority, document) }
    }

    private mutating func lose(_ line: Int, _ what: String, _ why: String) {
        losses.append(Conversion.Loss(line: line, what: what, why: why))
    }

    // MARK: Lines

    private mutating func parse(_ text: String) {
        enum Place { case none, conn, authority, setup }
        var place = Place.none
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let number = index + 1
            let isIndented = raw.first?.isWhitespace == true
            let line = IPsecConfReader.withoutComment(raw)
            guard !line.isEmpty else { continue }
            if !isIndented || (place == .none && !line.contains("=")) {
                let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
                switch words.first {
                case "conn" where words.count > 1:
                    conns.append(Conn(name: words[1], lines: []))
                    place = .conn
                case "ca" where words.count > 1:
                    authorities.append(Conn(name: words[1], lines: []))
                    place = .authority
                case "config": place = .setup
                case "version": break
                case "include": lose(number, line, "include the converted file by hand, or convert the files together")
                default: lose(number, line, "no section starts like this")
                }
                continue
            }
            guard let equals = line.firstIndex(of: "=") else {
                lose(number, line, "no key=value")
                continue
            }
            let key = IPsecConfReader.trim(line[..<equals]).lowercased()
            var value = IPsecConfReader.trim(line[line.index(after: equals)...])
            if value.count >= 2, value.hasPrefix("\""), value.hasSuffix("\"") {
                value = String(value.dropFirst().dropLast())
            }
            let entry = Line(number: number, key: key, value: value)
            switch place {
            case .conn: conns[conns.count - 1].lines.append(entry)
            case .authority: authorities[authorities.count - 1].lines.append(entry)
            case .setup:
                if !["uniqueids"].contains(key) { lose(number, key, "a setting of the daemon: see section charon") }
            case .none: lose(number, key, "outside of any section")
            }
        }
    }

    private static func withoutComment(_ raw: Substring) -> String {
        var result = ""
        var isQuoted = false
        for character in raw {
            if character == "\"" { isQuoted.toggle() }
            if character == "#" && !isQuoted { break }
            result.append(character)
        }
        return trim(result)
    }

    static func trim(_ text: some StringProtocol) -> String {
        var part = text[...]
        while part.first?.isWhitespace == true { part = part.dropFirst() }
        while part.last?.isWhitespace == true { part = part.dropLast() }
        return String(part)
    }

    /// A section's own lines, with those of `also=` before them where it has none of that key.
    private mutating func expanded(_ conn: Conn, depth: Int) -> [Line] {
        var lines = conn.lines.filter { $0.key != "also" }
        for also in conn.lines where also.key == "also" {
            guard depth < IPsecConfReader.maximumDepth, let other = conns.first(where: { $0.name == also.value }) else {
                lose(also.number, "also=\(also.value)", "there is no such section")
                continue
            }
            let own = Set(lines.map(\.key))
            lines = expanded(other, depth: depth + 1).filter { !own.contains($0.key) } + lines
        }
        return lines
    }

    // MARK: One conn

    private mutating func translate(_ name: String, _ lines: [Line], _ document: SwanctlDocument) {
        var values: [String: Line] = [:]
        for line in lines { values[line.key] = line }
        func value(_ key: String) -> String? { values[key]?.value }
        if value("type") == "passthrough" || value("type") == "drop" || value("type") == "reject" {
            lose(values["type"]?.number ?? 0, "conn \(name): type", "write a child with mode = pass or drop")
        }
        let connection = document.connections.section(SwanctlDocument.sectionName(name))
        connection.set("version", version(value))
        let child = connection.section("children").section(SwanctlDocument.sectionName(name))
        // Which end is ours cannot be read from the file: left is, as both daemons advise.
        for (end, side, other) in [("left", "local", "right"), ("right", "remote", "left")] {
            addresses(end, side, value, connection)
            round(end, side, other, value, connection)
            child.set("\(side)_ts", selectors(end, value))
        }
        if child.settings.contains(where: { $0.key == "remote_ts" && $0.value == "%dynamic" }) {
            child.set("remote_ts", "dynamic")
        }
        var used: Set<String> = [
            "type", "auto", "keyexchange", "ikev2", "authby", "leftauth", "rightauth", "leftsubnet",
            "rightsubnet", "leftsubnets", "rightsubnets", "left", "right", "leftid", "rightid", "leftprotoport",
            "rightprotoport", "leftcert", "rightcert", "leftikeport", "rightikeport",
        ]
        for (key, target) in IPsecConfReader.plainKeys {
            guard let line = values[key] else { continue }
            used.insert(key)
            let text = IPsecConfReader.time(target.1, line.value)
            (target.0 == "child" ? child : connection).set(target.1, text)
        }
        for (key, target) in [
            ("ike", "proposals"), ("esp", "esp_proposals"), ("phase2alg", "esp_proposals"), ("ah", "ah_proposals"),
        ] {
            guard let line = values[key] else { continue }
            used.insert(key)
            (target == "proposals" ? connection : child).set(target, IPsecConfReader.proposals(line.value))
        }
        used.formUnion(actions(values, connection, child))
        pools(name, values, connection, document, &used)
        for line in values.values.sorted(by: { $0.number < $1.number }) where !used.contains(line.key) {
            lose(line.number, "conn \(name): \(line.key)=\(line.value)", "has no counterpart that this converter knows")
        }
    }

    /// Keys that mean the same: old name to level and new name.
    private static let plainKeys: [String: (String, String)] = [
        "ikelifetime": ("conn", "rekey_time"), "lifetime": ("child", "life_time"), "keylife": ("child", "life_time"),
        "salifetime": ("child", "life_time"), "dpddelay": ("conn", "dpd_delay"), "dpdtimeout": ("conn", "dpd_timeout"),
        "keyingtries": ("conn", "keyingtries"), "mobike": ("conn", "mobike"),
        "fragmentation": ("conn", "fragmentation"),
        "aggressive": ("conn", "aggressive"), "aggrmode": ("conn", "aggressive"), "forceencaps": ("conn", "encap"),
        "encapsulation": ("conn", "encap"), "reqid": ("child", "reqid"), "replay_window": ("child", "replay_window"),
        "replay-window": ("child", "replay_window"), "mark": ("child", "mark_in"), "ipcomp": ("child", "ipcomp"),
        "compress": ("child", "ipcomp"), "inactivity": ("child", "inactivity"), "tfc": ("child", "tfc_padding"),
        "leftupdown": ("child", "updown"), "lefthostaccess": ("child", "hostaccess"), "if_id_in": ("child", "if_id_in"),
        "if_id_out": ("child", "if_id_out"),
    ]

    private static func time(_ key: String, _ value: String) -> String {
        switch key {
        case "keyingtries" where value == "%forever": "0"
        case "rekey_time", "life_time", "dpd_delay", "dpd_timeout", "inactivity":
            value.last?.isNumber == true ? value + "s" : value
        case "encap" where value == "auto": "no"
        default: value
        }
    }

    private func version(_ value: (String) -> String?) -> String {
        switch value("keyexchange") ?? value("ikev2") {
        case "ikev1", "no", "never": return "1"
        case "ikev2", "yes", "insist", "permit", "propose": return "2"
        default: return isLibreswan ? "2" : "0"
        }
    }

    private func addresses(
        _ end: String, _ side: String, _ value: (String) -> String?, _ connection: SwanctlDocument.Section
    ) {
        switch value(end) {
        case nil, "%any", "%any4", "%any6", "%defaultroute", "%opportunistic", "%group": break
        case let address?:
            connection.set("\(side)_addrs", address.hasPrefix("%") ? String(address.dropFirst()) : address)
        }
        if let port = value("\(end)ikeport") { connection.set("\(side)_port", port) }
    }

    private func round(
        _ end: String, _ side: String, _ other: String, _ value: (String) -> String?,
        _ connection: SwanctlDocument.Section
    ) {
        let round = connection.section(side)
        let method = value("\(end)auth") ?? value("authby") ?? "pubkey"
        switch method {
        case "secret", "psk": round.set("auth", "psk")
        case "never", "null": round.set("auth", "null")
        case let rsa where rsa.hasPrefix("rsa") || rsa == "pubkey" || rsa == "ecdsa": round.set("auth", "pubkey")
        default: round.set("auth", method)
        }
        if let id = value("\(end)id"), id != "%fromcert" {
            round.set("id", id)
        } else if let address = value(end), !address.hasPrefix("%"), method == "secret" || method == "psk" {
            round.set("id", address)
        }
        if let certificate = value("\(end)cert") { round.set("certs", certificate) }
    }

    private func selectors(_ end: String, _ value: (String) -> String?) -> String {
        let networks = value("\(end)subnet") ?? value("\(end)subnets") ?? "dynamic"
        let list = networks.filter { !"{}".contains($0) }.split(whereSeparator: { $0 == "," || $0.isWhitespace })
            .map { $0 == "%dynamic" ? "dynamic" : String($0) }
        guard let port = value("\(end)protoport") else { return list.joined(separator: ", ") }
        let parts = port.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let ports = parts.count > 1 && parts[1] != "%any" && !parts[1].isEmpty ? "/\(parts[1])" : ""
        return list.map { "\($0)[\(parts[0])\(ports)]" }.joined(separator: ", ")
    }

    /// `aes256-sha2_256-modp2048!` and Libreswan's `aes256-sha2;modp2048+…`, as lists of swanctl's keywords.
    static func proposals(_ text: String) -> String {
        text.filter { $0 != "!" }.split(separator: ",").map { proposal in
            proposal.split(whereSeparator: { $0 == "-" || $0 == ";" || $0 == "+" || $0 == "_" && false }).map { word in
                let word = IPsecConfReader.trim(word).lowercased()
                return keywords[word] ?? libreswanGroup(word)
            }
            .joined(separator: "-")
        }
        .joined(separator: ", ")
    }

    private static let keywords: [String: String] = [
        "aes": "aes128", "aes_gcm256": "aes256gcm16", "aes_gcm128": "aes128gcm16", "aes_gcm": "aes128gcm16",
        "aes_gcm_c_256": "aes256gcm16", "aes_gcm_c_128": "aes128gcm16", "sha2": "sha256", "sha2_256": "sha256",
        "sha2_384": "sha384", "sha2_512": "sha512", "sha": "sha1", "chacha20_poly1305": "chacha20poly1305",
    ]

    /// `dh19` as `ecp256`.
    private static func libreswanGroup(_ word: String) -> String {
        let groups = [
            "dh2": "modp1024", "dh5": "modp1536", "dh14": "modp2048", "dh15": "modp3072", "dh16": "modp4096",
            "dh17": "modp6144", "dh18": "modp8192", "dh19": "ecp256", "dh20": "ecp384", "dh21": "ecp521",
            "dh31": "x25519",
        ]
        return groups[word] ?? word
    }

    /// `auto`, `type`, `dpdaction`, `closeaction`, `rekey`, `reauth`; the keys that were used.
    private mutating func actions(
        _ values: [String: Line], _ connection: SwanctlDocument.Section, _ child: SwanctlDocument.Section
    ) -> Set<String> {
        let starts = [
            "start": "start", "up": "start", "route": "trap", "ondemand": "trap", "add": "none", "keep": "none",
        ]
        if let auto = values["auto"], auto.value != "ignore" {
            if let action = starts[auto.value] {
                child.set("start_action", action)
            } else {
                lose(auto.number, "auto=\(auto.value)", "no such action")
            }
        }
        if values["type"]?.value == "transport" { child.set("mode", "transport") }
        let ends = [
            "restart": "restart", "hold": "trap", "clear": "clear", "none": "none", "start": "start", "trap": "trap",
        ]
        for (key, new) in [("dpdaction", "dpd_action"), ("closeaction", "close_action")] {
            if let line = values[key], let action = ends[line.value] {
                child.set(new, action == "restart" && new == "close_action" ? "start" : action)
            }
        }
        if values["rekey"]?.value == "no" {
            connection.set("rekey_time", "0s")
            child.set("rekey_time", "0s")
        }
        if values["reauth"]?.value == "yes", let life = values["ikelifetime"] {
            connection.set("reauth_time", IPsecConfReader.time("rekey_time", life.value))
        }
        if values["pfs"]?.value == "no" {
            return [
                "auto", "type", "dpdaction", "closeaction", "rekey", "reauth", "pfs", "installpolicy", "margintime",
                "rekeymargin", "rekeyfuzz",
            ]
        }
        return [
            "auto", "type", "dpdaction", "closeaction", "rekey", "reauth", "pfs", "installpolicy", "margintime",
            "rekeymargin", "rekeyfuzz",
        ]
    }

    /// Addresses that are handed out or asked for.
    private mutating func pools(
        _ name: String, _ values: [String: Line], _ connection: SwanctlDocument.Section, _ document: SwanctlDocument,
        _ used: inout Set<String>
    ) {
        if let line = values["leftsourceip"] {
            used.insert("leftsourceip")
            let asked = line.value.hasPrefix("%config") || line.value.hasPrefix("%modeconfig")
            connection.set("vips", asked ? (line.value == "%config6" ? "::" : "0.0.0.0") : line.value)
        }
        for key in ["rightsourceip", "rightaddresspool"] {
            guard let line = values[key] else { continue }
            used.insert(key)
            let pool = SwanctlDocument.sectionName(name)
            if line.value.hasPrefix("%") {
                lose(line.number, "\(key)=\(line.value)", "name a pool with addresses")
            } else {
                document.pools.section(pool).set("addrs", line.value)
                connection.set("pools", pool)
            }
        }
        for key in ["rightdns", "modecfgdns"] {
            guard let line = values[key], values["rightsourceip"] != nil || values["rightaddresspool"] != nil else {
                continue
            }
            used.insert(key)
            document.pools.section(SwanctlDocument.sectionName(name)).set("dns", line.value)
        }
    }

    // MARK: One ca

    private mutating func translate(authority: Conn, _ document: SwanctlDocument) {
        let section = document.authorities.section(SwanctlDocument.sectionName(authority.name))
        for line in authority.lines {
            switch line.key {
            case "cacert": section.set("cacert", line.value)
            case "crluri", "crluri1", "crluri2": section.set("crl_uris", line.value)
            case "ocspuri", "ocspuri1", "ocspuri2": section.set("ocsp_uris", line.value)
            case "certuribase": section.set("cert_uri_base", line.value)
            case "auto": break
            default:
                lose(line.number, "ca \(authority.name): \(line.key)", "has no counterpart that this converter knows")
            }
        }
    }
}
