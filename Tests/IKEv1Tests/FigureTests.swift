import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Every figure of RFC 2409 §5.1 to §5.7, as the RFC draws it, against the descriptions that messages are held against.
@Suite struct FigureTests {
    /// A line: who speaks, whether HDR has a star, what must be there, and what stands in brackets.
    struct Line: Sendable {
        var sender: Role
        var isEncrypted: Bool
        var required: [PayloadType]
        var optional: [PayloadType]
    }

    struct Figure: Sendable, CustomTestStringConvertible {
        var section: String
        var description: ExchangeDescription
        var lines: [String]
        var testDescription: String { "§\(section), \(description.name)" }
    }

    /// Arrows and symbols are the RFC's, without what encrypts a payload's body.
    static let figures: [Figure] = [
        Figure(
            section: "5.1", description: Exchanges.mainModeSignatures,
            lines: [
                "> HDR SA", "< HDR SA", "> HDR KE Ni", "< HDR KE Nr", "> HDR* IDii [CERT] SIG_I",
                "< HDR* IDir [CERT] SIG_R",
            ]),
        Figure(
            section: "5.1", description: Exchanges.aggressiveModeSignatures,
            lines: ["> HDR SA KE Ni IDii", "< HDR SA KE Nr IDir [CERT] SIG_R", "> HDR [CERT] SIG_I"]),
        Figure(
            section: "5.2", description: Exchanges.mainModeEncryption,
            lines: [
                "> HDR SA", "< HDR SA", "> HDR KE [HASH(1)] IDii Ni", "< HDR KE IDir Nr", "> HDR* HASH_I",
                "< HDR* HASH_R",
            ]),
        Figure(
            section: "5.2", description: Exchanges.aggressiveModeEncryption,
            lines: ["> HDR SA [HASH(1)] KE IDii Ni", "< HDR SA KE IDir Nr HASH_R", "> HDR HASH_I"]),
        Figure(
            section: "5.3", description: Exchanges.mainModeRevisedEncryption,
            lines: [
                "> HDR SA", "< HDR SA", "> HDR [HASH(1)] Ni KE IDii [CERT]", "< HDR Nr KE IDir", "> HDR* HASH_I",
                "< HDR* HASH_R",
            ]),
        Figure(
            section: "5.3", description: Exchanges.aggressiveModeRevisedEncryption,
            lines: ["> HDR SA [HASH(1)] Ni KE IDii [CERT]", "< HDR SA Nr KE IDir HASH_R", "> HDR HASH_I"]),
        Figure(
            section: "5.4", description: Exchanges.mainMode,
            lines: [
                "> HDR SA", "< HDR SA", "> HDR KE Ni", "< HDR KE Nr", "> HDR* IDii HASH_I", "< HDR* IDir HASH_R",
            ]),
        Figure(
            section: "5.4", description: Exchanges.aggressiveMode,
            lines: ["> HDR SA KE Ni IDii", "< HDR SA KE Nr IDir HASH_R", "> HDR HASH_I"]),
        // draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2
        Figure(
            section: "Hybrid", description: Exchanges.mainModeHybrid,
            lines: [
                "> HDR SA", "< HDR SA", "> HDR KE Ni", "< HDR KE Nr", "> HDR* IDii HASH_I", "< HDR* IDir [CERT] SIG_R",
            ]),
        Figure(
            section: "Hybrid", description: Exchanges.mainModeHybridResponder,
            lines: [
                "> HDR SA", "< HDR SA", "> HDR KE Ni", "< HDR KE Nr", "> HDR* IDii [CERT] SIG_I", "< HDR* IDir HASH_R",
            ]),
        Figure(
            section: "Hybrid", description: Exchanges.aggressiveModeHybrid,
            lines: ["> HDR SA KE Ni IDii", "< HDR SA KE Nr IDir [CERT] SIG_R", "> HDR HASH_I"]),
        Figure(
            section: "Hybrid", description: Exchanges.aggressiveModeHybridResponder,
            lines: ["> HDR SA KE Ni IDii", "< HDR SA KE Nr IDir HASH_R", "> HDR [CERT] SIG_I"]),
        Figure(
            section: "5.5", description: Exchanges.quickMode,
            lines: ["> HDR* HASH(1) SA Ni [KE]", "< HDR* HASH(2) SA Nr [KE]", "> HDR* HASH(3)"]),
        Figure(
            section: "5.6", description: Exchanges.newGroupMode,
            lines: ["> HDR* HASH(1) SA", "< HDR* HASH(2) SA"]),
        // N may stand anywhere.
        Figure(
            section: "5.7", description: Exchanges.informational(sender: .initiator), lines: ["> HDR* HASH(1) [D]"]),
    ]

