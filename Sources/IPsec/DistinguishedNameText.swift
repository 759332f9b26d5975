import Primitives

// Names as text. charon writes the root first and spaces behind commas (`C=CH, O=Parley, CN=gate`), which RFC 4514 turns
// round; the escapes are RFC 4514's.
extension DistinguishedName: CustomStringConvertible {
    /// Attribute names by the content octets of their identifiers. The first of several names is the one that is written.
    private static let names: [(name: String, type: [UInt8])] = [
        ("CN", [0x55, 4, 3]), ("S", [0x55, 4, 4]), ("SN", [0x55, 4, 5]), ("C", [0x55, 4, 6]), ("L", [0x55, 4, 7]),
        ("ST", [0x55, 4, 8]), ("STREET", [0x55, 4, 9]), ("O", [0x55, 4, 10]), ("OU", [0x55, 4, 11]),
        ("T", [0x55, 4, 12]), ("D", [0x55, 4, 13]), ("postalCode", [0x55, 4, 17]), ("N", [0x55, 4, 41]),
        ("G", [0x55, 4, 42]), ("I", [0x55, 4, 43]), ("ID", [0x55, 4, 45]), ("dnQualifier", [0x55, 4, 46]),
        ("pseudonym", [0x55, 4, 65]),
        ("DC", [0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 25]),
        ("UID", [0x09, 0x92, 0x26, 0x89, 0x93, 0xF2, 0x2C, 0x64, 1, 1]),
        ("E", [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1]),
        ("UN", [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 2]),
        ("UA", [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 8]),
        ("EN", [0x60, 0x86, 0x48, 1, 0x86, 0xF8, 0x42, 3, 1, 3]),
        ("emailAddress", [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1]),
        ("Email", [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1]),
        ("serialNumber", [0x55, 4, 5]), ("surname", [0x55, 4, 4]), ("GN", [0x55, 4, 42]), ("title", [0x55, 4, 12]),
    ]

    /// The attribute's type by a name or as dotted numbers.
    package static func type(_ name: some StringProtocol) -> [UInt8]? {
        let wanted = name.lowercased()
        if let known = names.first(where: { $0.name.lowercased() == wanted }) { return known.type }
        let parts = wanted.split(separator: ".", omittingEmptySubsequences: false)
        guard (3...32).contains(parts.count) else { return nil }
        var arcs: [UInt64] = []
        for part in parts {
            guard let arc = UInt64(part), arc <= UInt64(UInt32.max), !part.hasPrefix("+") else { return nil }
            arcs.append(arc)
        }
        guard arcs[0] <= 2, arcs[1] < 40 || arcs[0] == 2 else { return nil }
        var octets: [UInt8] = []
        for arc in [arcs[0] * 40 + arcs[1]] + arcs[2...] {
            var groups = [UInt8(arc & 0x7F)]
            var rest = arc >> 7
            while rest > 0 {
                groups.append(UInt8(rest & 0x7F) | 0x80)
                rest >>= 7
            }
            octets += groups.reversed()
        }
        return octets
    }

    private static func name(_ type: [UInt8]) -> String {
        if let known = names.first(where: { $0.type == type }) { return known.name }
        var arcs: [UInt64] = []
        var arc: UInt64 = 0
        for octet in type {
            // A number that long belongs to no registered attribute.
            guard arc < 1 << 56 else { return "OID" }
            arc = arc << 7 | UInt64(octet & 0x7F)
            if octet & 0x80 == 0 {
                arcs.append(arc)
                arc = 0
            }
        }
        guard let first = arcs.first else { return "OID" }
        let root = min(first / 40, 2)
        return ([root, first - root * 40] + arcs.dropFirst()).map(String.init).joined(separator: ".")
    }

    /// Reads `C=CH, O=Parley, CN=gate`, parts divided by `,` or, where the text begins with it, by `/`. Several attributes
    /// of one part are joined by `+`. A value may stand in double quotes, escape with `\`, be `#` and the hex of a value
    /// in DER, or be `*`.
    ///
    /// `nil` where it is no such text.
    package init?(_ text: String) {
        let slashes = text.hasPrefix("/")
        var parser = NameParser(text: Array(slashes ? text.dropFirst() : text[...]), divider: slashes ? "/" : ",")
        guard let names = parser.names() else { return nil }
        relativeNames = names
        guard relativeNames.reduce(0, { $0 + $1.count }) <= DistinguishedName.maximumAttributes,
            octets.count <= DistinguishedName.maximumOctets
        else { return nil }
    }

    /// Root first, as charon writes it.
    package var description: String {
        relativeNames.map { attributes in
            attributes.map { "\(DistinguishedName.name($0.type))=\($0.escaped)" }.joined(separator: "+")
        }.joined(separator: ", ")
    }
}

