import Cryptography
import ISAKMP
import Oakley
import Testing

@testable import IKEv1

/// Groups in full within a transform (RFC 2409 §5.6, Appendix A).
@Suite struct TransformGroupTests {
    @Test(arguments: [KeyExchangeID.modp1024, .modp1024s160, .ec2n155, .ecp256, .brainpool384])
    func descriptionsTravelInTransforms(_ number: KeyExchangeID) throws {
        let description = try #require(GroupDescription(number))
        let transform = TransformPayload(
            number: 1, identifier: 1, attributes: [DataAttribute(4, 40_000)] + description.dataAttributes)
        let read = try #require(try GroupDescription.read(transform))
        #expect(read == description && read.number == number)
        #expect(transform.attribute(5)?.isBasic == true)
        #expect(transform.attribute(6)?.isBasic == false)
    }

    /// A peer may send a short number in the basic form.
    @Test func shortNumbersMayBeBasic() throws {
        let description = try #require(GroupDescription(.modp1024))
        var attributes = description.dataAttributes
        for index in attributes.indices where attributes[index].type == 7 { attributes[index] = DataAttribute(7, 2) }
        let transform = TransformPayload(number: 1, identifier: 1, attributes: attributes)
        #expect(try GroupDescription.read(transform) == description)
    }

    @Test func otherTransformsDescribeNone() throws {
        let transform = TransformPayload(number: 1, identifier: 1, attributes: [DataAttribute(4, 14)])
        #expect(try GroupDescription.read(transform) == nil)
        let half = TransformPayload(number: 1, identifier: 1, attributes: [DataAttribute(5, 1)])
        #expect(throws: GroupDescriptionError.missing(6)) { try GroupDescription.read(half) }
    }
}
