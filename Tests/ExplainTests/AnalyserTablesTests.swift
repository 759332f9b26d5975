import Cryptography
import Explain
import IPsec
import Primitives
import Testing

/// Lines of Wireshark's tables. That tshark reads them is shown beside a real recording.
@Suite struct AnalyserTablesTests {
    private func association(
        _ encryption: Encryption, _ integrity: IntegrityID?, _ securityProtocol: SecurityProtocol = .esp
    ) -> SecurityAssociation {
        SecurityAssociation(
            direction: .inbound, child: ChildID(1), name: "net", requestID: 1, spi: SPI(0x1234),
            securityProtocol: securityProtocol, local: Endpoint(IPAddress("192.0.2.1")!, port: 4500),
            remote: Endpoint(IPAddress("198.51.100.2")!, port: 4500), udpEncapsulation: true,
            suite: Suite(encryption: encryption, integrity: integrity),
            keys: KeyMaterial(encryption: Secret([1, 2, 3]), integrity: integrity.map { _ in Secret([0xab]) }),
            localSelectors: [], remoteSelectors: [], replayWindowPackets: 32)
    }

    private func packets(
        _ encryption: Encryption, _ integrity: IntegrityID?, _ securityProtocol: SecurityProtocol = .esp
    ) -> (table: AnalyserTables.Table, text: String)? {
        PacketKeys(association(encryption, integrity, securityProtocol)).flatMap { AnalyserTables.line($0) }
    }

    @Test func anInboundSAComesFromThePeer() throws {
        let line = try #require(packets(Encryption(.aesCBC, keyBits: 128), .hmacSHA256_128))
        #expect(line.table == .esp)
        #expect(
            line.text
                == #""IPv4","198.51.100.2","192.0.2.1","0x00001234","AES-CBC [RFC3602]","0x010203","HMAC-SHA-256-128 [RFC4868]","0xab""#
        )
    }

    @Test func whatTheTablesCannotNameIsLeftOut() {
        #expect(packets(Encryption(.chacha20Poly1305), nil) == nil)
        #expect(packets(Encryption(.null), .hmacSHA256_128, .ah) == nil)
        #expect(packets(Encryption(.aesCBC, keyBits: 128), .aesXCBC_96) == nil)
    }
}
