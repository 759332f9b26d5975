package import ISAKMP

/// An exchange that runs on the framework as data, and where it comes from.
package struct ModeEntry: Sendable {
    package enum Part: String, Hashable, Sendable {
        case isakmp, oakley, skeme
    }

    package let description: ExchangeDescription
    package let part: Part
    package let reference: String
    /// What a user calls it: `identity-protection`, `oakley-aggressive`.
    package let keyword: String
    /// How an end proves itself in it, where that is not to be chosen.
    package let authentication: ExchangeSuite.Authentication
    /// Whether it runs under an SA that another exchange has made.
    package let isSecondPhase: Bool
    /// Whether it needs a group.
    package var needsGroup: Bool {
        description.messages.contains { $0.elements.contains { $0.contributions.contains(.initiatorValue) } }
    }
}

/// Every complete exchange by its keyword. What is added to ``FrameworkExchanges``, ``OakleyModes`` or ``SKEMEModes`` is added
/// to this list, which `parley explain` and `parley loopback` read; a test compares.
package enum ModeCatalogue {
    package static let all: [ModeEntry] = [
        entry(FrameworkExchanges.base, .isakmp, "RFC 2408 §4.4", "base"),
        entry(FrameworkExchanges.identityProtection, .isakmp, "RFC 2408 §4.5", "identity-protection"),
        entry(FrameworkExchanges.authenticationOnly, .isakmp, "RFC 2408 §4.6", "authentication-only"),
        entry(FrameworkExchanges.aggressive, .isakmp, "RFC 2408 §4.7", "aggressive"),
        entry(FrameworkExchanges.informational, .isakmp, "RFC 2408 §4.8", "informational", isSecondPhase: true),
        entry(OakleyModes.aggressive, .oakley, "RFC 2412 §2.4.1", "oakley-aggressive"),
        entry(
            OakleyModes.hiddenIdentities, .oakley, "RFC 2412 §2.4.2", "oakley-hidden-identities", .encryption),
        entry(
            OakleyModes.withoutExponentials, .oakley, "RFC 2412 §2.4.3", "oakley-without-dh", .encryption),
        entry(OakleyModes.conservative, .oakley, "RFC 2412 §2.4.3", "oakley-conservative", .encryption),
        entry(
            OakleyModes.conservativeWithSignatures, .oakley, "RFC 2412 §2.4.3", "oakley-conservative-signed"),
        entry(OakleyModes.newGroup, .oakley, "RFC 2412 §2.8.1", "oakley-new-group", isSecondPhase: true),
        entry(OakleyModes.quick, .oakley, "RFC 2412 §2.9", "oakley-quick", isSecondPhase: true),
        entry(
            OakleyModes.externalKeyDistribution, .oakley, "RFC 2412 §2.11", "oakley-external-key",
            isSecondPhase: true),
        entry(SKEMEModes.basic, .skeme, "Krawczyk 1996 §3.3", "skeme-basic", .encryption),
        entry(SKEMEModes.shareOnly, .skeme, "Krawczyk 1996 §3.3", "skeme-share-only", .encryption),
        entry(SKEMEModes.preSharedKey, .skeme, "Krawczyk 1996 §3.3", "skeme-pre-shared-key"),
        entry(SKEMEModes.fastRekey, .skeme, "Krawczyk 1996 §3.3", "skeme-fast-rekey", isSecondPhase: true),
    ]

    private static func entry(
        _ description: ExchangeDescription, _ part: ModeEntry.Part, _ reference: String, _ keyword: String,
        _ authentication: ExchangeSuite.Authentication = .sharedKey, isSecondPhase: Bool = false
    ) -> ModeEntry {
        ModeEntry(
            description: description, part: part, reference: reference, keyword: keyword,
            authentication: authentication, isSecondPhase: isSecondPhase)
    }

    /// An exchange by its keyword.
    package static func find(_ keyword: String) -> ModeEntry? { all.first { $0.keyword == keyword } }
}
