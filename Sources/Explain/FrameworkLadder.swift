import IPsec
import IPsecDOI
package import ISAKMP

/// The messages of an exchange that the framework's engine ran, as a ladder: what every payload did, from the description
/// that the engine itself followed.
package enum FrameworkLadder {
    /// Lines of text. We stand on the left; the messages are in the order in which we sent and took them.
    package static func lines(_ messages: [TracedMessage], left: String, right: String) -> [String] {
        guard !messages.isEmpty else { return [] }
        var lines = [left + Ladder.spaces(max(1, Ladder.span + 3 - left.count - right.count)) + right]
        for message in messages {
            let title = "\(message.exchange) (\(message.number))\(message.isEncrypted ? ", encrypted" : "")"
            lines += [
                "|" + Ladder.spaces(Ladder.span) + "|", Ladder.arrow(title, isOutgoing: message.isSent),
            ]
            for (payload, element) in pairs(message) { lines += row(payload, element, message) }
            if message.payloads.isEmpty { lines.append(Ladder.row("  header alone: cookies")) }
        }
        lines.append("|" + Ladder.spaces(Ladder.span) + "|")
        return lines
    }

    /// Each payload with the element that it was read or written as: the first of its types that is left.
    private static func pairs(_ message: TracedMessage) -> [(Payload, Element?)] {
        var rest = message.elements
        return message.payloads.map { payload in
            guard let index = rest.firstIndex(where: { $0.types.contains(payload.type) }) else { return (payload, nil) }
            return (payload, rest.remove(at: index))
        }
    }

    private static func row(_ payload: Payload, _ element: Element?, _ message: TracedMessage) -> [String] {
        let name = message.isEncrypted ? "{\(payload.type.symbol)}" : payload.type.symbol
        let (part, deed) = element.map { meaning(payload, $0) } ?? plain(payload)
        let label =
            "  \(name)\(Ladder.spaces(max(1, 9 - name.count)))\(part)\(Ladder.spaces(max(1, 8 - part.count)))"
        return Ladder.wrapped(deed, label: label)
    }

    private static func meaning(_ payload: Payload, _ element: Element) -> (part: String, deed: String) {
        switch element.content {
        case .own(let symbol):
            switch symbol.kind {
            case .association: return ("ISAKMP", association(payload, isOffer: symbol == .offer))
            case .publicValue: return ("Oakley", "public value \(symbol), \(payload.body.count) octets")
            case .nonce: return ("Oakley", "nonce \(symbol), \(payload.body.count) octets")
            case .identity: return ("DOI", "\(symbol) is \(identity(payload.body))")
            case .share, .given, .cookie: return ("Oakley", "\(symbol), \(payload.body.count) octets")
            }
        case .known(let value): return ("Oakley", "repeats \(value)")
        case .proof(let key, let over): return ("SKEME", "proves prf(\(key), \(over))")
        case .authentication(let role, let key, let over):
            let who = role == .initiator ? "initiator" : "responder"
            return payload.type == .signature
                ? ("SKEME", "the \(who)'s signature over \(over)") : ("SKEME", "the \(who)'s prf(\(key), \(over))")
        case .sealed(let sealed): return ("SKEME", "\(sealed), \(payload.body.count) octets")
        case .masked(let symbol, let mask): return ("Oakley", "\(symbol) xor \(mask)")
        }
    }

    private static func plain(_ payload: Payload) -> (part: String, deed: String) {
        switch payload.type {
        case .notification:
            let notification = try? NotificationPayload(parsing: payload.body)
            let name = notification.map { NotificationNames.version1($0.type) } ?? "?"
            return ("ISAKMP", "notification \(name)")
        case .delete:
            let count = (try? DeletePayload(parsing: payload.body))?.spis.count ?? 0
            return ("ISAKMP", "deletes \(count) SA\(count == 1 ? "" : "s")")
        case .vendorID:
            return ("ISAKMP", "vendor ID \(text(payload.body) ?? "of \(payload.body.count) octets")")
        case .echo: return ("ISAKMP", "message 1 again, which the responder has not kept")
        default: return ("ISAKMP", "\(payload.body.count) octets")
        }
    }

    private static func association(_ payload: Payload, isOffer: Bool) -> String {
        guard let association = try? SecurityAssociationPayload(parsing: payload.body[...], GenericDOI.self) else {
            return "an SA payload of \(payload.body.count) octets"
        }
        let count = association.proposals.reduce(0) { $0 + $1.transforms.count }
        return isOffer ? "offers \(count) transform\(count == 1 ? "" : "s")" : "chooses one transform"
    }

    private static func identity(_ body: [UInt8]) -> String {
        guard let read = try? IdentificationPayload(parsing: body) else { return "?" }
        let name = IPsecDOI.identificationName(read.type) ?? "type \(read.type)"
        return "\(text(read.data) ?? "\(read.data.count) octets") (\(name))"
    }

    private static func text(_ octets: [UInt8]) -> String? {
        guard !octets.isEmpty, octets.allSatisfy({ (0x20..<0x7F).contains($0) }) else { return nil }
        return octets.reduce(into: "") { $0.unicodeScalars.append(UnicodeScalar($1)) }
    }
}
