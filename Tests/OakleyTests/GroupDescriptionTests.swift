import Cryptography
import Oakley
import Primitives
import Testing
import VectorSupport

/// Groups given in full: the check before use, and agreement in those that pass it.
@Suite struct GroupDescriptionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let description: GroupDescription
        let expect: String
        /// The x coordinate of a point of small order.
        let small: [UInt8]?
        var testDescription: String { name }
    }

    static let cases: [Case] = VectorFile("oakley-descriptions").records.map { record in
        func number(_ field: String) -> [UInt8]? {
            record[text: field].isEmpty ? nil : Array(record[field].drop { $0 == 0 })
        }
        let prime = number("prime") ?? []
        let kind = record[text: "kind"]
        let description: GroupDescription =
            kind == "modp"
            ? .modp(PrimeGroup.Parameters(prime: prime, generator: number("g") ?? [], order: number("order")))
            : .curve(
                EllipticCurve.Parameters(
                    field: kind == "ecp" ? .prime(prime) : .binary(prime), a: number("a") ?? [],
                    b: number("b") ?? [], x: number("x") ?? [], y: number("y"), order: number("order") ?? []))
        return Case(
            name: "\(kind): \(record[text: "name"])", description: description, expect: record[text: "expect"],
            small: number("small"))
    }

    private func defect(_ description: GroupDescription, _ limits: GroupLimits = .authenticated) -> String {
        var randomness = Randomness.seeded(11)
        do throws(GroupDefect) {
            _ = try description.checked(limits, &randomness)
            return "sound"
        } catch {
            switch error {
            case .size: return "size"
            default: return "\(error)"
            }
        }
    }

    @Test(arguments: cases) func hostileGroupsAreRefused(_ one: Case) {
        #expect(defect(one.description) == one.expect)
    }

    @Test func everyKindOfDefectIsTried() {
        let tried = Set(Self.cases.map(\.expect))
        #expect(
            tried == [
                "sound", "size", "notPrime", "notSafe", "notIrreducible", "compositeDegree", "outOfField", "singular",
                "generatorOffCurve", "generatorOrder", "order", "weakCurve",
            ])
        #expect(Self.cases.count >= 45)
    }

    @Test(arguments: cases.filter { $0.expect == "sound" }) func bothSidesAgree(_ one: Case) throws {
        var randomness = Randomness.seeded(12)
        let number = KeyExchangeID(rawValue: 40_000)
        var registry = GroupRegistry()
        try registry.add(number, one.description, .authenticated, &randomness)
        let octets = try #require(KeyDetermination.publicValueOctets(number, in: registry))
        let initiator = try KeyDetermination.generate(number, in: registry, &randomness)
        let responder = try KeyDetermination.generate(number, in: registry, &randomness)
        #expect(initiator.publicValue.count == octets && initiator.publicValue != responder.publicValue)
        let secret = try KeyDetermination.sharedSecret(initiator, peer: responder.publicValue)
        #expect(try KeyDetermination.sharedSecret(responder, peer: initiator.publicValue) == secret)
        #expect(registry[number]?.publicValueOctets == octets)
        // Values that are no elements of the group, or of small order.
        for wrong in [[], [UInt8](repeating: 0, count: octets), [UInt8](repeating: 0xff, count: octets)] {
            #expect(throws: OakleyError.invalidPublicValue(number)) {
                try KeyDetermination.sharedSecret(initiator, peer: wrong)
            }
        }
        if let small = one.small {  // (x, 0) has order two
            let width = octets / 2
            let point = [UInt8](repeating: 0, count: width - small.count) + small + [UInt8](repeating: 0, count: width)
            #expect(throws: OakleyError.invalidPublicValue(number)) {
                try KeyDetermination.sharedSecret(initiator, peer: point)
            }
        }
    }

    /// Twice the generator of secp256k1, as SEC 2's users know it by heart: the arithmetic is the curve's own.
    @Test func arithmeticIsThatOfTheDescription() throws {
        let sound = try #require(Self.cases.first { $0.name == "ecp: secp256k1" })
        guard case .curve(let parameters) = sound.description else { return #expect(Bool(false)) }
        var randomness = Randomness.seeded(1)
        let curve = try EllipticCurve.checked(parameters, .authenticated, &randomness)
        #expect(
            try curve.publicValue(Secret([2])).hex
                == "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5"
                + "1ae168fea63dc339a3c58419466ceaeef7f632653266d0e1236431a950cfe52a")
    }

    /// Every numbered group, given in full, is the same group.
    @Test func numberedGroupsInFull() throws {
        var randomness = Randomness.seeded(2)
        var count = 0
        for number: UInt16 in 1...32 {
            let group = KeyExchangeID(rawValue: number)
            guard let description = GroupDescription(group) else { continue }
            count += 1
            #expect(description.number == group)
            let checked = try description.checked(.authenticated, &randomness)
            let own = try KeyDetermination.generate(in: checked, labelled: group, &randomness)
            let other = try KeyDetermination.generate(group, &randomness)
            #expect(
                try KeyDetermination.sharedSecret(own, peer: other.publicValue)
                    == KeyDetermination.sharedSecret(other, peer: own.publicValue), "group \(number)")
        }
        #expect(count == 22)
        #expect(Self.cases.filter { $0.description.number != nil }.map(\.name) == ["ec2n: Oakley's third group"])
        #expect(GroupDescription(.curve25519) == nil && GroupDescription(.curve448) == nil)
    }

    /// A check of a large prime costs seconds: strangers do not get one.
    @Test func sizesAreBounded() throws {
        let large = try #require(GroupDescription(.modp8192))
        #expect(defect(large) == "sound")
        #expect(defect(large, .anybody) == "size")
        #expect(defect(try #require(GroupDescription(.modp768)), .anybody) == "size")
        #expect(defect(try #require(GroupDescription(.modp2048)), .anybody) == "sound")
        let long = [UInt8](repeating: 0xff, count: 5000)
        #expect(defect(.modp(PrimeGroup.Parameters(prime: long, generator: [2]))) == "size")
        #expect(
            defect(.modp(PrimeGroup.Parameters(prime: [UInt8](repeating: 0xff, count: 256), generator: long))) == "size"
        )
        #expect(
            defect(.curve(EllipticCurve.Parameters(field: .prime([7]), a: [], b: [1], x: [], order: long))) == "size")
    }
}

