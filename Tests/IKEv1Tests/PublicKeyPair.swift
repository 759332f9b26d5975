import Credentials
import Cryptography
import IPsec
import IPsecDOI
import Primitives
import Testing
import VectorSupport

@testable import IKEv1

/// Keys of `Tests/Vectors/test-keys.txt`.
enum TestKeys {
    private static let records = VectorFile("test-keys").records
    private static let keys = Dictionary(
        uniqueKeysWithValues: records.compactMap { record in
            (try? PrivateKey(parsing: Secret(record["private"]))).map { (record[text: "name"], $0) }
        })

    static func privateKey(_ name: String) throws -> PrivateKey { try #require(keys[name]) }
}

extension Pair {
    /// How two ends with key pairs prove themselves.
    struct Method: Sendable, CustomTestStringConvertible {
        var number: PhaseOneMethod
        var authentication: AuthenticationMethod
        var left: String
        var right: String
        var isAggressive = false

        var testDescription: String { "\(number), \(isAggressive ? "Aggressive" : "Main") Mode" }

        static let all: [Method] =
            [false, true].flatMap { isAggressive in
                [
                    Method(
                        number: .rsaSignature, authentication: .publicKey(.init(.rsa)), left: "rsa-left",
                        right: "rsa-right"),
                    Method(
                        number: .dssSignature, authentication: .publicKey(.init(.dss)), left: "dsa-left",
                        right: "dsa-right"),
                    Method(
                        number: .ecdsa256, authentication: .publicKey(.init(.ecdsa)), left: "ecdsa-256-left",
                        right: "ecdsa-256-right"),
                    Method(
                        number: .ecdsa384, authentication: .publicKey(.init()), left: "ecdsa-384-left",
                        right: "ecdsa-384-right"),
                    Method(
                        number: .ecdsa521, authentication: .publicKey(.init()), left: "ecdsa-521-left",
                        right: "ecdsa-521-right"),
                    Method(
                        number: .rsaEncryption, authentication: .publicKeyEncryption, left: "rsa-left",
                        right: "rsa-right"),
                    Method(
                        number: .revisedRSAEncryption, authentication: .revisedPublicKeyEncryption, left: "rsa-left",
                        right: "rsa-right"),
                ].map { method in
                    var method = method
                    method.isAggressive = isAggressive
                    return method
                }
            }
        static let encryption = all.filter(\.number.isEncryption)
        static let signatures = all.filter { !$0.number.isEncryption }
    }

    /// Two ends that know each other's public keys.
    ///
    /// - Parameters:
    ///   - known: the name of the key that each side takes for the other's, where that is another than it has.
    ///   - seed: of the randomness of both.
    static func withKeys(
        _ method: Method, known: [Side: String] = [:], settings: EngineSettings = EngineSettings(), seed: UInt64 = 1,
        initiator change: (inout Connection) -> Void = { _ in },
        responder changeOther: (inout Connection) -> Void = { _ in }, others: [Connection] = []
    ) throws -> Pair {
        let keys = [try TestKeys.privateKey(method.left), try TestKeys.privateKey(method.right)]
        var connections = [connection(isLeft: true), connection(isLeft: false)]
        for side in Side.allCases {
            let index = side.rawValue
            connections[index].isAggressive = method.isAggressive
            connections[index].local[0].method = method.authentication
            connections[index].local[0].publicKeys = [keys[index].publicKey]
            connections[index].remote[0].method = method.authentication
            connections[index].remote[0].publicKeys = [
                try known[side].map { try TestKeys.privateKey($0).publicKey } ?? keys[1 - index].publicKey
            ]
        }
        change(&connections[0])
        changeOther(&connections[1])
        var pair = Pair(
            connections[0], connections[1], key: "", settings: settings, others: others, seed: seed)
        for side in Side.allCases {
            pair[side].credentials = CredentialStore(privateKeys: [keys[side.rawValue]])
        }
        return pair
    }
}
