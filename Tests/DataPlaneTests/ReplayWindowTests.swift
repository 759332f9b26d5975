import DataPlane
import Primitives
import Testing

/// Expectations cannot hold a value that cannot be copied; this reference they can.
private final class Window {
    private var window: ReplayWindow
    init(packets: Int, extended: Bool) { window = ReplayWindow(packets: packets, extended: extended) }
    var packets: Int { window.packets }
    var top: UInt64 { window.top }
    func accepts(_ sequence: UInt64) -> Bool { window.accepts(sequence) }
    func sequence(low: UInt32) -> UInt64? { window.sequence(low: low) }
    func insert(_ sequence: UInt64) { window.insert(sequence) }
}

/// The window by its definition (RFC 4303 §3.4.3): a set of what was seen.
private struct NaiveWindow {
    let packets: Int
    var seen: Set<UInt64> = []
    var top: UInt64 = 0

    func accepts(_ sequence: UInt64) -> Bool {
        if sequence == 0 { return false }
        if packets == 0 || sequence > top { return true }
        return top - sequence < UInt64(packets) && !seen.contains(sequence)
    }

    mutating func insert(_ sequence: UInt64) {
        seen.insert(sequence)
        top = max(top, sequence)
    }
}

@Suite struct ReplayWindowTests {
    @Test(
        arguments: [0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 1000, 2048, 4095, 4096, 65_535, 65_536], [false, true])
    func agreesWithTheNaiveModel(packets: Int, extended: Bool) {
        var random = SeededGenerator(seed: UInt64(packets))
        let window = Window(packets: packets, extended: extended)
        var naive = NaiveWindow(packets: packets)
        // Start below 2^32, so that extended numbers cross it.
        var near: UInt64 = extended ? 1 << 32 - 3000 : 1
        if extended {
            // An extended window follows its own numbers from 0; walk it there in steps it can infer.
            var position: UInt64 = 0
            while position + 1 << 30 < near {
                position += 1 << 30
                window.insert(position)
                naive.insert(position)
            }
        }
        for _ in 0..<20_000 {
            switch random.next() % 16 {
            case 0: near &+= random.next() % UInt64(2 * max(packets, 1) + 130)
            case 1: near &+= random.next() % 64
            default: near &+= 1
            }
            let back = random.next() % UInt64(packets + 70)
            let sequence = near > back ? near - back : near
            let accepted = window.accepts(sequence)
            let top = window.top
            #expect(accepted == naive.accepts(sequence), "\(sequence) with top \(top)")
            if naive.accepts(sequence) {
                window.insert(sequence)
                naive.insert(sequence)
            }
            let newTop = window.top
            #expect(newTop == naive.top)
        }
    }

    @Test func cutsSizesToTheMaximum() {
        let largest = Window(packets: 100_000, extended: false).packets
        let smallest = Window(packets: -1, extended: false).packets
        #expect(largest == 65_536)
        #expect(smallest == 0)
    }

    @Test func doesNotMoveOnACheck() {
        let window = Window(packets: 64, extended: false)
        window.insert(5)
        #expect(window.accepts(1_000_000))
        let top = window.top
        #expect(top == 5)
        #expect(window.accepts(4))
        #expect(!window.accepts(5))
        #expect(!window.accepts(0))
    }

    @Test func clearsAWholeRingOnALongJump() {
        let window = Window(packets: 64, extended: false)
        for sequence in 1...64 { window.insert(UInt64(sequence)) }
        window.insert(64 + 1 << 20)
        for sequence in UInt64(1 << 20 + 1)..<(64 + 1 << 20) { #expect(window.accepts(sequence)) }
        #expect(!window.accepts(1 << 20))
    }

    @Test func numbersWithoutExtensionAreTheirLowHalf() {
        let window = Window(packets: 64, extended: false)
        #expect(window.sequence(low: 0) == nil)
        #expect(window.sequence(low: 7) == 7)
        #expect(window.sequence(low: .max) == UInt64(UInt32.max))
    }

    /// RFC 4303 Appendix A2.2, both cases.
    @Test func infersTheHighHalf() {
        let window = Window(packets: 64, extended: true)
        #expect(window.sequence(low: 0) == nil)
        #expect(window.sequence(low: .max) == nil, "before the first subspace")
        #expect(window.sequence(low: 1) == 1)
        window.insert(0xFFFF_FFF0)
        #expect(window.sequence(low: 0xFFFF_FFB1) == 0xFFFF_FFB1, "the window's last number")
        #expect(window.sequence(low: 0xFFFF_FFB0) == 0x1_FFFF_FFB0, "below the window is the next subspace")
        #expect(window.sequence(low: 3) == 0x1_0000_0003)
        window.insert(0x1_0000_0003)
        #expect(window.sequence(low: 0xFFFF_FFF1) == 0xFFFF_FFF1, "the window reaches back")
        #expect(window.sequence(low: 0xFFFF_FFC4) == 0xFFFF_FFC4)
        #expect(window.sequence(low: 0xFFFF_FFC3) == 0x1_FFFF_FFC3)
        #expect(!window.accepts(0xFFFF_FFF0))
        window.insert(.max - 10)
        #expect(window.sequence(low: 5) == nil, "past the last subspace")
    }

    @Test func guessesTheNearerHalfWithoutAWindow() {
        let window = Window(packets: 0, extended: true)
        window.insert(0xFFFF_FFF0)
        #expect(window.sequence(low: 5) == 0x1_0000_0005)
        #expect(window.sequence(low: 0x9000_0000) == 0x9000_0000)
        #expect(window.accepts(0xFFFF_FFF0))
    }
}
