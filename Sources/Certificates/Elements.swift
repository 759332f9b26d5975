internal import IPsec
internal import Primitives
internal import SwiftASN1

/// Why octets are no certificate, revocation list or OCSP response.
package enum CertificateDefect: Error, Hashable, Sendable, CustomStringConvertible {
    /// More octets than such a thing may have.
    case tooLarge
    /// The text names what was read and the rule that broke.
    case malformed(String)

    package var description: String {
        switch self {
        case .tooLarge: "it is too large"
        case .malformed(let rule): rule
        }
    }
}

/// Reads the elements of a SEQUENCE or SET one after another.
struct Elements {
    private var iterator: ASN1NodeCollection.Iterator
    private var ahead: ASN1Node?

    init(_ node: ASN1Node, _ identifier: ASN1Identifier = .sequence) throws(CertificateDefect) {
        guard node.identifier == identifier, case .constructed(let nodes) = node.content else {
            throw .malformed("\(node.identifier) instead of \(identifier)")
        }
        iterator = nodes.makeIterator()
        ahead = iterator.next()
    }

    /// The next element without taking it.
    var peek: ASN1Node? { ahead }

    mutating func next(_ what: String) throws(CertificateDefect) -> ASN1Node {
        guard let node = ahead else { throw .malformed("\(what) is missing") }
        ahead = iterator.next()
        return node
    }

    /// The next element if it has the tag.
    mutating func next(if identifier: ASN1Identifier) -> ASN1Node? {
        guard let node = ahead, node.identifier == identifier else { return nil }
        ahead = iterator.next()
        return node
    }

    /// The inside of the next element if it is `[number] EXPLICIT`.
    mutating func explicit(_ number: UInt) throws(CertificateDefect) -> ASN1Node? {
        guard let node = next(if: .tagged(number)) else { return nil }
        var inner = try Elements(node, .tagged(number))
        let content = try inner.next("the content of [\(number)]")
        try inner.end("[\(number)]")
        return content
    }

    func end(_ what: String) throws(CertificateDefect) {
        if ahead != nil { throw .malformed("\(what) has too many elements") }
    }

    /// All elements that are left, `maximum` at most.
    mutating func rest(maximum: Int, _ what: String) throws(CertificateDefect) -> [ASN1Node] {
        var nodes: [ASN1Node] = []
        while let node = ahead {
            guard nodes.count < maximum else { throw .malformed("\(what) has more than \(maximum) elements") }
            nodes.append(node)
            ahead = iterator.next()
        }
        return nodes
    }
}

extension ASN1Identifier {
    static func tagged(_ number: UInt) -> ASN1Identifier {
        ASN1Identifier(tagWithNumber: number, tagClass: .contextSpecific)
    }
}

/// Reading single values; a library's error becomes a ``CertificateDefect``.
enum Reading {
    static func attempt<Value>(_ what: String, _ body: () throws -> Value) throws(CertificateDefect) -> Value {
        do { return try body() } catch { throw .malformed("\(what) cannot be read") }
    }

    static func root(_ octets: [UInt8], maximum: Int, _ what: String) throws(CertificateDefect) -> ASN1Node {
        guard octets.count <= maximum else { throw .tooLarge }
        return try attempt(what) { try DER.parse(octets) }
    }

    static func primitive(
        _ node: ASN1Node, _ identifier: ASN1Identifier, _ what: String
    ) throws(CertificateDefect) -> ArraySlice<UInt8> {
        guard node.identifier == identifier, case .primitive(let content) = node.content else {
            throw .malformed("\(what) cannot be read")
        }
        return content
    }

    /// The content octets of an INTEGER, in the shortest form.
    static func integer(
        _ node: ASN1Node, _ what: String, maximum: Int = 64
    ) throws(CertificateDefect) -> [UInt8] {
        let content = try primitive(node, .integer, what)
        guard let first = content.first, content.count <= maximum else { throw .malformed("\(what) cannot be read") }
        if content.count > 1 {
            let second = content[content.startIndex + 1]
            guard !(first == 0 && second < 0x80), !(first == 0xFF && second >= 0x80) else {
                throw .malformed("\(what) is not in its shortest form")
            }
        }
        return Array(content)
    }

    /// The octets of a BIT STRING without unused bits.
    static func bits(_ node: ASN1Node, _ what: String) throws(CertificateDefect) -> [UInt8] {
        let content = try primitive(node, .bitString, what)
        guard content.first == 0 else { throw .malformed("\(what) has unused bits") }
        return Array(content.dropFirst())
    }

    static func objectIdentifier(_ node: ASN1Node, _ what: String) throws(CertificateDefect) -> ASN1ObjectIdentifier {
        try attempt(what) { try ASN1ObjectIdentifier(derEncoded: node) }
    }

    /// An OBJECT IDENTIFIER as dotted numbers (X.690 §8.19): below 2 the second number may be any, such as 2.999, which the
    /// library's own text has wrong.
    static func dottedIdentifier(_ node: ASN1Node, _ what: String) throws(CertificateDefect) -> String {
        let content = try primitive(node, .objectIdentifier, what)
        guard let text = ObjectIdentifierText(content: content)?.dotted else {
            throw .malformed("\(what) cannot be read")
        }
        return text
    }

    /// Which Extension it is, as dotted numbers.
    static func extensionIdentifier(_ node: ASN1Node) throws(CertificateDefect) -> String {
        var parts = try Elements(node)
        return try dottedIdentifier(try parts.next("an extension"), "an extension's identifier")
    }

    /// A Time: UTCTime or GeneralizedTime in Z without fractions (RFC 5280 §4.1.2.5).
    static func time(_ node: ASN1Node, _ what: String) throws(CertificateDefect) -> WallTime {
        let time: WallTime?
        switch node.identifier {
        case .utcTime:
            let read = try attempt(what) { try UTCTime(derEncoded: node) }
            time = WallTime(
                year: read.year, month: read.month, day: read.day, hours: read.hours, minutes: read.minutes,
                seconds: read.seconds)
        case .generalizedTime:
            let read = try attempt(what) { try GeneralizedTime(derEncoded: node) }
            time = WallTime(
                year: read.year, month: read.month, day: read.day, hours: read.hours, minutes: read.minutes,
                seconds: read.seconds)
        default: time = nil
        }
        guard let time else { throw .malformed("\(what) is no time") }
        return time
    }
}
