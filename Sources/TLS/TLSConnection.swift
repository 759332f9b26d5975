internal import CTLS
package import Cryptography

/// One TLS connection by libssl (TLS 1.2: RFC 5246; 1.3: RFC 8446): records in, records out. It has no socket, and it judges no
/// certificate: who made it does. A reference, used by one thread at a time; after a fault it is of no more use.
package final class TLSConnection {
    package enum Role: Sendable {
        case client
        case server
    }

    /// The version on the wire.
    package enum Version: Int32, Sendable, Comparable {
        case v12 = 0x0303
        case v13 = 0x0304

        package static func < (left: Version, right: Version) -> Bool { left.rawValue < right.rawValue }
    }

    /// What proves who we are: a key, and certificates in DER, the key's own first.
    package struct Credential: Sendable {
        package var key: PrivateKey
        package var certificates: [[UInt8]]

        package init(key: PrivateKey, certificates: [[UInt8]]) {
            self.key = key
            self.certificates = certificates
        }
    }

    /// What the peer's certificates are worth, in the words that an alert has for it (RFC 8446 §6.2).
    package enum Verdict: Sendable {
        case trusted
        case unknownAuthority
        case expired
        case revoked
        case wrongPurpose
        case badCertificate
    }

    /// Octets that the peer may say at a time.
    package static let maximumPlaintext = 64 * 1024

    /// Judges the peer's certificates in DER, its own first.
    package typealias Judge = ([[UInt8]]) -> Verdict

    // SAFETY: libssl's state, ours alone from `init` to `deinit`.
    private let pointer: OpaquePointer
    private let judgement: Judgement
    package private(set) var isEstablished = false

    /// Keeps the judge where C can point to it.
    private final class Judgement {
        let judge: Judge
        init(_ judge: @escaping Judge) { self.judge = judge }
    }

    /// - Parameters:
    ///   - credential: a server always has one.
    ///   - judge: of a server: `nil` asks the client for no certificate. A client always has one.
    /// - Throws: `unusable` where the key and the certificates do not go together or are too weak.
    package init(
        _ role: Role, versions: ClosedRange<Version> = .v12 ... .v13, credential: Credential? = nil, judge: Judge?
    ) throws(TLSFault) {
        let judgement = Judgement(judge ?? { _ in .badCertificate })
        self.judgement = judgement
        // SAFETY: the context is this connection's own, which outlives the state that calls back with it.
        let context = Unmanaged.passUnretained(judgement).toOpaque()
        let callback: parley_tls_judge = { context, certificates, lengths, count in
            TLSConnection.judge(context, certificates, lengths, count)
        }
        let made = parley_tls_create(
            role == .server ? 1 : 0, versions.lowerBound.rawValue, versions.upperBound.rawValue,
            judge == nil ? nil : callback, context)
        guard let made else { throw .unusable(TLSFault.complaint) }
        pointer = made
        guard let credential else {
            if role == .server { throw .unusable("a server has a certificate") }
            return
        }
        for (index, certificate) in credential.certificates.enumerated()
        where parley_tls_use_certificate(made, certificate, certificate.count, index == 0 ? 1 : 0) != 1 {
            throw .unusable("a certificate: \(TLSFault.complaint)")
        }
        guard let pem = try? credential.key.pem() else { throw .unusable("the key cannot be handed on") }
        // SAFETY: libssl reads the key for the time of the call.
        let isTaken = pem.withUnsafeBytes { parley_tls_use_key(made, $0.baseAddress, $0.count) }
        guard isTaken == 1 else { throw .unusable("the key: \(TLSFault.complaint)") }
    }

    deinit { parley_tls_destroy(pointer) }

    private static func judge(
        _ context: UnsafeMutableRawPointer?, _ certificates: UnsafePointer<UnsafePointer<UInt8>?>?,
        _ lengths: UnsafePointer<Int>?, _ count: Int
    ) -> Int32 {
        guard let context, let certificates, let lengths else { return Int32(PARLEY_TLS_BAD_CERTIFICATE.rawValue) }
        // SAFETY: the context is a living connection's; both lists have `count` entries, for the time of the call.
        let judgement = Unmanaged<Judgement>.fromOpaque(context).takeUnretainedValue()
        let chain = (0..<count).map { Array(UnsafeBufferPointer(start: certificates[$0], count: lengths[$0])) }
        let verdict =
            switch judgement.judge(chain) {
            case .trusted: PARLEY_TLS_TRUSTED
            case .unknownAuthority: PARLEY_TLS_UNKNOWN_AUTHORITY
            case .expired: PARLEY_TLS_EXPIRED
            case .revoked: PARLEY_TLS_REVOKED
            case .wrongPurpose: PARLEY_TLS_BAD_PURPOSE
            case .badCertificate: PARLEY_TLS_BAD_CERTIFICATE
            }
        return Int32(verdict.rawValue)
    }

    /// The version that the two agreed on; `nil` before they did.
    package var version: Version? { isEstablished ? Version(rawValue: parley_tls_version(pointer)) : nil }

    /// Records to send, all there are: ours to hand on even after a fault, since an alert tells the peer of it.
    package func takeRecords() -> [UInt8] {
        var records = [UInt8](repeating: 0, count: parley_tls_pending(pointer))
        let count = parley_tls_take(pointer, &records, records.count)
        return Array(records.prefix(count))
    }

    /// Takes records of the peer's, or none to begin with, and goes on.
    ///
    /// - Returns: what the peer says inside, maybe nothing.
    package func receive(_ records: [UInt8]) throws(TLSFault) -> Secret {
        guard parley_tls_give(pointer, records, records.count) == 1 else { throw .broken("memory is short") }
        if !isEstablished {
            switch parley_tls_step(pointer) {
            case PARLEY_TLS_DONE: isEstablished = true
            case PARLEY_TLS_WAITING: return Secret([])
            default: throw fault()
            }
        }
        var parts: [Secret] = []
        var total = 0
        while true {
            var count: Int32 = 0
            // SAFETY: libssl writes at most as many octets as the buffer has.
            let part = Secret(count: 16_384) { count = parley_tls_read(pointer, $0.baseAddress, $0.count) }
            guard count >= 0 else { throw fault() }
            if count == 0 { return Secret(concatenating: parts) }
            total += Int(count)
            guard total <= Self.maximumPlaintext else { throw .broken("the peer says too much at a time") }
            parts.append(part[0..<Int(count)])
        }
    }

    /// Says something inside; the records are then to be taken.
    package func send(_ plaintext: Secret) throws(TLSFault) {
        guard isEstablished, plaintext.count > 0 else { throw .broken("nothing can be said yet") }
        // SAFETY: libssl reads the octets for the time of the call.
        let isSent = plaintext.withUnsafeBytes { parley_tls_write(pointer, $0.baseAddress, $0.count) }
        guard isSent == 1 else { throw fault() }
    }

    /// Keying material (RFC 5705; RFC 8446 §7.5), `count` octets; `nil` before the handshake is over.
    ///
    /// - Parameter context: with TLS 1.2 `nil` is another thing than none.
    package func export(label: String, context: [UInt8]?, count: Int) -> Secret? {
        var isMade = false
        let secret = Secret(count: count) { target in
            // SAFETY: libssl writes as many octets as it is told, and reads the context for the time of the call.
            isMade =
                parley_tls_export(
                    pointer, label, context, context?.count ?? 0, target.baseAddress, target.count) == 1
        }
        return isMade ? secret : nil
    }

    private func fault() -> TLSFault {
        let received = parley_tls_received_alert(pointer)
        if received >= 0 { return .peerAlert(TLSAlert(UInt8(truncatingIfNeeded: received))) }
        let sent = parley_tls_sent_alert(pointer)
        let complaint = TLSFault.complaint
        if sent >= 0 { return .alert(TLSAlert(UInt8(truncatingIfNeeded: sent)), complaint) }
        return .broken(complaint)
    }
}

/// A fatal alert by number (RFC 8446 §6).
package struct TLSAlert: Hashable, Sendable, CustomStringConvertible {
    package var number: UInt8
    package init(_ number: UInt8) { self.number = number }

    package static let handshakeFailure = TLSAlert(40)
    package static let badCertificate = TLSAlert(42)
    package static let unsupportedCertificate = TLSAlert(43)
    package static let certificateRevoked = TLSAlert(44)
    package static let certificateExpired = TLSAlert(45)
    package static let unknownAuthority = TLSAlert(48)
    package static let protocolVersion = TLSAlert(70)
    package static let certificateRequired = TLSAlert(116)

    package var description: String {
        // libssl 3.0 has no name for this one in its table of long names.
        if self == .certificateRequired { return "certificate required" }
        return String(cString: parley_tls_alert_name(Int32(number)))
    }
}

/// Why a connection is over.
package enum TLSFault: Error, Hashable, Sendable {
    /// Our own key or certificates.
    case unusable(String)
    /// The peer broke the connection off.
    case peerAlert(TLSAlert)
    /// We did.
    case alert(TLSAlert, String)
    case broken(String)

    static var complaint: String { parley_tls_complaint().map { String(cString: $0) } ?? "no reason is known" }
}
