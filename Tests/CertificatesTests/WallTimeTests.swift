import Primitives
import Testing

@Suite struct WallTimeTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00Z"), (951_782_400, "2000-02-29T00:00:00Z"), (1_780_315_200, "2026-06-01T12:00:00Z"),
        (-1, "1969-12-31T23:59:59Z"), (4_107_542_399, "2100-02-28T23:59:59Z"), (4_107_542_400, "2100-03-01T00:00:00Z"),
        (253_402_300_799, "9999-12-31T23:59:59Z"), (-62_135_596_800, "0001-01-01T00:00:00Z"),
    ]) func daysAndSeconds(_ seconds: Int64, _ text: String) {
        let time = WallTime(seconds: seconds)
        #expect(time.description == text)
        let parts = time.components
        #expect(
            WallTime(
                year: parts.year, month: parts.month, day: parts.day, hours: parts.hours, minutes: parts.minutes,
                seconds: parts.seconds) == time)
    }

    @Test func everyDayFollowsTheOneBefore() {
        var previous = WallTime(year: 1899, month: 12, day: 31)!
        for year in 1900...2101 {
            for month in 1...12 {
                for day in 1...31 {
                    guard let time = WallTime(year: year, month: month, day: day) else { continue }
                    #expect(time.seconds == previous.seconds + 86_400)
                    previous = time
                }
            }
        }
    }

    @Test func thereAreNoSuchDays() {
        #expect(WallTime(year: 2100, month: 2, day: 29) == nil)
        #expect(WallTime(year: 2026, month: 13, day: 1) == nil)
        #expect(WallTime(year: 2026, month: 4, day: 31) == nil)
        #expect(WallTime(year: 2026, month: 4, day: 3, hours: 24) == nil)
    }
}
