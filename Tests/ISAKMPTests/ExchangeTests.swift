import ISAKMP
import Testing

/// The engine that runs any exchange, with exchanges that no key exchange has.
@Suite struct ExchangeTests {
    /// Three messages with every kind of rule.
    private static let description = ExchangeDescription(
        name: "TEST", type: .base,
        messages: [
            MessageRule(.initiator, [.securityAssociation], optional: [.nonce], first: .securityAssociation),
            MessageRule(
                .responder, [.nonce, .keyExchange], optional: [.certificate], repeatable: [.certificate]),
            MessageRule(.initiator, [.hash], first: .hash, isEncrypted: true),
        ])

    private func payloads(_ types: PayloadType...) -> [Payload] { types.map { Payload($0, body: [1]) } }

    private func failure(
        _ exchange: Exchange, _ payloads: [Payload], isEncrypted: Bool = false
    ) -> ExchangeError? {
        do throws(ExchangeError) {
            try exchange.check(payloads, isEncrypted: isEncrypted)
            return nil
        } catch { return error }
    }

    @Test func messagesComeInTurn() {
        var initiator = Exchange(Self.description, role: .initiator, messageID: 9)
        var responder = Exchange(Self.description, role: .responder, messageID: 9)
        #expect(initiator.awaited == nil && responder.awaited == Self.description.messages[0])
        #expect(failure(initiator, payloads(.nonce, .keyExchange)) == .notAwaited)
        initiator.send([1])
        responder.accept([1])
        #expect(initiator.awaited == Self.description.messages[1] && responder.awaited == nil)
        responder.send([2])
        initiator.accept([2])
        initiator.send([3])
        #expect(initiator.isFinished && !responder.isFinished)
        responder.accept([3])
        #expect(responder.isFinished && responder.passed == 3 && responder.awaited == nil)
        #expect(failure(responder, payloads(.hash), isEncrypted: true) == .notAwaited)
        #expect(initiator.messageID == 9)
    }

    @Test func requiredPayloadsMustBeThere() {
        var exchange = Exchange(Self.description, role: .initiator)
        exchange.send([1])
        #expect(failure(exchange, payloads(.nonce, .keyExchange)) == nil)
        #expect(failure(exchange, payloads(.keyExchange, .nonce)) == nil)
        #expect(failure(exchange, payloads(.nonce)) == .missing(.keyExchange))
        #expect(failure(exchange, payloads(.keyExchange)) == .missing(.nonce))
        #expect(failure(exchange, payloads(.nonce, .keyExchange, .certificate)) == nil)
    }

    @Test func othersAreNotAllowedAndFewMayRepeat() {
        var exchange = Exchange(Self.description, role: .initiator)
        exchange.send([1])
        #expect(failure(exchange, payloads(.nonce, .keyExchange, .signature)) == .notAllowed(.signature))
        #expect(failure(exchange, payloads(.nonce, .keyExchange, .nonce)) == .repeated(.nonce))
        #expect(failure(exchange, payloads(.nonce, .keyExchange, .certificate, .certificate)) == nil)
        // Payloads for private use are passed over, even where they repeat; those that are not assigned are not.
        let own = PayloadType(rawValue: 130)
        #expect(failure(exchange, payloads(.nonce, own, .keyExchange, own)) == nil)
        #expect(
            failure(exchange, payloads(.nonce, .keyExchange, PayloadType(rawValue: 127)))
                == .notAllowed(PayloadType(rawValue: 127)))
        // Notifications and vendor IDs may stand anywhere.
        #expect(
            failure(
                exchange, payloads(.vendorID, .nonce, .vendorID, .notification, .keyExchange, .notification)) == nil)
    }

    @Test func theFirstPayloadIsWhereTheRuleSays() {
        let exchange = Exchange(Self.description, role: .responder)
        #expect(failure(exchange, payloads(.securityAssociation, .nonce)) == nil)
        #expect(failure(exchange, payloads(.nonce, .securityAssociation)) == .notFirst(.securityAssociation))
        #expect(failure(exchange, payloads(.vendorID, .securityAssociation)) == .notFirst(.securityAssociation))
        #expect(failure(exchange, []) == .notFirst(.securityAssociation))
    }

    @Test func protectionIsAsTheRuleSays() {
        var exchange = Exchange(Self.description, role: .responder)
        #expect(
            failure(exchange, payloads(.securityAssociation), isEncrypted: true) == .wrongProtection(isEncrypted: true))
        exchange.accept([1])
        exchange.send([2])
        #expect(failure(exchange, payloads(.hash)) == .wrongProtection(isEncrypted: false))
        #expect(failure(exchange, payloads(.hash), isEncrypted: true) == nil)
    }

    @Test func onlyTheLastMessageIsARepetition() {
        var responder = Exchange(Self.description, role: .responder)
        responder.accept([1])
        #expect(responder.isRepetition([1]) && !responder.isRepetition([1, 0]) && !responder.isRepetition([]))
        // Nothing was said to it yet.
        #expect(responder.answerToRepetition == nil)
        responder.send([2])
        #expect(responder.answerToRepetition == [2])
        responder.accept([3])
        #expect(responder.isRepetition([3]) && !responder.isRepetition([1]))
        // The peer spoke last: two ends that both repeated themselves would never stop.
        #expect(responder.answerToRepetition == nil)
    }

    @Test func rolesAreEachOthersOther() {
        #expect(Role.initiator.other == .responder && Role.responder.other == .initiator)
    }
}
