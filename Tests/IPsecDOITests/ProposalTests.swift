import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing
import VectorSupport

/// Proposals to transforms and back (RFC 2407 §4.5, RFC 2409 Appendix A).
@Suite struct ProposalTests {
    private let ike = Proposal(
        .ike, encryption: [Encryption(.aesCBC, keyBits: 256), Encryption(.aesCBC, keyBits: 128)],
        integrity: [.hmacSHA256_128, .hmacSHA1_96], prf: [.hmacSHA256, .hmacSHA1], keyExchange: [.ecp256, .modp2048])

    private func read(_ payload: SecurityAssociationPayload) throws -> SecurityAssociationPayload {
        try SecurityAssociationPayload(parsing: payload.body[...], IPsecDOI.self)
    }

    @Test func phaseOneIsEveryCombinationInOrder() throws {
        let payload = try read(PhaseOneProposal.payload([ike], lifeSeconds: 86_400))
        #expect(payload.doi == 1 && payload.situation == [0, 0, 0, 1] && payload.proposals.count == 1)
        let proposal = payload.proposals[0]
        #expect(proposal.protocolID == 1 && proposal.spi == [] && proposal.transforms.count == 8)
        #expect(proposal.transforms.map(\.number) == Array(1...8))
        let first = proposal.transforms[0]
        #expect(first.identifier == 1)
        let numbers: [UInt16: UInt64] = [1: 7, 14: 256, 2: 4, 4: 19, 3: 1, 11: 1, 12: 86_400]
        for (type, number) in numbers { #expect(first.attribute(type)?.number == number, "attribute \(type)") }
        #expect(first.attributes.count == numbers.count)
        let back = proposal.transforms.compactMap { PhaseOneProposal.proposal($0) }
        #expect(back.count == 8)
        #expect(back[0].encryption == [Encryption(.aesCBC, keyBits: 256)] && back[0].prf == [.hmacSHA256])
        #expect(back[0].integrity == [.hmacSHA256_128] && back[0].keyExchange == [.ecp256])
        #expect(back[7].encryption == [Encryption(.aesCBC, keyBits: 128)] && back[7].prf == [.hmacSHA1])
        #expect(PhaseOneProposal.lifeSeconds(first) == 86_400)
    }

    @Test(arguments: [
        (HashID.sha1, IntegrityID.hmacSHA1_96), (.sha256, .hmacSHA256_128), (.sha384, .hmacSHA384_192),
        (.sha512, .hmacSHA512_256),
    ])
    func oneHashServesBothUses(hash: (HashID, IntegrityID)) throws {
        let prf = try #require(hash.0.prf)
        let proposal = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [hash.1], prf: [prf],
            keyExchange: [.curve25519])
        let payload = PhaseOneProposal.payload([proposal], lifeSeconds: 0)
        #expect(payload.proposals[0].transforms.count == 1)
        #expect(payload.proposals[0].transforms[0].attribute(2)?.number == UInt64(hash.0.rawValue))
        #expect(PhaseOneProposal.proposal(payload.proposals[0].transforms[0]) == proposal)
        #expect(PhaseOneProposal.lifeSeconds(payload.proposals[0].transforms[0]) == nil)
    }

