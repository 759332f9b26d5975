import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// What a client of version 1 does between the phases: its user's name and password, and an address.
extension ISAKMPClient {
    /// Extended Authentication as racoon answers it: what was asked for, in that order.
    ///
    /// - Parameter said: what the gateway said once phase 1 was over: it asks.
    /// - Returns: STATUS.
    mutating func authenticate(
        _ said: [Exchanged], user: String, password: String, _ gateway: inout Gateway
    ) throws -> UInt64 {
        let question = try #require(said.first, "the gateway asks who the user is")
        let asked = try #require(question.attributes)
        #expect(said.count == 1 && asked.type == .request)
        let answers = asked.attributes.map { attribute in
            switch attribute.type {
            case ConfigurationAttribute.xauthUserName:
                DataAttribute(attribute.type, octets: Array(user.utf8))
            case ConfigurationAttribute.xauthUserPassword:
                DataAttribute(attribute.type, octets: Array(password.utf8))
            default: attribute
            }
        }
        let verdict = try #require(try reply(to: question, .reply, answers, &gateway).first, "the gateway judges")
        guard verdict.attributes?.type == .set else { throw ISAKMPFault.silence(1, gateway.refusals) }
        let status = try #require(verdict.attributes?.attributes.first)
        #expect(status.type == ConfigurationAttribute.xauthStatus)
        _ = try reply(
            to: verdict, .acknowledge, [DataAttribute(status.type, octets: [])], &gateway)
        return try #require(status.number)
    }

    /// Asks for an address and whatever else belongs to it.
    ///
    /// - Parameter version: what the client calls itself (APPLICATION_VERSION); `nil`: it asks only for the gateway's.
    mutating func configure(
        _ types: [UInt16], version: String? = nil, _ gateway: inout Gateway
    ) throws -> (address: IPAddress, reply: AttributesPayload) {
        let asked = types.map { type in
            let text = type == ConfigurationAttribute.applicationVersion ? version : nil
            return DataAttribute(type, octets: Array((text ?? "").utf8))
        }
        let reply = try request(asked, &gateway)
        let given = reply.attributes.filter { $0.type == ConfigurationAttribute.ip4Address }
        #expect(given.count == 1)
        return (try #require(given.first.flatMap { IPAddress(octets: $0.value) }), reply)
    }
}

/// Bodies of identification payloads as clients write them (RFC 2407 §4.6.2).
enum WireIdentity {
    /// An address, with a protocol and a port.
    static func address(_ address: IPAddress, ipProtocol: UInt8 = 0, port: UInt16 = 0) -> [UInt8] {
        [1, ipProtocol, UInt8(port >> 8), UInt8(port & 0xFF)] + address.octets
    }
    /// racoon names UDP and IKE's port in phase 1.
    static func racoon(_ kind: UInt8, _ data: [UInt8]) -> [UInt8] { [kind, 17, 0x01, 0xF4] + data }
    static func name(_ name: String, ipProtocol: UInt8, port: UInt16) -> [UInt8] {
        [2, ipProtocol, UInt8(port >> 8), UInt8(port & 0xFF)] + Array(name.utf8)
    }
    static let everything: [UInt8] = [4, 0, 0, 0] + [UInt8](repeating: 0, count: 8)
    static func network(_ network: Prefix) -> [UInt8] { [4, 0, 0, 0] + network.address.octets + network.mask.octets }
}
