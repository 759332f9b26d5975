import Cryptography
import IPsec
import ISAKMP
import Primitives
import TLS
import Testing

@testable import IKEv2

/// What a client's user says in EAP (RFC 3748), packet by packet.
protocol UserScript {
    /// The answer to a request of the gateway's.
    mutating func answer(_ request: [UInt8]) throws -> [UInt8]
    /// MSK, once Success came.
    var key: Secret { get throws }
}

extension UserScript {
    /// A response: code 2, the request's identifier, a length and a type.
    static func response(_ identifier: UInt8, _ type: UInt8, _ data: [UInt8]) -> [UInt8] {
        var packet: [UInt8] = [2, identifier]
        packet.append(bigEndian: UInt16(5 + data.count))
        return packet + [type] + data
    }
}

/// EAP-MSCHAPv2 (draft-kamath-pppext-eap-mschapv2 §2), behind an identity.
struct PasswordScript: UserScript {
    let user: String
    let password: String
    private var exchange: MSCHAPv2.Exchange?
    private var made: (response: [UInt8], key: Secret)?

    init(user: String, password: String) {
        self.user = user
        self.password = password
    }

    var key: Secret { get throws { try #require(made).key } }

    mutating func answer(_ request: [UInt8]) throws -> [UInt8] {
        #expect(request[0] == 1)
        switch request[4] {
        case 1: return Self.response(request[1], 1, Array(user.utf8))
        case 26 where request[5] == 1:
            // Operation, identifier, length, size of the value, the challenge, the gateway's name.
            #expect(request[9] == 16)
            let exchange = MSCHAPv2.Exchange(
                userName: Array(user.utf8), authenticatorChallenge: Array(request[10..<26]),
                peerChallenge: (1...16).map { UInt8($0) })
            self.exchange = exchange
            let method = try #require(MSCHAPv2(password: Secret(Array(password.utf8))))
            let response = try method.response(exchange)
            made = (response, try method.masterSessionKey(response: response))
            let value = exchange.peerChallenge + [UInt8](repeating: 0, count: 8) + response + [0]
            let data = [UInt8(value.count)] + value + Array(user.utf8)
            var packet: [UInt8] = [2, request[6]]
            packet.append(bigEndian: UInt16(4 + data.count))
            return Self.response(request[1], 26, packet + data)
        case 26 where request[5] == 3:
            let method = try #require(MSCHAPv2(password: Secret(Array(password.utf8))))
            let right = try method.confirmation(
                try #require(exchange), response: try #require(made).response)
            #expect(Array(request[9...]).starts(with: right))
            return Self.response(request[1], 26, [3])
        case 26 where request[5] == 4: throw ScriptFault.user("the password is not right")
        default: throw ScriptFault.user("a request of type \(request[4])")
        }
    }
}

/// EAP-TLS (RFC 5216), behind an identity. Every message says its length, as Windows does.
final class CertificateScript: UserScript {
    private let user: String
    private let connection: TLSConnection
    private let fragmentOctets: Int
    private var outgoing: [UInt8] = []
    private var total = 0
    private var incoming: [UInt8] = []
    /// The gateway's certificates, its own first.
    let seen = Seen()

    final class Seen { var certificates: [[UInt8]] = [] }

    init(user: String, _ holder: TestAuthority.Holder, fragmentOctets: Int) throws {
        self.user = user
        self.fragmentOctets = fragmentOctets
        let seen = seen
        connection = try TLSConnection(
            .client, versions: .v12 ... .v12,
            credential: TLSConnection.Credential(key: holder.key, certificates: [holder.certificate.octets])
        ) { certificates in
            seen.certificates = certificates
            return .trusted
        }
    }

    var key: Secret {
        get throws {
            try #require(connection.export(label: "client EAP encryption", context: nil, count: 128))[0..<64]
        }
    }

    func answer(_ request: [UInt8]) throws -> [UInt8] {
        #expect(request[0] == 1)
        if request[4] == 1 { return Self.response(request[1], 1, Array(user.utf8)) }
        guard request[4] == 13 else { throw ScriptFault.user("a request of type \(request[4])") }
        let flags = request[5]
        let data = Array(request[(flags & 0x80 != 0 ? 10 : 6)...])
        if flags & 0x20 != 0 {
            _ = try connection.receive([])
            put(connection.takeRecords())
        } else if !outgoing.isEmpty {
            #expect(data.isEmpty, "a fragment is acknowledged before anything else is said")
        } else {
            incoming += data
            if flags & 0x40 != 0 { return Self.response(request[1], 13, [0]) }
            _ = try connection.receive(incoming)
            incoming = []
            put(connection.takeRecords())
        }
        return Self.response(request[1], 13, next())
    }

    private func put(_ records: [UInt8]) { (outgoing, total) = (records, records.count) }

    /// Flags, the length of the whole message, and a fragment of it.
    private func next() -> [UInt8] {
        guard !outgoing.isEmpty else { return [0] }
        let piece = Array(outgoing.prefix(fragmentOctets))
        outgoing.removeFirst(piece.count)
        var data: [UInt8] = [outgoing.isEmpty ? 0x80 : 0xC0]
        data.append(bigEndian: UInt32(total))
        return data + piece
    }
}

extension ScriptedClient {
    /// IKE_AUTH with a user over EAP (RFC 7296 §2.16), whose first request is `first`.
    ///
    /// - Parameter authority: behind the gateway's certificate; `nil`: a shared key proves it, or EAP alone.
    /// - Returns: what is in the last response.
    mutating func authenticate(
        _ first: [Payload], as identity: Identity, _ script: inout some UserScript, _ authority: TestAuthority?,
        _ gateway: inout Gateway
    ) throws -> (last: [Payload], method: UInt8) {
        var answer = try ask(.ikeAuth, first, &gateway)
        var method: UInt8 = 0
        if let authority {
            guard answer.contains(where: { $0.type == .authentication }) else {
                throw ScriptFault.user("\(try names(answer))")
            }
            method = try expectGateway(answer, authority)
        }
        for _ in 0..<64 {
            let packet = try #require(answer.first { $0.type == .extensibleAuthentication }).body
            if packet[0] == 4 { throw ScriptFault.user("failure") }
            if packet[0] == 3 {
                let key = try script.key
                let proof = AuthenticationPayload(proof: try proof(key, try signedOctets(identity)))
                answer = try ask(.ikeAuth, [proof.payload], &gateway)
                try expectGateway(answer, sharedKey: key)
                return (answer, method)
            }
            let said = try script.answer(packet)
            answer = try ask(.ikeAuth, [Payload(.extensibleAuthentication, body: said)], &gateway)
        }
        throw ScriptFault.endless
    }
}
