import Capture
import Foundation
import Primitives
import Testing

/// Damaged capture files: whatever a header says, nothing crashes, hangs or grows, and what is wrong has a place.
@Suite struct BadCaptureTests {
    private static let captures: [(name: String, octets: [UInt8])] = {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Captures")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path())) ?? []
        return names.sorted().filter { $0.contains(".pcap") }.compactMap { name in
            (try? Data(contentsOf: folder.appending(path: name))).map { (name, Array($0)) }
        }
    }()

    /// Reads a capture as `parley decode` does and holds the result to what the file can hold.
    private func isBounded(_ octets: [UInt8]) -> Bool {
        let file: CaptureFile
        do {
            file = try CaptureFile(octets)
        } catch {
            return (0...octets.count).contains(error.offset)
        }
        let packets = PacketReader.packets(of: file)
        return file.frames.reduce(0) { $0 + $1.octets.count } <= octets.count
            && 12 * file.frames.count <= octets.count && packets.count == file.frames.count
            && file.frames.allSatisfy { $0.missing >= 0 }
            && file.problem.map { (0...octets.count).contains($0.offset) } != false
    }

    @Test func bothFormatsAreThere() {
        #expect(BadCaptureTests.captures.count >= 15)
        #expect(BadCaptureTests.captures.contains { $0.octets.starts(with: [0x0A, 0x0D, 0x0D, 0x0A]) })
        #expect(BadCaptureTests.captures.allSatisfy { isBounded($0.octets) })
    }

    /// The file's own header, the first block's or record's, and the headers of the packet in it.
    @Test func everyBitFlipOfTheFirstBlocksIsBorne() {
        for (name, octets) in BadCaptureTests.captures {
            let isNG = octets.starts(with: [0x0A, 0x0D, 0x0D, 0x0A])
            let first = Array(octets.prefix(1500))
            for index in first.indices.prefix(isNG ? 400 : 24 + 16 + 60) {
                for bit in 0..<8 {
                    var damaged = first
                    damaged[index] ^= 1 << UInt8(bit)
                    if !isBounded(damaged) { Issue.record("\(name): bit \(bit) of octet \(index)") }
                }
            }
        }
    }

    @Test func everyTruncationIsBorne() {
        for (name, octets) in BadCaptureTests.captures {
            for count in 0..<min(octets.count, 600) where !isBounded(Array(octets[..<count])) {
                Issue.record("\(name) cut to \(count)")
            }
        }
    }

    /// Lengths at their limits, in every word of the first blocks.
    @Test(arguments: [UInt32.max, 0x8000_0000, 0x7FFF_FFFF, 0x0004_0000, 0x0004_0001, 1, 0])
    func everyWordMayBeExtreme(_ word: UInt32) {
        for (name, octets) in BadCaptureTests.captures {
            for index in stride(from: 0, to: min(octets.count, 200) - 4, by: 4) {
                for isLittle in [false, true] {
                    var damaged = octets
                    damaged.overwrite(bigEndian: isLittle ? word.byteSwapped : word, at: index)
                    if !isBounded(damaged) { Issue.record("\(name): \(word) at octet \(index)") }
                }
            }
        }
    }

    /// A block whose two lengths differ has lost its way, and the next one would be read from the wrong place.
    @Test func theLengthsOfABlockAgree() throws {
        let octets = try #require(BadCaptureTests.captures.first { $0.name.hasSuffix("pcapng") }?.octets)
        #expect(try CaptureFile(octets).problem == nil)
        let length = octets[4..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
        var damaged = octets
        damaged[length - 4] ^= 4
        let problem = try #require(try CaptureFile(damaged).problem)
        #expect(problem.offset == length - 4)
        #expect("\(problem)".contains("a block ends with the length that it begins with"))
    }
}
