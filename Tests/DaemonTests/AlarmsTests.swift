import Primitives
import Testing

@testable import Daemon

/// What the control loop calls later.
@Suite struct AlarmsTests {
    private final class Rung { var numbers: [Int] = [] }

    private func at(_ seconds: Int) -> Instant { Instant(nanoseconds: Int64(seconds) * 1_000_000_000) }

    @Test func alarmsRingByTimeAndThenByAge() {
        var alarms = Alarms()
        let rung = Rung()
        for second in [5, 1, 9, 5, 3, 7, 1, 2, 8, 4] {
            let count = alarms.count
            _ = alarms.set(at: at(second)) { rung.numbers.append(second * 10 + count) }
        }
        #expect(alarms.earliest == at(1) && alarms.count == 10)
        while let ring = alarms.takeDue(at: at(5)) { ring() }
        #expect(rung.numbers == [11, 16, 27, 34, 49, 50, 53])
        #expect(alarms.earliest == at(7) && alarms.count == 3)
        while let ring = alarms.takeDue(at: at(100)) { ring() }
        #expect(rung.numbers.suffix(3) == [75, 88, 92])
        #expect(alarms.earliest == nil && alarms.count == 0 && alarms.keptCount == 0)
    }

    @Test func cancelledAlarmsNeitherRingNorPileUp() {
        var alarms = Alarms()
        let rung = Rung()
        var numbers: [UInt64] = []
        for second in 1...1000 {
            let number = alarms.set(at: at(second)) { rung.numbers.append(second) }
            numbers.append(number)
        }
        for (index, number) in numbers.enumerated() where index % 100 != 42 { alarms.cancel(number) }
        #expect(alarms.count == 10 && alarms.keptCount <= 64 && alarms.earliest == at(43))
        alarms.cancel(numbers[42])
        #expect(alarms.earliest == at(143))
        while let ring = alarms.takeDue(at: at(10_000)) { ring() }
        #expect(rung.numbers == (1..<10).map { $0 * 100 + 43 })
    }
}
