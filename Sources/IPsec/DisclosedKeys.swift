package import Primitives

/// The keys of one direction of an ESP SA, for a protocol analyser: of an installed SA what opens its packets.
package struct PacketKeys: Sendable {
    package var spi: SPI
    package var source: IPAddress
    package var destination: IPAddress
    package var suite: Suite
    package var keys: KeyMaterial

    /// `nil` for AH, which hides nothing and needs no keys to be read.
    package init?(_ association: SecurityAssociation) {
        guard association.securityProtocol == .esp else { return nil }
        spi = association.spi
        suite = association.suite
        keys = association.keys
        (source, destination) = (association.remote.address, association.local.address)
        if association.direction == .outbound { (source, destination) = (destination, source) }
    }
}

/// The keys that protect the messages of one IKE SA, for a protocol analyser that is to open a recording. Leaves a session
/// only where ``EngineSettings/disclosesKeys`` asks for it.
package struct DisclosedKeys: Sendable {
    /// 1 or 2.
    package var version: UInt8
    /// The SPIs of IKEv2, the cookies of IKEv1.
    package var initiatorSPI: UInt64
    package var responderSPI: UInt64
    package var suite: Suite
    /// SK_ei and SK_er with their salts and SK_ai and SK_ar (RFC 7296 §2.14); of IKEv1 the one cipher key (RFC 2409 Appendix
    /// B) in both, and no integrity key.
    package var initiator: KeyMaterial
    package var responder: KeyMaterial

    package init(
        version: UInt8, initiatorSPI: UInt64, responderSPI: UInt64, suite: Suite, initiator: KeyMaterial,
        responder: KeyMaterial
    ) {
        self.version = version
        self.initiatorSPI = initiatorSPI
        self.responderSPI = responderSPI
        self.suite = suite
        self.initiator = initiator
        self.responder = responder
    }
}