    private static func line(_ text: String) throws -> Line {
        var line = Line(sender: .initiator, isEncrypted: false, required: [], optional: [])
        for word in text.split(separator: " ") {
            let isOptional = word.hasPrefix("[")
            let symbol = word.filter { $0 != "[" && $0 != "]" }
            switch symbol {
            case ">": line.sender = .initiator
            case "<": line.sender = .responder
            case "HDR": break
            case "HDR*": line.isEncrypted = true
            default:
                let types: [(String, PayloadType)] = [
                    ("SA", .securityAssociation), ("KE", .keyExchange), ("N", .nonce), ("ID", .identification),
                    ("HASH", .hash), ("SIG", .signature), ("CERT", .certificate), ("D", .delete),
                ]
                let type = try #require(types.first { symbol.hasPrefix($0.0) }?.1)
                if isOptional { line.optional.append(type) } else { line.required.append(type) }
            }
        }
        return line
    }

    /// The exchange as it stands before the message of an index, seen by who awaits it.
    private static func exchange(_ description: ExchangeDescription, before index: Int) -> Exchange {
        let role = description.messages[index].sender.other
        var exchange = Exchange(description, role: role)
        for number in 0..<index {
            if description.messages[number].sender == role {
                exchange.send([UInt8(number)])
            } else {
                exchange.accept([UInt8(number)])
            }
        }
        return exchange
    }

    @Test(arguments: figures)
    func messagesAreAsDrawn(_ figure: Figure) throws {
        #expect(figure.description.messages.count == figure.lines.count)
        for (index, text) in figure.lines.enumerated() {
            let line = try Self.line(text)
            let rule = figure.description.messages[index]
            #expect(rule.sender == line.sender, "\(text)")
            let exchange = Self.exchange(figure.description, before: index)
            func check(_ types: [PayloadType], isEncrypted: Bool = line.isEncrypted) -> ExchangeError? {
                do throws(ExchangeError) {
                    try exchange.check(types.map { Payload($0, body: []) }, isEncrypted: isEncrypted)
                    return nil
                } catch {
                    return error
                }
            }
            // As drawn, with and without what stands in brackets, and with what may stand anywhere.
            #expect(check(line.required) == nil, "\(text)")
            #expect(check(line.required + line.optional) == nil, "\(text)")
            #expect(check(line.required + [.vendorID, .vendorID, .notification]) == nil, "\(text)")
            for missing in line.required.indices {
                var fewer = line.required
                let type = fewer.remove(at: missing)
                let error = check(fewer)
                #expect(error == .missing(type) || error == .notFirst(type), "\(text) without \(type)")
            }
            // Quick Mode negotiates as many SAs as there are SA payloads (RFC 2409 §5.5); nothing else comes twice.
            for type in line.required {
                let mayRepeat = figure.description.type == .quickMode && type == .securityAssociation
                #expect(check(line.required + [type]) == (mayRepeat ? nil : .repeated(type)), "\(text)")
            }
            // What the figure does not draw is not allowed: of the payloads that prove or carry something.
            let drawn = Set(line.required + line.optional)
            for type in [PayloadType.securityAssociation, .keyExchange, .nonce, .hash, .signature, .delete]
            where !drawn.contains(type) {
                #expect(check(line.required + [type]) == .notAllowed(type), "\(text) with \(type)")
            }
            let error = check(line.required, isEncrypted: !line.isEncrypted)
            // Aggressive Mode's last message may be encrypted (RFC 2409 §5).
            let isFree = figure.description.type == .aggressive && index == 2
            #expect(error == (isFree ? nil : .wrongProtection(isEncrypted: !line.isEncrypted)), "\(text)")
        }
    }

    /// A rule belongs to a state: what follows the agreement on the SA depends on the method that was agreed on.
    @Test func mainModesPartWhenTheMethodIsAgreed() {
        let methods: [PhaseOneMethod] = PhaseOneMethod.all
        for first in methods {
            for second in methods {
                var exchange = Exchange(Exchanges.mainMode(first), role: .responder)
                exchange.accept([1])
                exchange.proceed(as: Exchanges.mainMode(second))
                exchange.send([2])
                #expect(exchange.awaited == Exchanges.mainMode(second).messages[2])
                #expect(exchange.isRepetition([1]) && exchange.answerToRepetition == [2])
            }
        }
    }

    @Test func everyFigureIsUsedBySomeMethod() {
        let drawn = Set(Self.figures.map(\.description))
        for method in PhaseOneMethod.all {
            #expect(drawn.contains(Exchanges.mainMode(method)) && drawn.contains(Exchanges.aggressiveMode(method)))
        }
        #expect(Set(PhaseOneMethod.all.map { Exchanges.mainMode($0) }).count == 6)
        // Both kinds of encryption have messages of the same payloads.
        #expect(Set(PhaseOneMethod.all.map { Exchanges.aggressiveMode($0) }).count == 5)
    }
}
