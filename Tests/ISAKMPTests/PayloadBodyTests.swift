import ISAKMP
import Primitives
import Testing

/// Every payload of RFC 2408 §3.4 to §3.16 and of RFC 3947 as a value and back.
@Suite struct PayloadBodyTests {
    static let bodies: [(PayloadType, PayloadBody, [UInt8])] = [
        (
            .securityAssociation,
            .securityAssociation(
                SecurityAssociationPayload(
                    GenericDOI.self, situation: [],
                    proposals: [ProposalPayload(number: 1, protocolID: 1, spi: [], transforms: [])])),
            [0, 0, 0, 0, 0, 0, 0, 8, 1, 1, 0, 0]
        ),
        (.keyExchange, .keyExchange([1, 2, 3]), [1, 2, 3]),
        (
            .identification, .identification(IdentificationPayload(type: 2, specific: [17, 1, 0xF4], data: [0x61])),
            [2, 17, 1, 0xF4, 0x61]
        ),
        (.certificate, .certificate(EncodedCertificate(encoding: 4, data: [9, 8])), [4, 9, 8]),
        (.certificateRequest, .certificateRequest(EncodedCertificate(encoding: 4, data: [])), [4]),
        (.hash, .hash([5]), [5]), (.signature, .signature([6]), [6]), (.nonce, .nonce([7]), [7]),
        (
            .notification,
            .notification(NotificationPayload(doi: 1, protocolID: 3, spi: [1, 2], type: 14, data: [3])),
            [0, 0, 0, 1, 3, 2, 0, 14, 1, 2, 3]
        ),
        (
            .delete, .delete(DeletePayload(doi: 1, protocolID: 3, spis: [[1, 2], [3, 4]])),
            [0, 0, 0, 1, 3, 2, 0, 2, 1, 2, 3, 4]
        ),
        (.vendorID, .vendorID([0xAA]), [0xAA]), (.natDiscovery, .natDiscovery([0xBB]), [0xBB]),
        (
            .natOriginalAddress, .natOriginalAddress(OriginalAddress(IPAddress(v4: 0xC000_0201))),
            [1, 0, 0, 0, 192, 0, 2, 1]
        ),
    ]

    @Test(arguments: bodies) func isReadAndWritten(_ example: (PayloadType, PayloadBody, [UInt8])) throws {
        #expect(example.1.payload == Payload(example.0, body: example.2))
        let read = try PayloadBody(parsing: Payload(example.0, body: example.2), GenericDOI.self)
        #expect(read == example.1)
    }

    @Test func everyTypeOfTheFrameworkIsOneOfThem() {
        let inner: Set<PayloadType> = [.proposal, .transform]
        let framework = PayloadType.all.map(\.type).filter { (1...13).contains($0.rawValue) }
        #expect(Set(Self.bodies.map(\.0)).isSuperset(of: Set(framework).subtracting(inner)))
    }

    @Test func brokenBodiesAreRefused() throws {
        // The fixed part of each, cut short.
        let cut: [(PayloadType, [UInt8])] = [
            (.securityAssociation, [0, 0, 0]), (.identification, [1, 0]), (.certificate, []), (.certificateRequest, []),
            (.notification, [0, 0, 0, 1, 3, 2, 0, 14, 1]), (.delete, [0, 0, 0, 1, 3, 4, 0, 2, 1, 2]),
            (.delete, [0, 0, 0, 1, 3, 0, 0, 1]), (.natOriginalAddress, [1, 0, 0, 0, 192, 0, 2]),
            (.natOriginalAddress, [5, 0, 0, 0, 192, 0, 2, 1]), (.natOriginalAddress, [1, 0, 0, 1, 192, 0, 2, 1]),
        ]
        for (type, body) in cut {
            #expect(throws: ParseError.self, "\(type) \(body)") {
                try PayloadBody(parsing: Payload(type, body: body), GenericDOI.self)
            }
        }
        #expect(try PayloadBody(parsing: Payload(PayloadType(rawValue: 200), body: [1]), GenericDOI.self) == nil)
    }
}
