import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives
import SKEME

/// The keys and SAs that a Quick Mode makes (RFC 2409 §5.5).
extension IKEv1Session {
    /// g(qm)^xy, where perfect forward secrecy is negotiated.
    func sharedSecret(_ quickMode: QuickMode, _ payloads: [Payload]) throws(Fault) -> Secret? {
        guard let pair = quickMode.keyPair else { return nil }
        guard let peerValue = payloads.first(where: { $0.type == .keyExchange })?.body else {
            throw .dropped("a KE payload for PFS")
        }
        return try Attempt.oakley { () throws(OakleyError) in
            try KeyDetermination.sharedSecret(pair, peer: peerValue)
        }
    }

    /// The keys of both directions of a pair, and the SAs that they make.
    func associations(
        _ quickMode: inout QuickMode, _ index: Int, _ suite: Suite, _ shared: Secret?, _ phaseOne: PhaseOne,
        _ context: inout Context
    ) throws(Fault) -> (inbound: SecurityAssociation, outbound: SecurityAssociation) {
        guard suite.keyExchange == nil || shared != nil, let peerSPI = quickMode.pairs[index].outboundSPI else {
            throw .dropped("a KE payload for PFS")
        }
        quickMode.pairs[index].suite = suite
        let isInitiator = quickMode.exchange.role == .initiator
        let nonces =
            isInitiator ? (quickMode.ownNonce, quickMode.peerNonce) : (quickMode.peerNonce, quickMode.ownNonce)
        let quickMode = quickMode
        let own = quickMode.pairs[index]
        let limits = own.life.limiting(quickMode.policy.limits(&context.environment.randomness))
        func material(_ kind: SecurityProtocol, _ spi: SPI, _ count: Int) throws(Fault) -> Secret {
            try Attempt.cryptography { () throws(CryptographyError) in
                try FastRekey.keyMaterial(
                    phaseOne.keys.prf, derivationKey: phaseOne.keys.derivationKey,
                    sharedSecret: suite.keyExchange == nil ? nil : shared,
                    protocolID: kind.rawValue, spi: spi.value.octets, initiatorNonce: nonces.0,
                    responderNonce: nonces.1, count: count)
            }
        }
        func make(_ direction: SecurityAssociation.Direction, _ spi: SPI) throws(Fault) -> SecurityAssociation {
            let material = try material(own.securityProtocol, spi, suite.keyMaterialOctets)
            let cipherOctets = suite.encryption.keyMaterialOctets
            var association = SecurityAssociation(
                direction: direction, child: own.child, name: quickMode.policy.name,
                requestID: quickMode.requestID, spi: spi, securityProtocol: own.securityProtocol,
                mode: quickMode.policy.mode, local: local, remote: remote,
                udpEncapsulation: nat.isEncapsulating, suite: suite,
                keys: KeyMaterial(
                    encryption: material[0..<cipherOctets],
                    integrity: suite.integrity == nil ? nil : material[cipherOctets..<material.count]),
                localSelectors: quickMode.localSelectors, remoteSelectors: quickMode.remoteSelectors,
                replayWindowPackets: quickMode.policy.replayWindowPackets)
            association.limits = limits
            association.treatment = quickMode.policy.treatment
            // IKEv1 cannot ask whether the peer takes padding behind packets (RFC 4303 §2.7 wants it negotiated).
            association.treatment.padding = .none
            association.priority = quickMode.policy.priority
            return association
        }
        var inbound = try make(.inbound, own.inboundSPI)
        var outbound = try make(.outbound, peerSPI)
        if let header = suite.header, let peerHeaderSPI = own.headerSPI {
            func half(_ spi: SPI) throws(Fault) -> AuthenticationHeader {
                AuthenticationHeader(
                    spi: spi, integrity: header.integrity,
                    key: try material(.ah, spi, header.integrity.keyOctets),
                    extendedSequenceNumbers: header.extendedSequenceNumbers)
            }
            inbound.authenticationHeader = try half(own.inboundSPI)
            outbound.authenticationHeader = try half(peerHeaderSPI)
        }
        return (inbound, outbound)
    }
}
