package import Primitives

/// A distinguished name (RFC 5280 §4.1.2.4): relative names from the root down, each a set of attributes. Reads and
/// writes DER itself, so that an identity needs no certificate library.
package struct DistinguishedName: Hashable, Sendable {
    /// One AttributeTypeAndValue.
    package struct Attribute: Hashable, Sendable {
        /// The content octets of the OBJECT IDENTIFIER.
        package var type: [UInt8]
        /// The ASN.1 tag of the value: a string type, or another that is kept as it came.
        package var tag: UInt8
        package var value: [UInt8]

        package init(type: [UInt8], tag: UInt8, value: [UInt8]) {
            self.type = type
            self.tag = tag
            self.value = value
        }
    }

    /// RDNSequence; each part holds at least one attribute.
    package var relativeNames: [[Attribute]]

    /// Names with more parts than this are nobody's.
    package static let maximumAttributes = 64
    /// Octets of DER.
    package static let maximumOctets = 8192

    package init(relativeNames: [[Attribute]] = []) { self.relativeNames = relativeNames }

    package var isEmpty: Bool { relativeNames.isEmpty }

    // MARK: DER

    /// Reads a Name in DER; nothing may follow it.
    package init(parsing octets: ArraySlice<UInt8>) throws(ParseError) {
        guard octets.count <= DistinguishedName.maximumOctets else {
            throw .invalid(offset: octets.startIndex, rule: "a name has at most \(Self.maximumOctets) octets")
        }
        var reader = ByteReader(octets)
        var names = ByteReader(try DER.read(DER.sequence, from: &reader))
        guard reader.isAtEnd else { throw .invalid(offset: reader.offset, rule: "nothing follows a name") }
        relativeNames = []
        var count = 0
        while !names.isAtEnd {
            var set = ByteReader(try DER.read(DER.set, from: &names))
            var attributes: [Attribute] = []
            while !set.isAtEnd {
                count += 1
                guard count <= DistinguishedName.maximumAttributes else {
                    throw .invalid(offset: set.offset, rule: "a name has at most \(Self.maximumAttributes) attributes")
                }
                var pair = ByteReader(try DER.read(DER.sequence, from: &set))
                let type = try DER.read(DER.objectIdentifier, from: &pair)
                let (tag, value) = try DER.readAny(from: &pair)
                guard pair.isAtEnd, !type.isEmpty else {
                    throw .invalid(offset: pair.offset, rule: "an attribute is a type and a value")
                }
                attributes.append(Attribute(type: Array(type), tag: tag, value: Array(value)))
            }
            guard !attributes.isEmpty else {
                throw .invalid(offset: set.offset, rule: "a relative name has an attribute")
            }
            relativeNames.append(attributes)
        }
    }

    /// The name in DER.
    package var octets: [UInt8] {
        DER.wrap(
            DER.sequence,
            relativeNames.flatMap { attributes in
                // DER sorts the elements of a SET OF by their encodings (X.690 §11.6).
                let encoded = attributes.map {
                    DER.wrap(DER.sequence, DER.wrap(DER.objectIdentifier, $0.type) + DER.wrap($0.tag, $0.value))
                }
                return DER.wrap(
                    DER.set, encoded.sorted { $0.lexicographicallyPrecedes($1) }.flatMap { $0 })
            })
    }

    // MARK: Comparison

    /// Whether two names are the same by RFC 5280 §7.1: the same parts in the same order, text without regard to its
    /// string type, to case in ASCII, and to the number of spaces.
    package func isSame(as other: DistinguishedName) -> Bool {
        relativeNames.count == other.relativeNames.count
            && zip(relativeNames, other.relativeNames).allSatisfy { Self.fits($0, $1, wildcards: false) }
    }

    /// Which names fit a pattern: the values of charon's `rdn_matching`.
    package enum Matching: String, CaseIterable, Hashable, Sendable {
        /// As many parts, in the same order.
        case strict
        /// As many parts, in any order.
        case reordered
        /// In any order, and the name may have further parts.
        case relaxed
    }

    /// Whether `pattern`, whose values may be `*` for any value, fits this name.
    package func matches(_ pattern: DistinguishedName, _ matching: Matching = .strict) -> Bool {
        let (own, wanted) = (relativeNames, pattern.relativeNames)
        guard matching == .relaxed ? own.count >= wanted.count : own.count == wanted.count else { return false }
        if matching == .strict { return zip(own, wanted).allSatisfy { Self.fits($0, $1, wildcards: true) } }
        // What leaves the least open chooses first, so that no `*` takes another's only part.
        let byChoice = wanted.sorted { $0.count(where: \.isWildcard) < $1.count(where: \.isWildcard) }
        var left = own
        return byChoice.allSatisfy { part in
            guard let index = left.firstIndex(where: { Self.fits($0, part, wildcards: true) }) else { return false }
            left.remove(at: index)
            return true
        }
    }

    /// Whether one part fits another: its attributes are a set.
    private static func fits(_ own: [Attribute], _ wanted: [Attribute], wildcards: Bool) -> Bool {
        guard own.count == wanted.count else { return false }
        var left = own
        return wanted.allSatisfy { attribute in
            let index = left.firstIndex {
                $0.type == attribute.type
                    && (wildcards && attribute.isWildcard || $0.comparable == attribute.comparable)
            }
            guard let index else { return false }
            left.remove(at: index)
            return true
        }
    }

    /// Whether a value is `*`.
    package var hasWildcards: Bool { relativeNames.contains { $0.contains(where: \.isWildcard) } }

    /// How many values are not `*`.
    var exactCount: Int { relativeNames.reduce(0) { $0 + $1.count { !$0.isWildcard } } }

    /// Whether this name lies at or below `base`: a directoryName subtree of RFC 5280 §4.2.1.10.
    package func isWithin(_ base: DistinguishedName) -> Bool {
        base.relativeNames.count <= relativeNames.count
            && DistinguishedName(relativeNames: Array(relativeNames.prefix(base.relativeNames.count))).isSame(as: base)
    }

    /// The values of an attribute, from the root down, as text where they are text.
    package func values(_ type: [UInt8]) -> [String] {
        relativeNames.flatMap { $0 }.filter { $0.type == type }.compactMap(\.text)
    }
}

