import Testing

@testable import RADIUS

/// Which attributes of an Access-Accept name groups of the user's.
@Suite struct GroupAttributeTests {
    private func groups(_ attributes: [RADIUSAttribute], classes: Bool = false, filters: Bool = false) -> [String] {
        var settings = RADIUSSettings()
        (settings.takesClassGroups, settings.takesFilterGroups) = (classes, filters)
        return settings.groups(in: RADIUSPacket(.accessAccept, identifier: 1, attributes))
    }

    private func text(_ kind: RADIUSAttribute.Kind, _ text: String) -> RADIUSAttribute {
        RADIUSAttribute(kind, Array(text.utf8))
    }

    @Test func classesAreGroups() {
        let said = [
            text(.classText, "staff"), text(.classText, "guests"), text(.classText, "staff"),
            text(.classText, String(repeating: "x", count: 44)), RADIUSAttribute(.classText, [0, 1]),
            text(.filterID, "filter"),
        ]
        #expect(groups(said, classes: true) == ["staff", "guests"])
        #expect(groups(said) == [] && groups(said, filters: true) == [])
    }

    /// Tunnel-Type has a tag in its first octet.
    @Test(arguments: [UInt32(9), 0x0100_0009, 3, 13]) func aFilterIsAGroupOfATunnel(type: UInt32) {
        let said = [RADIUSAttribute(.tunnelType, type), text(.filterID, "filter"), text(.classText, "staff")]
        let isESP = type & 0xFF == 9
        #expect(groups(said, filters: true) == (isESP ? ["filter"] : []))
        #expect(groups(said, classes: true, filters: true) == ["staff"] + (isESP ? ["filter"] : []))
    }
}
