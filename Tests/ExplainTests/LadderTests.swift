import Explain
import IPsec
import Primitives
import Testing

@Suite struct LadderTests {
    private func trace(isOutgoing: Bool, exchange: UInt8, flags: UInt8, parts: [MessageTrace.Part]) -> MessageTrace {
        MessageTrace(
            isOutgoing: isOutgoing, local: Endpoint(IPAddress(v4: 0x0A00_0001), port: 500),
            remote: Endpoint(IPAddress(v4: 0x0A00_0002), port: 500),
            header: [UInt8](repeating: 1, count: 16) + [parts[0].type, 0x20, exchange, flags, 0, 0, 0, 1, 0, 0, 0, 99],
            parts: parts)
    }

    @Test func everyPayloadHasItsDeedAndThePartItBelongsTo() {
        let lines = Ladder.lines([
            trace(
                isOutgoing: true, exchange: 34, flags: 8,
                parts: [
                    MessageTrace.Part(
                        type: 34, body: [0, 31, 0, 0] + [UInt8](repeating: 7, count: 32), isProtected: false)
                ]),
            trace(
                isOutgoing: false, exchange: 35, flags: 0x20,
                parts: [MessageTrace.Part(type: 36, body: [2, 0, 0, 0] + Array("right".utf8), isProtected: true)]),
        ])
        #expect(lines[0].hasPrefix("10.0.0.1[500]") && lines[0].hasSuffix("10.0.0.2[500]"))
        #expect(lines.contains { $0.contains("IKE_SA_INIT request 1") && $0.hasSuffix(">|") })
        #expect(lines.contains { $0.contains("KE") && $0.contains("Oakley") && $0.contains("group 31, 32 octets") })
        #expect(lines.contains { $0.contains("IKE_AUTH response 1") && $0.hasPrefix("|<") })
        #expect(lines.contains { $0.contains("{IDr}") && $0.contains("the responder is right") })
        #expect(Set(lines.dropFirst().map(\.count)).count == 1, "the rails stand in line")
    }

    @Test func nothingMakesNoLadder() {
        #expect(Ladder.lines([]).isEmpty)
    }
}