/// The attributes of RFC 2409 Appendix A.
@Suite struct GroupAttributeTests {
    @Test func descriptionsReadBack() throws {
        for one in GroupDescriptionTests.cases where one.expect != "size" {
            let others = [GroupAttribute(type: 1, number: [7]), GroupAttribute(type: 11, number: [0, 1])]
            let attributes = others + one.description.attributes
            #expect(try GroupDescription.read(attributes) == one.description, "\(one.name)")
            // Zeros in front are no part of a number.
            let padded = attributes.map { GroupAttribute(type: $0.type, number: [0, 0] + $0.number) }
            #expect(try GroupDescription.read(padded) == one.description, "\(one.name)")
        }
        #expect(try GroupDescription.read([GroupAttribute(type: 4, number: [0, 14])]) == nil)
        #expect(try GroupDescription.read([]) == nil)
    }

    /// RFC 2409 §6.3, attribute by attribute.
    @Test func thirdGroup() throws {
        func hexadecimal(_ text: String) throws -> [UInt8] { try #require([UInt8](hex: text)) }
        let attributes = [
            GroupAttribute(type: 5, number: [0, 3]), GroupAttribute(type: 15, number: [0, 155]),
            GroupAttribute(type: 6, number: try hexadecimal("0800000000000000000000004000000000000001")),
            GroupAttribute(type: 7, number: [0x7b]), GroupAttribute(type: 9, number: [0]),
            GroupAttribute(type: 10, number: [0x07, 0x33, 0x8f]),
            GroupAttribute(type: 16, number: try hexadecimal("0800000000000000000057db5698537193aef944")),
        ]
        let description = try #require(try GroupDescription.read(attributes))
        var randomness = Randomness.seeded(3)
        let checked = try description.checked(.authenticated, &randomness)
        #expect(checked.publicValueOctets == 20)
        let own = try KeyDetermination.generate(in: checked, labelled: .none, &randomness)
        let numbered = try KeyDetermination.generate(.ec2n155, &randomness)
        #expect(
            try KeyDetermination.sharedSecret(own, peer: numbered.publicValue)
                == KeyDetermination.sharedSecret(numbered, peer: own.publicValue))
    }

