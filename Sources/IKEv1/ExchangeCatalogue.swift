package import IPsec
import IPsecDOI
package import ISAKMP

/// One of IKE's exchanges, and when a connection needs it.
package struct ComposedExchange: Sendable {
    /// Who says what in which order, on ISAKMP's framework.
    package let description: ExchangeDescription
    package let name: String
    package let reference: String
    /// Whether a connection that speaks version 1 would ever run it.
    package let isUsed: @Sendable (Connection) -> Bool
}

/// Every exchange that IKE runs here. What is added to ``Exchanges`` is added to this list, which `parley explain`
/// prints; a test compares the two.
package enum ExchangeCatalogue {
    private static func main(
        _ description: ExchangeDescription, _ name: String, _ reference: String
    ) -> ComposedExchange {
        ComposedExchange(description: description, name: name, reference: reference) { connection in
            !connection.isAggressive && !connection.isBase
                && PhaseOneMethod.methods(of: connection, as: .initiator).contains {
                    Exchanges.mainMode($0) == description
                }
        }
    }

    private static func aggressive(
        _ description: ExchangeDescription, _ name: String, _ reference: String
    ) -> ComposedExchange {
        ComposedExchange(description: description, name: name, reference: reference) { connection in
            // Two methods have figures of the same grammar: the reference tells them apart.
            connection.isAggressive
                && PhaseOneMethod.methods(of: connection, as: .initiator).contains {
                    Exchanges.aggressiveMode($0) == description
                        && ($0 == .revisedRSAEncryption) == (reference == "RFC 2409 §5.3")
                }
        }
    }

    private static let hybrid = "draft-ietf-ipsec-isakmp-hybrid-auth-05"

    package static let all: [ComposedExchange] = [
        main(Exchanges.mainMode, "Main Mode", "RFC 2409 §5.4"),
        main(Exchanges.mainModeSignatures, "Main Mode with signatures", "RFC 2409 §5.1"),
        main(Exchanges.mainModeEncryption, "Main Mode with encryption", "RFC 2409 §5.2"),
        main(Exchanges.mainModeRevisedEncryption, "Main Mode with revised encryption", "RFC 2409 §5.3"),
        main(Exchanges.mainModeHybrid, "Main Mode, Hybrid", hybrid),
        main(Exchanges.mainModeHybridResponder, "Main Mode, Hybrid (responder)", hybrid),
        aggressive(Exchanges.aggressiveMode, "Aggressive Mode", "RFC 2409 §5.4"),
        aggressive(Exchanges.aggressiveModeSignatures, "Aggressive Mode with signatures", "RFC 2409 §5.1"),
        aggressive(Exchanges.aggressiveModeEncryption, "Aggressive Mode with encryption", "RFC 2409 §5.2"),
        aggressive(
            Exchanges.aggressiveModeRevisedEncryption, "Aggressive Mode with revised encryption", "RFC 2409 §5.3"),
        aggressive(Exchanges.aggressiveModeHybrid, "Aggressive Mode, Hybrid", hybrid),
        aggressive(
            Exchanges.aggressiveModeHybridResponder, "Aggressive Mode, Hybrid (responder)", hybrid),
        ComposedExchange(
            description: Exchanges.transaction(sender: .initiator), name: "Transaction",
            reference: "draft-dukes-ike-mode-cfg-02 §3.1", isUsed: { $0.usesTransactions }),
        ComposedExchange(
            description: Exchanges.baseMode, name: "Base Mode", reference: "draft-ietf-ipsec-ike-base-mode-02",
            isUsed: { $0.isBase }),
        ComposedExchange(
            description: Exchanges.quickMode, name: "Quick Mode", reference: "RFC 2409 §5.5",
            isUsed: { !$0.children.isEmpty }),
        ComposedExchange(
            description: Exchanges.newGroupMode, name: "New Group Mode", reference: "RFC 2409 §5.6",
            isUsed: { !$0.privateGroups.isEmpty || $0.acceptsNewGroups }),
        ComposedExchange(
            description: Exchanges.informational(sender: .initiator), name: "Informational",
            reference: "RFC 2409 §5.7", isUsed: { _ in true }),
    ]
}
