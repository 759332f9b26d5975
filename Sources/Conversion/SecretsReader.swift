/// Reads the secrets that older daemons keep in a file of their own.
enum SecretsReader {
    /// `ipsec.secrets`: `ID… : KIND VALUE`. Keys that lie in files are named as losses: swanctl finds them in its folders.
    static func readIPsecSecrets(
        _ text: String, into document: inout SwanctlDocument, _ losses: inout [Conversion.Loss]
    ) {
        for (index, raw) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = IPsecConfReader.trim(raw)
            if line.isEmpty || line.hasPrefix("#") { continue }
            func lose(_ what: String, _ why: String) {
                losses.append(Conversion.Loss(line: index + 1, what: what, why: why))
            }
            guard let colon = separator(line) else {
                lose("secrets", "no ':' between the identities and the secret")
                continue
            }
            let owners = line[..<colon].split(whereSeparator: \.isWhitespace).map(String.init)
            let rest = IPsecConfReader.trim(line[line.index(after: colon)...])
            let words = rest.split(maxSplits: 1, whereSeparator: \.isWhitespace).map(String.init)
            guard words.count == 2 else {
                lose("secrets", "a kind and a value are needed")
                continue
            }
            let prefixes = ["PSK": "ike", "EAP": "eap", "XAUTH": "xauth", "NTLM": "ntlm"]
            guard let prefix = prefixes[words[0].uppercased()] else {
                lose("\(words[0].uppercased()) key", "put the file into swanctl's folder private, rsa or pkcs8")
                continue
            }
            add(prefix, owners.filter { $0 != "%any" }, unquoted(words[1]), &document)
        }
    }

    /// `psk.txt` of racoon: `IDENTITY SECRET`.
    static func readRacoonKeys(_ text: String, into document: inout SwanctlDocument) {
        for raw in text.split(separator: "\n") {
            let line = IPsecConfReader.trim(raw)
            let words = line.split(maxSplits: 1, whereSeparator: \.isWhitespace).map(String.init)
            if line.hasPrefix("#") || words.count != 2 { continue }
            add("ike", words[0] == "*" ? [] : [words[0]], IPsecConfReader.trim(words[1]), &document)
        }
    }

    static func add(_ prefix: String, _ owners: [String], _ secret: String, _ document: inout SwanctlDocument) {
        let section = document.secrets.section("\(prefix)-\(document.secrets.sections.count + 1)")
        for (index, owner) in owners.enumerated() { section.set("id-\(index + 1)", owner) }
        section.set("secret", secret)
    }

    /// The colon that stands alone: identities hold others.
    private static func separator(_ line: String) -> String.Index? {
        var previous: Character = " "
        for index in line.indices {
            let next = line.index(after: index) < line.endIndex ? line[line.index(after: index)] : " "
            if line[index] == ":", previous.isWhitespace, next.isWhitespace { return index }
            previous = line[index]
        }
        return nil
    }

    private static func unquoted(_ text: String) -> String {
        guard text.count >= 2, let quote = text.first, quote == "\"" || quote == "'", text.last == quote else {
            return text
        }
        return String(text.dropFirst().dropLast())
    }
}