extension DistinguishedName.Attribute {
    /// An attribute of text: PrintableString where it can be one, IA5String for e-mail addresses and domain components,
    /// else UTF8String (RFC 5280 §4.1.2.4).
    package init(type: [UInt8], text: String) {
        let value = Array(text.utf8)
        let isIA5 = ["E", "DC", "UN"].contains { DistinguishedName.type($0) == type } && value.allSatisfy { $0 < 0x80 }
        let isPrintable = value.allSatisfy { octet in
            (0x30...0x39).contains(octet) || (0x41...0x5A).contains(octet) || (0x61...0x7A).contains(octet)
                || Array(" '()+,-./:=?".utf8).contains(octet)
        }
        self.init(
            type: type, tag: isIA5 ? Self.ia5String : isPrintable ? Self.printableString : Self.utf8String, value: value
        )
    }

    /// The value with the escapes of RFC 4514 §2.4, or as hex where it is no text that a terminal can show.
    fileprivate var escaped: String {
        guard let text, !text.isEmpty,
            text.unicodeScalars.allSatisfy({ !$0.properties.isPatternWhitespace || $0 == " " }),
            text.unicodeScalars.allSatisfy({
                $0.value >= 0x20 && $0.value != 0x7F && $0.properties.generalCategory != .format
            })
        else { return "#" + DER.wrap(tag, value).hex }
        var escaped = ""
        for (index, character) in text.enumerated() {
            let isEdge = index == 0 || index == text.count - 1
            if ",+\"\\;<>".contains(character) || isEdge && character == " " || index == 0 && character == "#" {
                escaped.append("\\")
            }
            escaped.append(character)
        }
        return escaped
    }
}

private struct NameParser {
    let text: [Character]
    let divider: Character
    var index = 0

    init(text: [Character], divider: Character) {
        self.text = text
        self.divider = divider
    }

    private var next: Character? { index < text.count ? text[index] : nil }

    private mutating func skipSpaces() {
        while next == " " { index += 1 }
    }

    mutating func names() -> [[DistinguishedName.Attribute]]? {
        var names: [[DistinguishedName.Attribute]] = []
        var current: [DistinguishedName.Attribute] = []
        while true {
            guard let attribute = attribute() else { return nil }
            current.append(attribute)
            let end = next
            index += 1
            if end == "+" { continue }
            names.append(current)
            current = []
            if end == nil { return names }
        }
    }

    private mutating func attribute() -> DistinguishedName.Attribute? {
        skipSpaces()
        let start = index
        while let character = next, character != "=" {
            guard character != divider, character != "+" else { return nil }
            index += 1
        }
        guard next == "=" else { return nil }
        var name = text[start..<index]
        while name.last == " " { name.removeLast() }
        index += 1
        guard let type = DistinguishedName.type(String(name)) else { return nil }
        skipSpaces()
        if next == "#" { return hexadecimal(type) }
        guard let value = next == "\"" ? quoted() : plain(), !value.isEmpty else { return nil }
        return DistinguishedName.Attribute(type: type, text: value)
    }

    private mutating func hexadecimal(_ type: [UInt8]) -> DistinguishedName.Attribute? {
        index += 1
        var digits = ""
        while let character = next, character.isHexDigit {
            digits.append(character)
            index += 1
        }
        skipSpaces()
        guard isAtDivider, let octets = [UInt8](hex: digits) else { return nil }
        var reader = ByteReader(octets)
        guard let (tag, value) = try? DER.readAny(from: &reader), reader.isAtEnd else { return nil }
        return DistinguishedName.Attribute(type: type, tag: tag, value: Array(value))
    }

    private var isAtDivider: Bool { next == nil || next == divider || next == "+" }

    private mutating func quoted() -> String? {
        index += 1
        var octets: [UInt8] = []
        while let character = next, character != "\"" {
            guard append(character, to: &octets) else { return nil }
        }
        guard next == "\"" else { return nil }
        index += 1
        skipSpaces()
        return isAtDivider ? String(validating: octets, as: UTF8.self) : nil
    }

    private mutating func plain() -> String? {
        var octets: [UInt8] = []
        // Where the value ends, if only unescaped spaces follow.
        var end = 0
        while !isAtDivider, let character = next {
            let isSpace = character == " "
            guard character != "\"", append(character, to: &octets) else { return nil }
            if !isSpace { end = octets.count }
        }
        return String(validating: octets.prefix(end), as: UTF8.self)
    }

    /// Takes a character, or an escape: `\` with a character that needs one, or with two hexadecimal digits.
    private mutating func append(_ character: Character, to octets: inout [UInt8]) -> Bool {
        index += 1
        guard character == "\\" else {
            octets += Array(String(character).utf8)
            return true
        }
        guard let escaped = next else { return false }
        index += 1
        if let high = escaped.hexDigitValue, let low = next?.hexDigitValue {
            index += 1
            octets.append(UInt8(high << 4 | low))
        } else {
            octets += Array(String(escaped).utf8)
        }
        return true
    }
}
