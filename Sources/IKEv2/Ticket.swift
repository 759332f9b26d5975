import Cryptography
import IPsec
import Primitives

/// A ticket by value (RFC 5723 §4.3.3, §5): everything that the gateway needs to resume, sealed so that nobody else reads or
/// makes one.
///
///     ticket = day | id | AES-256-GCM(key, content), with day and id authenticated as well
///     key = prf+(secret, "IKE session ticket" | day | id), another one for every ticket
///
/// A ticket is good for what is left of its day and for the next one at the most.
struct Ticket: Sendable {
    static let identifierOctets = 16
    /// What the client is told, at the most.
    static let maximumLifetime: Int64 = 86_400
    private static let secondsPerDay: Int64 = 86_400
    private static let version: UInt8 = 1

    var connection: String
    var suite: Suite
    /// SK_d.
    var derivation: Secret
    var initiator: Identity
    var responder: Identity
    var user: Identity?
    /// How the initiator authenticated.
    var method: String
    /// Seconds of wall time.
    var expires: Int64

    /// - Parameters:
    ///   - identifier: ``identifierOctets`` octets that no other ticket has.
    ///   - now: seconds of wall time.
    func sealed(identifier: [UInt8], secret: Secret, now: Int64) throws(Fault) -> [UInt8] {
        var clear: [UInt8] = []
        clear.append(bigEndian: UInt32(truncatingIfNeeded: now / Ticket.secondsPerDay))
        clear += identifier
        var record: [UInt8] = [Ticket.version]
        record.append(bigEndian: UInt64(bitPattern: expires))
        let names = [connection, method].map { Array($0.utf8) } + [initiator, responder].map(Ticket.octets)
        for name in names + [user.map(Ticket.octets) ?? []] {
            record.append(bigEndian: UInt16(truncatingIfNeeded: name.count))
            record += name
        }
        let numbers = [
            suite.encryption.id.rawValue, UInt16(truncatingIfNeeded: suite.encryption.keyBits),
            suite.integrity?.rawValue ?? 0, suite.prf?.rawValue ?? 0, suite.keyExchange?.rawValue ?? 0,
        ]
        // What a rekeying repeats, these too.
        for number in numbers + suite.additionalKeyExchanges.map(\.rawValue) { record.append(bigEndian: number) }
        return try Attempt.cryptography { () throws(CryptographyError) in
            clear
                + (try SealedRecord.seal(
                    key: try Ticket.key(secret, clear), associated: clear, record, secret: derivation))
        }
    }

    /// Opens a ticket.
    ///
    /// - Throws: `ticket` where it is not one of ours, too old or not for this version.
    static func open(
        _ octets: [UInt8], secret: Secret, now: Int64
    ) throws(Fault) -> (ticket: Ticket, identifier: [UInt8]) {
        let parts: (day: Int64, identifier: [UInt8], sealed: [UInt8])
        do throws(ParseError) {
            var reader = ByteReader(octets)
            parts = (
                Int64(try reader.readUInt32()), Array(try reader.read(identifierOctets)), Array(reader.readRest())
            )
        } catch {
            throw .ticket("it is none of ours")
        }
        let today = now / secondsPerDay
        guard parts.day == today || parts.day == today - 1 else { throw .ticket("it is too old") }
        let clear = Array(octets.prefix(4 + identifierOctets))
        let opened: (record: [UInt8], secret: Secret)
        do throws(CryptographyError) {
            opened = try SealedRecord.open(key: try key(secret, clear), associated: clear, parts.sealed)
        } catch {
            throw .ticket("it is none of ours")
        }
        return (try Ticket(opened.record, derivation: opened.secret, now: now), parts.identifier)
    }

    private init(_ record: [UInt8], derivation: Secret, now: Int64) throws(Fault) {
        do throws(ParseError) {
            try self.init(parsing: record, derivation: derivation)
        } catch {
            throw .ticket("it is of another version")
        }
        guard expires > now else { throw .ticket("it has expired") }
        guard derivation.count == suite.prfOctets else { throw .ticket("its key is none") }
    }

    private init(parsing record: [UInt8], derivation: Secret) throws(ParseError) {
        var reader = ByteReader(record)
        guard try reader.readUInt8() == Ticket.version else {
            throw .invalid(offset: 0, rule: "a ticket has version \(Ticket.version)")
        }
        expires = Int64(bitPattern: try reader.readUInt64())
        var fields: [[UInt8]] = []
        for _ in 0..<5 {
            let count = Int(try reader.readUInt16())
            fields.append(Array(try reader.read(count)))
        }
        func identity(_ octets: [UInt8]) -> Identity? {
            octets.first.map { Identity(Identity.Kind(rawValue: $0), octets: Array(octets.dropFirst())) }
        }
        connection = String(decoding: fields[0], as: UTF8.self)
        method = String(decoding: fields[1], as: UTF8.self)
        guard let initiator = identity(fields[2]), let responder = identity(fields[3]) else {
            throw .invalid(offset: 0, rule: "a ticket names both ends")
        }
        self.initiator = initiator
        self.responder = responder
        user = identity(fields[4])
        let encryption = EncryptionID(rawValue: try reader.readUInt16())
        suite = Suite(encryption: Encryption(encryption, keyBits: Int(try reader.readUInt16())))
        let (integrity, prf, group) = (try reader.readUInt16(), try reader.readUInt16(), try reader.readUInt16())
        suite.integrity = integrity == 0 ? nil : IntegrityID(rawValue: integrity)
        suite.prf = prf == 0 ? nil : PRFID(rawValue: prf)
        suite.keyExchange = group == 0 ? nil : KeyExchangeID(rawValue: group)
        while !reader.isAtEnd { suite.additionalKeyExchanges.append(KeyExchangeID(rawValue: try reader.readUInt16())) }
        self.derivation = derivation
    }

    init(
        connection: String, suite: Suite, derivation: Secret, initiator: Identity, responder: Identity, user: Identity?,
        method: String, expires: Int64
    ) {
        self.connection = connection
        self.suite = suite
        self.derivation = derivation
        self.initiator = initiator
        self.responder = responder
        self.user = user
        self.method = method
        self.expires = expires
    }

    private static func octets(_ identity: Identity) -> [UInt8] { [identity.kind.rawValue] + identity.octets }

    private static func key(_ secret: Secret, _ clear: [UInt8]) throws(CryptographyError) -> Secret {
        try PseudorandomFunction.expand(
            .hmacSHA256, key: secret, seed: [.open(Array("IKE session ticket".utf8) + clear)],
            count: SealedRecord.keyOctets)
    }
}
