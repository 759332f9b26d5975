package import IPsec
import ISAKMP
import Primitives

/// The messages of a negotiation as a ladder: an arrow for each, and under it what every payload did and which of the
/// parts it belongs to.
package enum Ladder {
    /// Columns between the two rails.
    static let span = 62

    /// Lines of text. We stand on the left; `traces` are in the order of the wire.
    package static func lines(_ traces: [MessageTrace]) -> [String] {
        guard let first = traces.first else { return [] }
        let left = "\(first.local)"
        let right = "\(first.remote)"
        var lines = [left + spaces(max(1, span + 2 - left.count - right.count + 1)) + right]
        for trace in traces { lines += message(trace) }
        lines.append("|" + spaces(span) + "|")
        return lines
    }

    private static func message(_ trace: MessageTrace) -> [String] {
        var reader = ByteReader(trace.header)
        guard let header = try? Header(from: &reader) else { return ["|  (no header)"] }
        var lines = ["|" + spaces(span) + "|", arrow(title(header, trace), isOutgoing: trace.isOutgoing)]
        if trace.isRetransmission { return lines + [row("the same message again")] }
        for part in trace.parts {
            let role = PayloadRole.of(part, header: header)
            let name = part.isProtected ? "{\(role.name)}" : role.name
            let label = "  \(name)\(spaces(max(1, 9 - name.count)))\(role.part)\(spaces(max(1, 8 - role.part.count)))"
            lines += wrapped(role.deed, label: label)
        }
        return lines
    }

    private static func title(_ header: Header, _ trace: MessageTrace) -> String {
        let exchange = ExchangeName.of(header)
        if header.majorVersion == 2 {
            return "\(exchange) \(header.flags.contains(.response) ? "response" : "request") \(header.messageID)"
        }
        return header.messageID == 0 ? exchange : "\(exchange) \(String(header.messageID, radix: 16))"
    }

    static func arrow(_ title: String, isOutgoing: Bool) -> String {
        let dashes = max(4, span - title.count - 3)
        let (head, tail) = (String(repeating: "-", count: 3), String(repeating: "-", count: dashes - 3))
        return isOutgoing ? "|\(head) \(title) \(tail)>|" : "|<\(head) \(title) \(tail)|"
    }

    static func row(_ text: String) -> String { "|" + text + spaces(max(0, span - text.count)) + "|" }

    /// A row, and further ones for what does not fit, indented below the text.
    static func wrapped(_ text: String, label: String) -> [String] {
        var rows: [String] = []
        var line = label
        for word in text.split(separator: " ") {
            if line.count + word.count + 1 > span, line.count > label.count {
                rows.append(row(line))
                line = spaces(label.count)
            }
            line += line.count == label.count ? "\(word)" : " \(word)"
        }
        return rows + [row(line)]
    }

    static func spaces(_ count: Int) -> String { String(repeating: " ", count: count) }
}

/// Names of exchanges, as the RFCs write them.
enum ExchangeName {
    static func of(_ header: Header) -> String {
        switch (header.majorVersion, header.exchange) {
        case (_, .base): "Base"
        case (_, .identityProtection): "Main Mode"
        case (_, .authenticationOnly): "Authentication Only"
        case (_, .aggressive): "Aggressive Mode"
        case (_, .informational): "Informational"
        case (_, .transaction): "Transaction"
        case (_, .quickMode): "Quick Mode"
        case (_, .newGroupMode): "New Group Mode"
        case (2, .ikeSAInit): "IKE_SA_INIT"
        case (2, .ikeAuth): "IKE_AUTH"
        case (2, .createChildSA): "CREATE_CHILD_SA"
        case (2, .informationalV2): "INFORMATIONAL"
        case (2, .ikeSessionResume): "IKE_SESSION_RESUME"
        case (2, .ikeIntermediate): "IKE_INTERMEDIATE"
        case (2, .ikeFollowUpKE): "IKE_FOLLOWUP_KE"
        default: "exchange \(header.exchange.rawValue)"
        }
    }
}
