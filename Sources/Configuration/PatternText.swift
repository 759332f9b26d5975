package import IPsec

extension AddressPattern {
    /// An address, a block, a range or `%any`, as `remote_addrs` has it; no name.
    package init?(numeric text: String) {
        guard let pattern = ValueGrammar.addressPattern(text) else { return nil }
        if case .name = pattern { return nil }
        self = pattern
    }
}

extension IdentityPattern {
    /// An identity, or one with `*`, as `remote.id` has it.
    package init?(_ text: String) {
        guard let pattern = try? ValueGrammar.identityPattern(text) else { return nil }
        self = pattern
    }
}