    @Test func whatDescribesNoGroupIsRefused() throws {
        let sound = try #require(GroupDescription(.modp1024)).attributes
        func failure(_ attributes: [GroupAttribute]) -> GroupDescriptionError? {
            do throws(GroupDescriptionError) {
                _ = try GroupDescription.read(attributes)
                return nil
            } catch {
                return error
            }
        }
        #expect(failure(sound) == nil)
        for type in [GroupAttribute.groupType, GroupAttribute.prime, GroupAttribute.generatorOne] {
            #expect(failure(sound.filter { $0.type != type }) == .missing(type))
        }
        #expect(failure(sound + [sound[1]]) == .malformed(6))
        #expect(failure(sound + [GroupAttribute(type: 15, number: [4, 1])]) == .malformed(15))
        #expect(failure(sound + [GroupAttribute(type: 15, number: [4, 0])]) == nil)
        #expect(failure(sound + [GroupAttribute(type: 15, number: [1, 0, 0, 0])]) == .malformed(15))
        #expect(failure(sound + [GroupAttribute(type: 9, number: [UInt8](repeating: 1, count: 1026))]) == .malformed(9))
        #expect(failure([GroupAttribute(type: 5, number: [9, 9])] + sound.dropFirst()) == .unknownType(0x0909))
        // A curve needs its equation and its order.
        let curve = try #require(GroupDescription(.ecp256)).attributes
        for type in [GroupAttribute.curveA, GroupAttribute.curveB, GroupAttribute.order] {
            #expect(failure(curve.filter { $0.type != type }) == .missing(type))
        }
        #expect(failure(curve.filter { $0.type != GroupAttribute.generatorTwo }) == nil)
    }
}

@Suite struct GroupRegistryTests {
    @Test func privateNumbersOnly() throws {
        var registry = GroupRegistry()
        var randomness = Randomness.seeded(4)
        let group = try #require(GroupDescription(.modp1024))
        let other = try #require(GroupDescription(.modp1536))
        for number: UInt16 in [0, 2, 14, 32_767] {
            let id = KeyExchangeID(rawValue: number)
            #expect(throws: GroupRegistry.Refusal.notPrivate(id)) {
                try registry.add(id, group, .authenticated, &randomness)
            }
        }
        let first = KeyExchangeID(rawValue: 32_768)
        #expect(!KeyDetermination.supports(first, in: registry))
        try registry.add(first, group, .authenticated, &randomness)
        try registry.add(first, group, .authenticated, &randomness)
        #expect(throws: GroupRegistry.Refusal.taken(first)) {
            try registry.add(first, other, .authenticated, &randomness)
        }
        #expect(registry.numbers == [first])
        #expect(KeyDetermination.supports(first, in: registry) && !KeyDetermination.supports(first))
        #expect(throws: OakleyError.unsupportedGroup(first)) { try KeyDetermination.generate(first, &randomness) }
        // The numbered groups are there with any registry.
        #expect(KeyDetermination.supports(.ecp256, in: registry))
        let own = try KeyDetermination.generate(first, in: registry, &randomness)
        let numbered = try KeyDetermination.generate(.modp1024, &randomness)
        #expect(
            try KeyDetermination.sharedSecret(own, peer: numbered.publicValue)
                == KeyDetermination.sharedSecret(numbered, peer: own.publicValue))
    }

    @Test func defectiveGroupsLeaveItAsItWas() throws {
        var registry = GroupRegistry()
        var randomness = Randomness.seeded(5)
        let number = KeyExchangeID(rawValue: 65_535)
        let bad = GroupDescription.modp(
            PrimeGroup.Parameters(prime: [UInt8](repeating: 0xff, count: 128), generator: [2]))
        #expect(throws: GroupRegistry.Refusal.defective(.notPrime)) {
            try registry.add(number, bad, .authenticated, &randomness)
        }
        #expect(registry.numbers.isEmpty && registry[number] == nil)
    }

    @Test func aPeerDefinesOnlySoMany() throws {
        var registry = GroupRegistry()
        var randomness = Randomness.seeded(6)
        let group = try #require(GroupDescription(.ecp256))
        for number in 0..<GroupRegistry.maximumGroups {
            let id = KeyExchangeID(rawValue: 50_000 + UInt16(number))
            try registry.add(id, group, .authenticated, &randomness)
        }
        #expect(throws: GroupRegistry.Refusal.full) {
            try registry.add(KeyExchangeID(rawValue: 60_000), group, .authenticated, &randomness)
        }
        #expect(registry.numbers.count == GroupRegistry.maximumGroups)
    }
}
