import ISAKMP
import KeyDeterminationModes
import Testing

/// The figures of RFC 2408 §4.4 to §4.8, RFC 2412 §2.4 to §2.11 and SKEME against the grammar that messages are held to.
@Suite struct FigureTests {
    /// `=> HDR*; ID; AUTH`: the direction, a star where it is encrypted, and the payloads.
    private func figure(_ description: ExchangeDescription) -> [String] {
        description.messages.map { rule in
            let names = rule.elements.map { element -> String in
                if case .authentication = element.content { return "AUTH" }
                return element.type.symbol
            }
            let direction = rule.sender == .initiator ? "=>" : "<="
            return ([direction + " HDR" + (rule.isEncrypted ? "*" : "")] + names).joined(separator: "; ")
        }
    }

    @Test func base() {
        #expect(
            figure(FrameworkExchanges.base) == [
                "=> HDR; SA; NONCE", "<= HDR; SA; NONCE", "=> HDR; KE; ID; AUTH", "<= HDR; KE; ID; AUTH",
            ])
    }

    @Test func identityProtection() {
        #expect(
            figure(FrameworkExchanges.identityProtection) == [
                "=> HDR; SA", "<= HDR; SA", "=> HDR; KE; NONCE", "<= HDR; KE; NONCE", "=> HDR*; ID; AUTH",
                "<= HDR*; ID; AUTH",
            ])
    }

    @Test func authenticationOnly() {
        #expect(
            figure(FrameworkExchanges.authenticationOnly) == [
                "=> HDR; SA; NONCE", "<= HDR; SA; NONCE; ID; AUTH", "=> HDR; ID; AUTH",
            ])
    }

    @Test func aggressive() {
        #expect(
            figure(FrameworkExchanges.aggressive) == [
                "=> HDR; SA; KE; NONCE; ID", "<= HDR; SA; KE; NONCE; ID; AUTH", "=> HDR*; AUTH",
            ])
    }

    @Test func informational() throws {
        let rule = try #require(FrameworkExchanges.informational.messages.first)
        #expect(FrameworkExchanges.informational.messages.count == 1 && rule.isEncrypted)
        #expect(rule.optional == [.notification, .delete] && rule.required.isEmpty)
    }

    @Test func typesAreThoseOfTheStandard() {
        #expect(FrameworkExchanges.all.map(\.type.rawValue) == [1, 2, 3, 4, 5])
    }

    @Test func oakley() {
        #expect(
            figure(OakleyModes.aggressive) == [
                "=> HDR; SA; KE; ID; ID; NONCE; AUTH", "<= HDR; SA; KE; ID; ID; NONCE; NONCE; AUTH",
                "=> HDR; SA; KE; ID; ID; NONCE; NONCE; AUTH",
            ])
        #expect(
            figure(OakleyModes.hiddenIdentities) == [
                "=> HDR; SA; KE; ID; NONCE", "<= HDR; SA; KE; NONCE; HASH", "=> HDR; HASH",
            ])
        #expect(
            figure(OakleyModes.withoutExponentials) == [
                "=> HDR; SA; ID; NONCE; NONCE", "<= HDR; SA; NONCE; NONCE; HASH", "=> HDR; SA; HASH",
            ])
        #expect(
            figure(OakleyModes.conservative) == [
                "=> HDR", "<= HDR", "=> HDR; SA; KE", "<= HDR; SA; KE", "=> HDR*; KE; ID; ID; NONCE",
                "<= HDR*; NONCE; ID; ID; HASH", "=> HDR*; HASH",
            ])
        #expect(
            figure(OakleyModes.conservativeWithSignatures) == [
                "=> HDR", "<= HDR", "=> HDR; SA; KE", "<= HDR; SA; KE", "=> HDR*; KE; ID; ID; NONCE",
                "<= HDR*; NONCE; NONCE; ID; ID; AUTH", "=> HDR*; AUTH",
            ])
        #expect(figure(OakleyModes.quick) == ["=> HDR; NONCE; HASH", "<= HDR; NONCE; HASH", "=> HDR; HASH"])
        #expect(
            figure(OakleyModes.externalKeyDistribution) == [
                "=> HDR; NONCE; HASH", "<= HDR; NONCE; HASH", "=> HDR; KE; HASH",
            ])
        #expect(
            figure(OakleyModes.newGroup) == [
                "=> HDR; KE; NONCE; HASH", "<= HDR; NONCE; NONCE; HASH", "=> HDR; HASH",
            ])
    }

    @Test func skeme() {
        #expect(
            figure(SKEMEModes.basic) == [
                "=> HDR; SA; ID; NONCE; KE", "<= HDR; SA; NONCE; KE; HASH", "=> HDR; HASH",
            ])
        #expect(
            figure(SKEMEModes.shareOnly) == [
                "=> HDR; SA; ID; NONCE; NONCE", "<= HDR; SA; NONCE; NONCE; HASH", "=> HDR; HASH",
            ])
        #expect(
            figure(SKEMEModes.preSharedKey) == [
                "=> HDR; SA; ID; ID; KE", "<= HDR; SA; KE; HASH", "=> HDR; HASH",
            ])
        #expect(figure(SKEMEModes.fastRekey) == ["=> HDR; NONCE", "<= HDR; NONCE; HASH", "=> HDR; HASH"])
    }

    /// What is signed and hashed, as the figures of RFC 2412 write it.
    @Test func oakleysProofsReadAsInTheRFC() {
        func proofs(_ description: ExchangeDescription) -> [String] {
            description.messages.flatMap(\.elements).compactMap { element in
                switch element.content {
                case .authentication(_, _, let over): "\(over)"
                case .proof(let key, let over): "prf(\(key), \(over))"
                case .own, .known, .sealed, .masked: nil
                }
            }
        }
        // Null fields are written as an integer of no words, GRP as its 32 bits.
        #expect(
            proofs(OakleyModes.aggressive) == [
                "ID(I) | ID(R) | Ni | 0x00000000 | GRP | g^x | 0x00000000 | SAi",
                "ID(R) | ID(I) | Nr | Ni | GRP | g^y | g^x | SAr", "ID(I) | ID(R) | Ni | Nr | GRP | g^x | g^y | SAr",
            ])
        #expect(
            proofs(OakleyModes.conservative) == [
                "prf(Kir, ID(R) | ID(I) | GRP | g^y | g^x | SAr)", "prf(Kir, ID(I) | ID(R) | GRP | g^x | g^y | SAr)",
            ])
        #expect(
            proofs(OakleyModes.quick) == [
                "prf(sKEYID, Ni)", "prf(sKEYID, 1 | Nr | Ni)", "prf(sKEYID, 0 | Ni | Nr)",
            ])
        #expect(
            proofs(OakleyModes.externalKeyDistribution) == [
                "prf(sKEYID, Ni)", "prf(sKEYID, 1 | Nr | Ni)", "prf(Kir, sNEWKEYID | Ni | Nr)",
            ])
        #expect(
            proofs(OakleyModes.newGroup) == [
                "prf(sKEYID, Desc(New Group) | Ni)", "prf(sKEYID, Ni | Nr | Desc(New Group))",
                "prf(sKEYID, Nr | Ni | Desc(New Group))",
            ])
        #expect(
            OakleyModes.aggressive.definitions.map { "\($0.symbol) = \($0.expression)" } == [
                "sKEYID = prf(Ni | Nr, g^xy | CKY-I | CKY-R)"
            ])
        #expect(
            "\(OakleyModes.hiddenIdentities.messages[0].elements[3])" == "NONCE(E{ID(I), ID(R), E{Ni}ID(R)}ID(R'))")
    }
}
