import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// Why a message or an exchange of IKEv1 went wrong, grouped by what follows.
enum Fault: Error {
    /// The message has no effect: it is malformed, not for us, or not authentic. The rule that it breaks.
    case dropped(String)
    /// The exchange ends; the notification tells the peer, where there is one.
    case refused(Refusal, notification: UInt16?)

    init(_ error: ParseError) { self = .dropped(error.description) }

    init(_ error: ExchangeError) { self = .dropped("the message does not fit its exchange: \(error)") }
}

/// Calls whose own errors become faults.
enum Attempt {
    static func cryptography<Result>(_ body: () throws(CryptographyError) -> Result) throws(Fault) -> Result {
        do throws(CryptographyError) { return try body() } catch { throw .dropped("cryptography: \(error)") }
    }

    static func parsing<Result>(_ body: () throws(ParseError) -> Result) throws(Fault) -> Result {
        do throws(ParseError) { return try body() } catch { throw Fault(error) }
    }

    static func oakley<Result>(_ body: () throws(OakleyError) -> Result) throws(Fault) -> Result {
        do throws(OakleyError) { return try body() } catch {
            throw .refused(
                .protocolViolation("key exchange: \(error)"), notification: NotificationType.invalidKeyInformation)
        }
    }
}

/// Registered names of the notifications that refusals carry (RFC 2408 §3.14.1).
enum NotificationName {
    static func of(_ type: UInt16) -> String {
        switch type {
        case 1: "INVALID-PAYLOAD-TYPE"
        case 2: "DOI-NOT-SUPPORTED"
        case 3: "SITUATION-NOT-SUPPORTED"
        case 4: "INVALID-COOKIE"
        case 7: "INVALID-EXCHANGE-TYPE"
        case 11: "INVALID-SPI"
        case 13: "ATTRIBUTES-NOT-SUPPORTED"
        case 14: "NO-PROPOSAL-CHOSEN"
        case 15: "BAD-PROPOSAL-SYNTAX"
        case 16: "PAYLOAD-MALFORMED"
        case 17: "INVALID-KEY-INFORMATION"
        case 18: "INVALID-ID-INFORMATION"
        case 23: "INVALID-HASH-INFORMATION"
        case 24: "AUTHENTICATION-FAILED"
        case 29: "UNSUPPORTED-EXCHANGE-TYPE"
        default: "notification \(type)"
        }
    }
}
