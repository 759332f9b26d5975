import ISAKMP
import Oakley

extension GroupAttribute {
    /// The attribute as a transform carries it: numbers that may be long in the variable form, type and size in the basic
    /// one (RFC 2409 Appendix A).
    var dataAttribute: DataAttribute {
        guard GroupAttribute.isBasic(type) else { return DataAttribute(type, octets: number) }
        return DataAttribute(type, number.suffix(2).reduce(0) { $0 << 8 | UInt16($1) })
    }
}

extension GroupDescription {
    /// The attributes of a transform that describe the group, for an SA payload of New Group Mode (RFC 2409 §5.6).
    var dataAttributes: [DataAttribute] { attributes.map(\.dataAttribute) }

    /// The group among a transform's attributes; `nil` where none of them describes one.
    static func read(_ transform: TransformPayload) throws(GroupDescriptionError) -> GroupDescription? {
        try read(transform.attributes.map { GroupAttribute(type: $0.type, number: $0.value) })
    }
}
