import DataPlane
import Testing

/// RFC 9329 §3 and §4.
@Suite struct StreamFramingTests {
    /// All steps that `octets` give when they come in pieces of `piece`, and the frames' contents.
    private func read(
        _ octets: [UInt8], piece: Int, fromOriginator: Bool
    ) -> (frames: [[UInt8]], isBroken: Bool, rest: Int) {
        var framing = StreamFraming(fromOriginator: fromOriginator)
        var (waiting, frames): ([UInt8], [[UInt8]]) = ([], [])
        for start in stride(from: 0, to: octets.count, by: piece) {
            waiting += octets[start..<min(octets.count, start + piece)]
            reading: while true {
                let step = waiting.withUnsafeBytes { buffer -> StreamFraming.Step in
                    guard let base = buffer.baseAddress else { return .incomplete }
                    return framing.next(base, count: buffer.count)
                }
                switch step {
                case .prefix(let count): waiting.removeFirst(count)
                case .frame(let count):
                    frames.append(Array(waiting[2..<count]))
                    waiting.removeFirst(count)
                case .incomplete: break reading
                case .broken: return (frames, true, waiting.count)
                }
            }
        }
        return (frames, false, waiting.count)
    }

    @Test(arguments: [1, 2, 3, 5, 7, 1000], [true, false])
    func framesComeWholeHoweverTheStreamIsCut(piece: Int, fromOriginator: Bool) {
        let stream: [UInt8] =
            (fromOriginator ? Array("IKETCP".utf8) : []) + [0, 7, 0, 0, 0, 0, 9] + [0, 2] + [0, 5, 1, 2, 3] + [0, 9, 1]
        let (frames, isBroken, rest) = read(stream, piece: piece, fromOriginator: fromOriginator)
        #expect(frames == [[0, 0, 0, 0, 9], [], [1, 2, 3]])
        #expect(!isBroken)
        #expect(rest == 3)
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n", "IKETCQ", "X", "IKE\0"])
    func anythingButThePrefixBreaksAtOnce(text: String) {
        #expect(read(Array(text.utf8), piece: 1, fromOriginator: true).isBroken)
    }

    @Test(arguments: [UInt8(0), 1])
    func lengthsBelowTheirOwnSizeBreak(length: UInt8) {
        #expect(read([0, length, 5, 5, 5], piece: 5, fromOriginator: false).isBroken)
        #expect(read([0, 3, 5, 0, length, 5], piece: 1, fromOriginator: false).frames == [[5]])
        #expect(read([0, 3, 5, 0, length, 5], piece: 1, fromOriginator: false).isBroken)
    }

    @Test func theLongestFramePasses() {
        let body = [UInt8](repeating: 7, count: 65_533)
        let (frames, isBroken, rest) = read([0xFF, 0xFF] + body, piece: 4096, fromOriginator: false)
        #expect(frames == [body])
        #expect(!isBroken)
        #expect(rest == 0)
    }
}
