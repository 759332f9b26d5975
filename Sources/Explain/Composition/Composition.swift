import Cryptography
import IKEv1
package import IPsec
import IPsecDOI
import ISAKMP
import KeyDeterminationModes
import Oakley
import SKEME

/// "Is it IKE or ISAKMP?", answered from the tables of the targets that are named for the parts.
package enum Composition {
    /// A part that can be explained.
    package enum Part: String, CaseIterable, Sendable {
        case isakmp, oakley, skeme, ike

        /// One line for a list of parts.
        package var summary: String {
            switch self {
            case .isakmp: "the framework: header, payloads, exchanges (RFC 2408)"
            case .oakley: "key determination: the groups (RFC 2412)"
            case .skeme: "authentication from what both share, and fast re-keying (Krawczyk 1996)"
            case .ike: "the protocol that composes the three for IPsec (RFC 2409, RFC 2407)"
            }
        }
    }

    /// What a part contributes; with a connection, what of it the connection uses.
    package static func explain(_ part: Part, connection: Connection? = nil) -> Explanation {
        let use = connection.map(ConnectionUse.init)
        return switch part {
        case .isakmp:
            Explanation(
                part: "ISAKMP", standard: "RFC 2408",
                answer: [
                    "ISAKMP (RFC 2408) is the framework: the message's form, the exchanges, and how SAs come and go.",
                    "It is no key exchange; IKE is one. A datagram on port 500 has ISAKMP's form and IKE's content.",
                ],
                note: use?.note,
                tables: [
                    frameworkExchanges(use), payloads(use, areFramework: true), ModeTables.modes(.isakmp),
                    ModeTables.messages(.isakmp),
                ])
        case .oakley:
            Explanation(
                part: "Oakley", standard: "RFC 2412",
                answer: [
                    "Oakley (RFC 2412) determines keys: two ends agree on a group, exchange values, and share a secret.",
                    "It is neither IKE nor ISAKMP: ISAKMP's KE and NONCE payloads carry it, IKE chooses the group.",
                ],
                note: use?.note, tables: [groups(use), ModeTables.modes(.oakley), ModeTables.messages(.oakley)])
        case .skeme:
            Explanation(
                part: "SKEME", standard: "Krawczyk 1996",
                answer: [
                    "SKEME (Krawczyk 1996) proves identities from what both ends share, and makes new keys from old.",
                    "It is neither IKE nor ISAKMP: IKE takes from it how to authenticate, and Quick Mode's re-keying.",
                ],
                note: use?.note, tables: [functions(use), ModeTables.modes(.skeme), ModeTables.messages(.skeme)])
        case .ike:
            Explanation(
                part: "IKE", standard: "RFC 2409",
                answer: [
                    "IKE (RFC 2409) is the protocol: ISAKMP's exchanges, Oakley's groups, SKEME's proofs, for IPsec.",
                    "Is it IKE or ISAKMP? Both: the message's form is ISAKMP's, and the key exchange in it is IKE's.",
                ],
                note: use?.note,
                tables: [
                    exchanges(use), messages(use), methods(use), transforms(use), payloads(use, areFramework: false),
                    version2(use),
                ])
        }
    }

    private static func table(
        _ key: String, _ title: String, _ columns: [(String, String)], _ rows: [Explanation.Row]
    ) -> Explanation.Table {
        Explanation.Table(
            key: key, title: title,
            columns: columns.map { Explanation.Column(key: $0.0, title: $0.1, isGrouped: $0.1.isEmpty) }, rows: rows)
    }

    // MARK: ISAKMP

    private static func frameworkExchanges(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "exchanges", "Exchange types",
            [("number", "#"), ("name", "name"), ("reference", "section"), ("runsAs", "runs here as")],
            ExchangeType.all.filter(\.isFramework).map { entry in
                let running = ExchangeCatalogue.all.filter { $0.description.type == entry.type }
                let own = ModeCatalogue.all.filter { $0.description.type == entry.type }
                let names = (own.map { _ in "DOI 0's" } + running.map { "IKE's \($0.name)" }).joined(separator: ", ")
                return Explanation.Row(
                    cells: ["\(entry.type.rawValue)", entry.name, entry.reference, names],
                    isUsed: use.map { use in running.contains { use.uses($0) } })
            })
    }

    private static func payloads(_ use: ConnectionUse?, areFramework: Bool) -> Explanation.Table {
        table(
            "payloads", areFramework ? "Payloads" : "Payloads beside the framework's",
            [
                ("number", "#"), ("symbol", "short"), ("name", "name"), ("reference", "section"),
                ("exchanges", "stands in"),
            ],
            PayloadType.all.filter { $0.isFramework == areFramework }.map { entry in
                let names = ExchangeCatalogue.all.filter { $0.description.holds(entry.type) }.map(\.name)
                let isAnywhere = !names.isEmpty && names.count == ExchangeCatalogue.all.count
                return Explanation.Row(
                    cells: [
                        "\(entry.type.rawValue)", entry.symbol, entry.name, entry.reference,
                        names.isEmpty ? "-" : isAnywhere ? "every exchange" : names.joined(separator: ", "),
                    ],
                    isUsed: use?.uses(entry.type))
            })
    }

    // MARK: Oakley

    private static func groups(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "groups", "Groups",
            [
                ("number", "#"), ("keyword", "keyword"), ("name", "name"), ("family", "family"),
                ("publicValueOctets", "octets"), ("reference", "section"),
            ],
            KeyDetermination.groups.map { group in
                Explanation.Row(
                    cells: [
                        "\(group.id.rawValue)", group.id.name.keyword,
                        TransformNames.groups[group.id.rawValue] ?? "-", group.family.rawValue,
                        "\(group.publicValueOctets)", group.reference,
                    ],
                    isUsed: use?.uses(group: group.id))
            })
    }

    // MARK: SKEME

    private static func functions(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "functions", "Functions",
            [("phase", "phase"), ("name", "in the code"), ("reference", "section"), ("equation", "computes")],
            Function.all.map { function in
                Explanation.Row(
                    cells: [function.phase.rawValue, function.name, function.reference, function.equation],
                    isUsed: use.map { use in
                        guard use.speaksVersion1 else { return false }
                        if function.phase == .rekey { return !use.connection.children.isEmpty }
                        return function.methods.isEmpty || function.methods.contains { use.uses(method: $0) }
                    })
            })
    }

    // MARK: IKE

    private static func exchanges(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "exchanges", "Exchanges",
            [("number", "#"), ("name", "name"), ("reference", "section"), ("type", "exchange type")],
            ExchangeCatalogue.all.map { exchange in
                let type = exchange.description.type
                let entry = ExchangeType.all.first { $0.type == type }
                let owner = entry?.isFramework == true ? "ISAKMP's \(entry?.name ?? "")" : "IKE's own"
                return Explanation.Row(
                    cells: ["\(type.rawValue)", exchange.name, exchange.reference, owner],
                    isUsed: use?.uses(exchange))
            })
    }

    /// The figures of RFC 2409 §5, from the grammar that messages are held against.
    private static func messages(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "messages", "Messages (HDR* encrypts what follows; [ ] may be missing)",
            [("exchange", ""), ("sender", " "), ("payloads", " ")],
            ExchangeCatalogue.all.flatMap { exchange in
                exchange.description.messages.map { rule in
                    Explanation.Row(
                        cells: [
                            exchange.name, rule.sender == .initiator ? "-->" : "<--", text(rule),
                        ],
                        isUsed: use?.uses(exchange))
                }
            })
    }

    private static func text(_ rule: MessageRule) -> String {
        func symbols(_ types: Set<PayloadType>) -> [String] {
            let rest = types.subtracting(rule.first.map { [$0] } ?? []).sorted { $0.rawValue < $1.rawValue }
            return ((rule.first.map { types.contains($0) ? [$0] : [] } ?? []) + rest).map(\.symbol)
        }
        let required = [rule.isEncrypted ? "HDR*" : "HDR"] + symbols(rule.required)
        let optional = symbols(rule.optional).map { "[, \($0)]" }
        return ([required.joined(separator: ", ")] + optional).joined(separator: " ")
    }

    private static func methods(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "methods", "Authentication methods",
            [("number", "#"), ("name", "name"), ("reference", "section")],
            Catalogue.methods(among: AttributeNamesV1.methodNumbers).map { method in
                Explanation.Row(
                    cells: [
                        "\(method)", AttributeNamesV1.method(method) ?? "-", AttributeNamesV1.methodReference(method),
                    ],
                    isUsed: use?.uses(method: method))
            })
    }

    private static func transforms(_ use: ConnectionUse?) -> Explanation.Table {
        func rows(
            _ phase: String, _ kind: String, _ numbers: [UInt16], _ reference: String, name: (UInt16) -> String,
            isUsed: (ConnectionUse, UInt16) -> Bool
        ) -> [Explanation.Row] {
            numbers.map { number in
                Explanation.Row(
                    cells: [phase, kind, "\(number)", name(number), reference],
                    isUsed: use.map { isUsed($0, number) })
            }
        }
        func value(_ type: UInt16, isPhaseOne: Bool) -> (UInt16) -> String {
            { AttributeNamesV1.value(type, UInt64($0), isPhaseOne: isPhaseOne) }
        }
        return table(
            "transforms", "Transforms of the IPsec DOI",
            [
                ("phase", "phase"), ("kind", "kind"), ("number", "#"), ("name", "name"), ("reference", "section"),
            ],
            rows(
                "1", "cipher", Catalogue.phaseOneCiphers, "RFC 2409 Appendix A", name: value(1, isPhaseOne: true),
                isUsed: { $0.offersPhaseOne(1, $1) })
                + rows(
                    "1", "hash", Catalogue.hashes, "RFC 2409 Appendix A", name: value(2, isPhaseOne: true),
                    isUsed: { $0.offersPhaseOne(2, $1) })
                + rows(
                    "2", "ESP", Catalogue.espTransforms.map(UInt16.init), "RFC 2407 §4.4.4",
                    name: { AttributeNamesV1.transform(UInt8(truncatingIfNeeded: $0), protocolID: 3) },
                    isUsed: { $0.offersESP($1) })
                + rows(
                    "2", "integrity", Catalogue.authenticators, "RFC 2407 §4.5", name: value(5, isPhaseOne: false),
                    isUsed: { $0.offersPhaseTwo(5, $1) })
                + rows(
                    "2", "mode", Catalogue.encapsulations, "RFC 2407 §4.5", name: value(4, isPhaseOne: false),
                    isUsed: { $0.offersPhaseTwo(4, $1) }))
    }

    private static func version2(_ use: ConnectionUse?) -> Explanation.Table {
        table(
            "version2", "Version 2 keeps ISAKMP's header and payload chain, and has exchanges of its own",
            [("number", "#"), ("name", "name"), ("reference", "section")],
            ExchangeType.all.filter(\.isVersion2).map { entry in
                Explanation.Row(
                    cells: ["\(entry.type.rawValue)", entry.name, entry.reference], isUsed: use?.speaksVersion2)
            })
    }
}