    @Test func whatPhaseOneCannotSayIsLeftOut() {
        let aead = Proposal(
            .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: [.ecp256])
        let mixed = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA512_256], prf: [.hmacSHA256],
            keyExchange: [.ecp256])
        #expect(PhaseOneProposal.expressible([aead, mixed]).isEmpty)
        #expect(PhaseOneProposal.expressible([aead, ike]) == [ike])
        #expect(PhaseOneProposal.payload([aead], lifeSeconds: 1).proposals[0].transforms.isEmpty)
    }

    @Test func manyAlternativesStayCountable() throws {
        var wide = ike
        wide.keyExchange = (14...60).map { KeyExchangeID(rawValue: $0) }
        wide.encryption.append(Encryption(.aesCBC, keyBits: 192))
        let payload = try read(PhaseOneProposal.payload([wide, wide], lifeSeconds: 1))
        #expect(payload.proposals[0].transforms.count == 255)
    }

    @Test func unknownTransformsAreNotUnderstood() {
        let good = PhaseOneProposal.payload([ike], lifeSeconds: 0).proposals[0].transforms[0]
        func changed(_ type: UInt16, _ number: UInt16?) -> Proposal? {
            var transform = good
            transform.attributes.removeAll { $0.type == type }
            if let number { transform.attributes.append(DataAttribute(type, number)) }
            return PhaseOneProposal.proposal(transform)
        }
        // El-Gamal, an unknown cipher, hash, and what is missing.
        #expect(changed(3, 6) == nil && changed(1, 200) == nil && changed(2, 99) == nil)
        for type: UInt16 in [1, 2, 3, 4] { #expect(changed(type, nil) == nil) }
        var other = good
        other.identifier = 2
        #expect(PhaseOneProposal.proposal(other) == nil)
        #expect(changed(14, 60_000) == nil)
    }

    /// Every combination is offered by every method, in the order in which the methods are preferred.
    @Test func offersNameTheirMethods() throws {
        let methods: [PhaseOneMethod] = [.ecdsa256, .rsaSignature]
        let transforms = PhaseOneProposal.payload([ike], lifeSeconds: 0, methods: methods).proposals[0].transforms
        let single = PhaseOneProposal.payload([ike], lifeSeconds: 0).proposals[0].transforms
        #expect(transforms.map { PhaseOneProposal.method($0) } == single.flatMap { _ in methods })
        #expect(single.allSatisfy { PhaseOneProposal.method($0) == .preSharedKey })
        for method in PhaseOneMethod.all {
            let offered = PhaseOneProposal.payload([ike], lifeSeconds: 0, methods: [method]).proposals[0].transforms
            #expect(offered.allSatisfy { PhaseOneProposal.method($0) == method })
        }
    }

    @Test func connectionsHaveTheMethodsOfTheirKeys() throws {
        func key(_ name: String) throws -> PublicKey {
            let record = try #require(VectorFile("test-keys").records.first { $0[text: "name"] == name })
            return try PublicKey(parsing: record["public"])
        }
        let rsa = try key("rsa-left")
        let curve = try key("ecdsa-384-left")
        func methods(
            _ local: AuthenticationMethod, _ own: [PublicKey], _ remote: AuthenticationMethod, _ peers: [PublicKey]
        ) -> [PhaseOneMethod] {
            var connection = Connection(name: "x", proposals: [], children: [])
            connection.local = [AuthenticationRound(local)]
            connection.local[0].publicKeys = own
            connection.remote = [AuthenticationRound(remote)]
            connection.remote[0].publicKeys = peers
            return PhaseOneMethod.methods(of: connection, as: .initiator)
        }
        let any = AuthenticationMethod.publicKey(KeyConstraint())
        #expect(methods(.preSharedKey, [], .preSharedKey, []) == [.preSharedKey])
        #expect(methods(any, [rsa, curve], any, [rsa, curve]) == [.ecdsa384, .rsaSignature])
        #expect(methods(any, [rsa, curve], any, [rsa]) == [.rsaSignature])
        #expect(methods(any, [rsa], any, [curve]) == [])
        // A peer of which no key is named may have any that its round admits.
        #expect(methods(any, [rsa, curve], any, []) == [.ecdsa384, .rsaSignature])
        #expect(methods(any, [rsa, curve], .publicKey(KeyConstraint(.rsa)), []) == [.rsaSignature])
        #expect(methods(any, [], any, [rsa]) == [])
        #expect(methods(.publicKey(KeyConstraint(.rsa, minimumBits: 3072)), [rsa], any, [rsa]) == [])
        #expect(methods(.publicKeyEncryption, [rsa], .publicKeyEncryption, [rsa]) == [.rsaEncryption])
        #expect(methods(.publicKeyEncryption, [curve], .publicKeyEncryption, [rsa]) == [])
        #expect(methods(.publicKeyEncryption, [rsa], .publicKeyEncryption, []) == [])
        #expect(
            methods(.revisedPublicKeyEncryption, [rsa], .revisedPublicKeyEncryption, [rsa])
                == [.revisedRSAEncryption])
        #expect(methods(any, [rsa], .publicKeyEncryption, [rsa]) == [])
    }

    /// Transform identifiers (IANA, "IPSEC ESP Transform Identifiers"), some of which IKEv2 numbers otherwise.
    @Test(
        arguments: [
            (Encryption(.tripleDES), 3), (Encryption(.null), 11), (Encryption(.aesCBC, keyBits: 192), 12),
            (Encryption(.aesCTR, keyBits: 128), 13), (Encryption(.aesCCM8, keyBits: 128), 14),
            (Encryption(.aesCCM12, keyBits: 192), 15), (Encryption(.aesCCM16, keyBits: 256), 16),
            (Encryption(.aesGCM8, keyBits: 128), 18), (Encryption(.aesGCM12, keyBits: 128), 19),
            (Encryption(.aesGCM16, keyBits: 256), 20), (Encryption(.camelliaCBC, keyBits: 256), 22),
            (Encryption(.aesGMAC, keyBits: 128), 23),
        ] as [(Encryption, UInt8)])
    func identifiersOfPhaseTwo(_ encryption: Encryption, _ number: UInt8) throws {
        let proposal = Proposal(
            .esp, encryption: [encryption], integrity: encryption.id.isAEAD ? [] : [.aesXCBC_96],
            extendedSequenceNumbers: [false])
        #expect(PhaseTwoProposal.expressible([proposal], group: nil) == [proposal])
        let payload = PhaseTwoProposal.payload(
            [proposal], spi: [1, 2, 3, 4], encapsulation: .tunnel, life: PhaseTwoLife())
        let transform = try #require(payload.proposals.first?.transforms.first)
        #expect(transform.identifier == number)
        #expect(transform.attribute(5)?.number == (encryption.id.isAEAD ? nil : 9))
        #expect(PhaseTwoProposal.proposal(transform) == proposal)
    }

    /// AES-CMAC, ChaCha20-Poly1305 and implicit IVs have no number in RFC 2407's registry.
    @Test func whatPhaseTwoCannotSayIsLeftOut() {
        let cmac = Proposal(.esp, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.aesCMAC_96])
        let chacha = Proposal(.esp, encryption: [Encryption(.chacha20Poly1305)])
        let implicit = Proposal(.esp, encryption: [Encryption(.aesGCM16ImplicitIV, keyBits: 128)])
        #expect(PhaseTwoProposal.expressible([cmac, chacha, implicit], group: nil).isEmpty)
        var both = cmac
        both.integrity.append(.hmacSHA1_96)
        #expect(PhaseTwoProposal.expressible([both], group: nil).map(\.integrity) == [[.hmacSHA1_96]])
    }

    /// RFC 2409 Appendix A: what an old peer offers.
    @Test func phaseOneOfOldPeers() throws {
        for (group, number) in [(KeyExchangeID.modp768, 1), (.ec2n155, 3), (.ec2n185, 4)] as [(KeyExchangeID, UInt64)] {
            let proposal = Proposal(
                .ike, encryption: [Encryption(.tripleDES)], integrity: [.hmacMD5_96], prf: [.hmacMD5],
                keyExchange: [group])
            let transform = try #require(
                PhaseOneProposal.payload([proposal], lifeSeconds: 0).proposals.first?.transforms.first)
            #expect(transform.attribute(1)?.number == 5 && transform.attribute(2)?.number == 1)
            #expect(transform.attribute(4)?.number == number && transform.attribute(14) == nil)
            #expect(PhaseOneProposal.proposal(transform) == proposal)
        }
    }

    private let esp = Proposal(
        .esp, encryption: [Encryption(.aesGCM16, keyBits: 256), Encryption(.aesCBC, keyBits: 128)],
        integrity: [.hmacSHA256_128], keyExchange: [.curve25519], extendedSequenceNumbers: [true, false])

    @Test func phaseTwoSaysWhatRFC2407Numbers() throws {
        let payload = try read(
            PhaseTwoProposal.payload(
                [esp], spi: [1, 2, 3, 4], encapsulation: .udpTunnel, life: PhaseTwoLife(seconds: 3600)))
        #expect(payload.proposals.count == 1 && payload.proposals[0].protocolID == 3)
        #expect(payload.proposals[0].spi == [1, 2, 3, 4])
        let transforms = payload.proposals[0].transforms
        #expect(transforms.map(\.identifier) == [20, 20, 12, 12])
        let aead: [UInt16: UInt64] = [4: 3, 6: 256, 3: 31, 11: 1, 1: 1, 2: 3600]
        for (type, number) in aead { #expect(transforms[0].attribute(type)?.number == number, "attribute \(type)") }
        #expect(transforms[0].attribute(5) == nil && transforms[1].attribute(11) == nil)
        #expect(transforms[3].attribute(5)?.number == 5 && transforms[3].attribute(6)?.number == 128)
        let back = transforms.compactMap { PhaseTwoProposal.proposal($0) }
        #expect(back.map(\.extendedSequenceNumbers) == [[true], [false], [true], [false]])
        #expect(back[2].integrity == [.hmacSHA256_128] && back[0].integrity == [])
        #expect(back.allSatisfy { $0.keyExchange == [.curve25519] && $0.securityProtocol == .esp })
        #expect(PhaseTwoProposal.life(transforms[0]).seconds == 3600)
        #expect(PhaseTwoProposal.encapsulation(transforms[0]) == .udpTunnel)
    }

    @Test(
        arguments: [
            (IntegrityID.hmacSHA1_96, 2), (.hmacSHA256_128, 5), (.hmacSHA384_192, 6), (.hmacSHA512_256, 7),
        ] as [(IntegrityID, UInt64)])
    func authenticators(pair: (IntegrityID, UInt64)) {
        let proposal = Proposal(
            .esp, encryption: [Encryption(.aesCBC, keyBits: 256)], integrity: [pair.0],
            extendedSequenceNumbers: [false])
        let transforms = PhaseTwoProposal.payload([proposal], spi: [], encapsulation: .tunnel, life: PhaseTwoLife())
            .proposals[0].transforms
        #expect(transforms.count == 1 && transforms[0].attribute(5)?.number == pair.1)
        #expect(PhaseTwoProposal.proposal(transforms[0]) == proposal)
    }

    @Test func encapsulationModes() {
        #expect(PhaseTwoProposal.Encapsulation(.tunnel, inUDP: false).rawValue == 1)
        #expect(PhaseTwoProposal.Encapsulation(.transport, inUDP: false).rawValue == 2)
        #expect(PhaseTwoProposal.Encapsulation(.tunnel, inUDP: true).rawValue == 3)
        #expect(PhaseTwoProposal.Encapsulation(.transport, inUDP: true).rawValue == 4)
        func read(_ number: UInt16?) -> PhaseTwoProposal.Encapsulation? {
            let attributes = number.map { [DataAttribute(4, $0)] } ?? []
            return PhaseTwoProposal.encapsulation(TransformPayload(number: 1, identifier: 12, attributes: attributes))
        }
        #expect(read(nil) == .tunnel && read(1) == .tunnel && read(61_443) == .draftUDPTunnel)
        #expect(read(5) == nil && read(0) == nil)
    }

    @Test func perfectForwardSecrecyTakesOneGroup() {
        var either = esp
        either.keyExchange = [.curve25519, .ecp256, .none]
        #expect(PhaseTwoProposal.expressible([either], group: .ecp256).first?.keyExchange == [.ecp256])
        #expect(PhaseTwoProposal.expressible([either], group: nil).first?.keyExchange == [])
        #expect(PhaseTwoProposal.expressible([esp], group: nil).isEmpty)
        #expect(PhaseTwoProposal.expressible([esp], group: .modp2048).isEmpty)
    }

    @Test func theShortestLifetimeCountsAndKilobytesDoNot() {
        let transform = TransformPayload(
            number: 1, identifier: 12,
            attributes: [
                DataAttribute(1, 2), DataAttribute(2, 1000), DataAttribute(1, 1), DataAttribute(2, number: 70_000),
                DataAttribute(1, 1), DataAttribute(2, 3600),
            ])
        #expect(PhaseTwoProposal.life(transform).seconds == 3600)
        let huge = TransformPayload(
            number: 1, identifier: 12,
            attributes: [DataAttribute(1, 1), DataAttribute(2, octets: [UInt8](repeating: 0xFF, count: 7))])
        #expect(PhaseTwoProposal.life(huge).seconds == .max)
    }

    // MARK: Recorded traffic

    @Test(arguments: [
        ("ISAKMP_sa_setup", KeyExchangeID.modp768), ("ikev1-isakmp-main-mode", .modp1024),
    ])
    func recordedOffersAreUnderstood(capture: (String, KeyExchangeID)) throws {
        let records = VectorFile("ikev1-recorded").records.filter { $0[text: "capture"] == capture.0 }
        #expect(records.count == 9)
        for record in records.prefix(2) {
            var reader = ByteReader(record["octets"])
            let header = try Header(from: &reader)
            let payloads = try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
            let body = try #require(payloads.first { $0.type == .securityAssociation }).body
            let offer = try SecurityAssociationPayload(parsing: body[...], IPsecDOI.self)
            #expect(offer.body == body)
            let transform = try #require(offer.proposals.first?.transforms.first)
            let proposal = try #require(PhaseOneProposal.proposal(transform))
            #expect(proposal.encryption == [Encryption(.aesCBC, keyBits: 128)])
            #expect(proposal.prf == [.hmacSHA1] && proposal.integrity == [.hmacSHA1_96])
            #expect(proposal.keyExchange == [capture.1])
            #expect(PhaseOneProposal.lifeSeconds(transform) == 86_400)
        }
    }

    @Test func recordedOffersBySignatureAreRead() throws {
        let record = try #require(VectorFile("ikev1-recorded").records.first { $0[text: "capture"] == "isakmp4500" })
        var reader = ByteReader(record["octets"])
        let header = try Header(from: &reader)
        let payloads = try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        let body = try #require(payloads.first { $0.type == .securityAssociation }).body
        let offer = try SecurityAssociationPayload(parsing: body[...], IPsecDOI.self)
        #expect(offer.body == body)
        #expect(offer.proposals.first?.transforms.count == 4)
        #expect(offer.proposals[0].transforms.allSatisfy { PhaseOneProposal.method($0) == .rsaSignature })
        #expect(offer.proposals[0].transforms.contains { PhaseOneProposal.proposal($0) != nil })
    }
}
