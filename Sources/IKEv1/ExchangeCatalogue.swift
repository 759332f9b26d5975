package import IPsec
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
    package static let all: [ComposedExchange] = [
        ComposedExchange(
            description: Exchanges.mainMode, name: "Main Mode", reference: "RFC 2409 §5.4",
            isUsed: { !$0.isAggressive && !$0.isBase }),
        ComposedExchange(
            description: Exchanges.aggressiveMode, name: "Aggressive Mode", reference: "RFC 2409 §5.4",
            isUsed: { $0.isAggressive }),
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
