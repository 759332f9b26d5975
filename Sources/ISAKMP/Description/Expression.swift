/// The name of a value that an exchange sends, receives or computes, as the standards' figures write it.
package struct Symbol: Hashable, Sendable, CustomStringConvertible {
    /// Where the value comes from at the end that contributes it.
    package enum Kind: Hashable, Sendable {
        /// The header.
        case cookie
        /// The body of an SA payload.
        case association
        /// A fresh public value of the group.
        case publicValue
        /// Fresh random octets that anybody may see.
        case nonce
        /// Fresh random octets that only both ends may know.
        case share
        /// The body of an Identification payload, which policy names.
        case identity
        /// What policy, an SA above, or the group gives; or what follows from others.
        case given
    }

    package let name: String
    package let kind: Kind

    package init(_ name: String, _ kind: Kind = .given) {
        self.name = name
        self.kind = kind
    }

    package var description: String { name }

    /// The cookies of the header, 8 octets each.
    package static let initiatorCookie = Symbol("CKY-I", .cookie)
    package static let responderCookie = Symbol("CKY-R", .cookie)
    /// The bodies of the SA payloads: what is offered, what is chosen.
    package static let offer = Symbol("SAi", .association)
    package static let choice = Symbol("SAr", .association)
    /// The name of the group, 32 bits (RFC 2412 §2.2.2); 0 where there is none.
    package static let group = Symbol("GRP")
    /// Public values, and the secret that follows from them.
    package static let initiatorValue = Symbol("g^x", .publicValue)
    package static let responderValue = Symbol("g^y", .publicValue)
    package static let sharedSecret = Symbol("g^xy")
    package static let initiatorNonce = Symbol("Ni", .nonce)
    package static let responderNonce = Symbol("Nr", .nonce)
    /// The bodies of the Identification payloads.
    package static let initiatorIdentity = Symbol("ID(I)", .identity)
    package static let responderIdentity = Symbol("ID(R)", .identity)
    /// A key that both ends hold before the exchange, by their identities.
    package static let sharedKey = Symbol("K")
    /// The key of the SA that an exchange of the second phase runs under.
    package static let parentKey = Symbol("sKEYID")
}

/// How a value follows from others. It is written as the standards write it, and computed by who knows ciphers.
package indirect enum Expression: Hashable, Sendable {
    case symbol(Symbol)
    case octets([UInt8])
    /// a | b, the octets one after another.
    case join([Expression])
    /// A value of any length behind that length, 32 bits of it, so that two values in a row can be told apart.
    case framed(Symbol)
    /// prf(key, data) of the negotiated pseudorandom function; the key 0 is the empty one (RFC 2412 §2.2.2).
    case prf(Expression, Expression)

    package static func | (left: Expression, right: Expression) -> Expression {
        if case .join(let parts) = left { return .join(parts + [right]) }
        return .join([left, right])
    }

    package static func | (left: Expression, right: Symbol) -> Expression { left | .symbol(right) }

    /// prf(0, data): a one-way function.
    package static func hash(_ data: Expression) -> Expression { .prf(.octets([]), data) }

    /// a | b | c of symbols.
    package static func symbols(_ symbols: Symbol...) -> Expression {
        symbols.count == 1 ? .symbol(symbols[0]) : .join(symbols.map { .symbol($0) })
    }

    /// Every symbol that stands in it.
    package var symbols: Set<Symbol> {
        switch self {
        case .symbol(let symbol): [symbol]
        case .octets: []
        case .framed(let symbol): [symbol]
        case .join(let parts): parts.reduce(into: []) { $0.formUnion($1.symbols) }
        case .prf(let key, let data): key.symbols.union(data.symbols)
        }
    }
}

extension Expression: CustomStringConvertible {
    /// As in the figures: `prf(Ni | Nr, g^xy | CKY-I | CKY-R)`.
    package var description: String {
        switch self {
        case .symbol(let symbol), .framed(let symbol): symbol.name
        case .octets(let octets): octets.isEmpty ? "0" : octets.count == 1 ? "\(octets[0])" : "0x" + hex(octets)
        case .join(let parts): parts.map(\.description).joined(separator: " | ")
        case .prf(let key, let data): "prf(\(key), \(data))"
        }
    }

    private func hex(_ octets: [UInt8]) -> String {
        octets.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
