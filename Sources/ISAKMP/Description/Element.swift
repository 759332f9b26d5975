/// One payload of a message, as data: its type, and where its body comes from.
package struct Element: Hashable, Sendable {
    package var type: PayloadType
    package var content: Content

    package init(_ type: PayloadType, _ content: Content) {
        self.type = type
        self.content = content
    }

    package indirect enum Content: Hashable, Sendable {
        /// The sender's contribution, which the receiver learns: an offer, a nonce, an identity, a public value.
        case own(Symbol)
        /// A value that both know; the receiver compares it.
        case known(Expression)
        /// prf(key, over), whatever was negotiated: the receiver computes it, too, and compares in constant time.
        case proof(key: Expression, over: Expression)
        /// The authentication that was negotiated: prf(key, over) with a shared key, else the sender's signature over
        /// the same octets. "AUTH" in RFC 2408 §4.4 to §4.7, S{over}K in RFC 2412.
        case authentication(by: Role, key: Expression, over: Expression)
        /// Contributions that only the holder of an identity's private key can read.
        case sealed(Sealed)
        /// A contribution xor a key that both can compute (RFC 2412 §2.11).
        case masked(Symbol, with: Expression)
    }

    /// E{parts}K of the RFCs and of SKEME: parts, each behind its length, encrypted with the public key of an identity.
    package struct Sealed: Hashable, Sendable {
        package indirect enum Part: Hashable, Sendable {
            case own(Symbol)
            case known(Symbol)
            case sealed(Sealed)
        }

        /// Whose key.
        package var identity: Symbol
        package var parts: [Part]

        package init(to identity: Symbol, _ parts: [Part]) {
            self.identity = identity
            self.parts = parts
        }
    }
}

extension Element {
    package static func own(_ type: PayloadType, _ symbol: Symbol) -> Element { Element(type, .own(symbol)) }

    /// HASH or SIG, as negotiated.
    package static func authentication(by role: Role, key: Expression, over: Expression) -> Element {
        Element(.hash, .authentication(by: role, key: key, over: over))
    }

    /// HASH.
    package static func proof(key: Expression, over: Expression) -> Element {
        Element(.hash, .proof(key: key, over: over))
    }

    /// The payload types that it may come as.
    package var types: Set<PayloadType> {
        if case .authentication = content { return [.hash, .signature] }
        return [type]
    }

    /// The contributions that its sender makes with it.
    package var contributions: [Symbol] {
        switch content {
        case .own(let symbol), .masked(let symbol, _): [symbol]
        case .known, .proof, .authentication: []
        case .sealed(let sealed): sealed.contributions
        }
    }
}

extension Element.Sealed {
    var contributions: [Symbol] {
        parts.flatMap { part -> [Symbol] in
            switch part {
            case .own(let symbol): [symbol]
            case .known: []
            case .sealed(let inner): inner.contributions
            }
        }
    }
}

extension Element: CustomStringConvertible {
    /// As a figure shows it: `NONCE(Ni)`, `AUTH(...)`.
    package var description: String {
        switch content {
        case .own(let symbol): "\(type.symbol)(\(symbol))"
        case .known(let value): "\(type.symbol)(\(value))"
        case .proof(let key, let over): "HASH(prf(\(key), \(over)))"
        case .authentication(let role, let key, let over):
            "AUTH(prf(\(key), \(over)) or S{\(over)}K\(role == .initiator ? "i" : "r"))"
        case .sealed(let sealed): "\(type.symbol)(\(sealed))"
        case .masked(let symbol, let mask): "\(type.symbol)(\(symbol) xor \(mask))"
        }
    }
}

extension Element.Sealed: CustomStringConvertible {
    package var description: String {
        let texts = parts.map { part in
            switch part {
            case .own(let symbol), .known(let symbol): symbol.name
            case .sealed(let inner): inner.description
            }
        }
        return "E{\(texts.joined(separator: ", "))}\(identity)"
    }
}
