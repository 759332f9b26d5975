import ISAKMP
import KeyDeterminationModes

/// The exchanges that run on the framework as data, as tables: printed from the descriptions that the engine follows.
enum ModeTables {
    /// What each part's exchanges are called, and how to see one run.
    static func modes(_ part: ModeEntry.Part) -> Explanation.Table {
        Explanation.Table(
            key: "modes", title: "Exchanges that run here between two Parleys",
            columns: [
                Explanation.Column(key: "name", title: "name"),
                Explanation.Column(key: "reference", title: "section"),
                Explanation.Column(key: "number", title: "#"),
                Explanation.Column(key: "shown", title: "runs here as"),
            ],
            rows: ModeCatalogue.all.filter { $0.part == part }.map { entry in
                Explanation.Row(
                    cells: [
                        entry.description.name, entry.reference, "\(entry.description.type.rawValue)",
                        "parley loopback --exchange \(entry.keyword)",
                    ], isUsed: nil)
            })
    }

    /// The figures of the standards, with what is hashed, signed and encrypted.
    static func messages(_ part: ModeEntry.Part) -> Explanation.Table {
        Explanation.Table(
            key: "modeMessages", title: "Messages (HDR* encrypts what follows), and the key that is left",
            columns: [
                Explanation.Column(key: "exchange", title: "", isGrouped: true),
                Explanation.Column(key: "sender", title: " "), Explanation.Column(key: "payloads", title: " "),
            ],
            rows: ModeCatalogue.all.filter { $0.part == part }.flatMap { entry in
                entry.description.messages.map { rule in
                    row(entry, rule.sender == .initiator ? "-->" : "<--", text(rule))
                } + equations(entry).map { row(entry, "=", $0) }
            })
    }

    private static func row(_ entry: ModeEntry, _ sender: String, _ text: String) -> Explanation.Row {
        Explanation.Row(cells: [entry.description.name, sender, text], isUsed: nil)
    }

    private static func text(_ rule: MessageRule) -> String {
        let head = rule.isEncrypted ? "HDR*" : "HDR"
        if rule.elements.isEmpty, !rule.optional.isEmpty {
            let types = rule.optional.sorted { $0.rawValue < $1.rawValue }.map(\.symbol)
            return "\(head), \(types.joined(separator: "/"))"
        }
        return ([head] + rule.elements.map(\.description)).joined(separator: ", ")
    }

    private static func equations(_ entry: ModeEntry) -> [String] {
        let description = entry.description
        return description.definitions.map { "\($0.symbol) = \($0.expression)" }
            + (description.result.map { ["key: \($0)"] } ?? [])
    }
}