extension DistinguishedName.Attribute {
    static let utf8String: UInt8 = 12
    static let printableString: UInt8 = 19
    static let teletexString: UInt8 = 20
    static let ia5String: UInt8 = 22
    static let universalString: UInt8 = 28
    static let bmpString: UInt8 = 30

    var isWildcard: Bool { value == [0x2A] }

    /// The value as text; `nil` for a value of another type.
    package var text: String? {
        switch tag {
        case Self.utf8String: String(validating: value, as: UTF8.self)
        case Self.printableString, Self.ia5String:
            value.allSatisfy { $0 < 0x80 } ? String(decoding: value, as: UTF8.self) : nil
        case Self.teletexString:  // Read as Latin-1, which is what it holds in practice.
            value.reduce(into: "") { $0.unicodeScalars.append(UnicodeScalar($1)) }
        case Self.bmpString where value.count.isMultiple(of: 2):
            String(
                validating: stride(from: 0, to: value.count, by: 2).map {
                    UInt16(value[$0]) << 8 | UInt16(value[$0 + 1])
                },
                as: UTF16.self)
        case Self.universalString where value.count.isMultiple(of: 4):
            String(
                validating: stride(from: 0, to: value.count, by: 4).map { index in
                    value[index..<index + 4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                }, as: UTF32.self)
        default: nil
        }
    }

    private enum Comparable: Hashable {
        case text([UInt8])
        case other(UInt8, [UInt8])
    }

    /// The value as it is compared: text in UTF-8, lower case in ASCII, inner runs of spaces as one, none at the ends.
    fileprivate var comparable: some Hashable {
        guard let text else { return Comparable.other(tag, value) }
        var folded: [UInt8] = []
        for octet in text.utf8 {
            if octet == 0x20, folded.last == 0x20 || folded.isEmpty { continue }
            folded.append((0x41...0x5A).contains(octet) ? octet + 0x20 : octet)
        }
        if folded.last == 0x20 { folded.removeLast() }
        return Comparable.text(folded)
    }
}

/// The few forms of DER that a name is made of (X.690 §8.1, §10.1).
enum DER {
    static let objectIdentifier: UInt8 = 0x06
    static let sequence: UInt8 = 0x30
    static let set: UInt8 = 0x31

    /// The content of the next element, whose tag must be `tag`.
    static func read(_ tag: UInt8, from reader: inout ByteReader) throws(ParseError) -> ArraySlice<UInt8> {
        let offset = reader.offset
        let (found, content) = try readAny(from: &reader)
        guard found == tag else { throw .invalid(offset: offset, rule: "tag \(tag) is due here") }
        return content
    }

    /// The next element: a tag of one octet and a definite length.
    static func readAny(
        from reader: inout ByteReader
    ) throws(ParseError) -> (tag: UInt8, content: ArraySlice<UInt8>) {
        let offset = reader.offset
        let tag = try reader.readUInt8()
        guard tag & 0x1F != 0x1F else { throw .invalid(offset: offset, rule: "a tag of one octet") }
        let first = try reader.readUInt8()
        var length = Int(first)
        if first >= 0x80 {
            // Nothing here is longer than a name may be, so two octets of length will do.
            guard first == 0x81 || first == 0x82 else { throw .invalid(offset: offset, rule: "a definite length") }
            length = first == 0x81 ? Int(try reader.readUInt8()) : Int(try reader.readUInt16())
            guard length >= (first == 0x81 ? 0x80 : 0x100) else {
                throw .invalid(offset: offset, rule: "a length in its shortest form")
            }
        }
        return (tag, try reader.read(length))
    }

    static func wrap(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        var octets = [tag]
        switch content.count {
        case ..<0x80: octets.append(UInt8(content.count))
        case ..<0x100: octets += [0x81, UInt8(content.count)]
        case ..<0x1_0000:
            octets.append(0x82)
            octets.append(bigEndian: UInt16(truncatingIfNeeded: content.count))
        default:
            octets.append(0x84)
            octets.append(bigEndian: UInt32(truncatingIfNeeded: content.count))
        }
        return octets + content
    }
}
