/// A moment of the calendar, in seconds from 1970-01-01T00:00:00Z without leap seconds. What certificates speak of;
/// everything else measures with ``Instant``. There is no way to ask for "now" here: time is handed in.
package struct WallTime: Hashable, Comparable, Sendable {
    package var seconds: Int64

    package init(seconds: Int64) { self.seconds = seconds }

    /// A moment in UTC; `nil` where there is no such day or time. A second 60 counts as the next minute's first.
    package init?(year: Int, month: Int, day: Int, hours: Int = 0, minutes: Int = 0, seconds: Int = 0) {
        guard (0...9999).contains(year), (1...12).contains(month),
            (1...WallTime.days(ofMonth: month, year: year)).contains(day), (0...23).contains(hours),
            (0...59).contains(minutes), (0...60).contains(seconds)
        else { return nil }
        let days = Int64(WallTime.days(before: year)) + Int64(WallTime.days(before: month, of: year) + day - 1)
        self.seconds = days * 86_400 + Int64(hours * 3600 + minutes * 60 + seconds)
    }

    package static func < (left: WallTime, right: WallTime) -> Bool { left.seconds < right.seconds }

    package static func + (time: WallTime, duration: Duration) -> WallTime {
        WallTime(seconds: time.seconds &+ duration.wholeSeconds)
    }

    private static func isLeap(_ year: Int) -> Bool {
        year.isMultiple(of: 4) && (!year.isMultiple(of: 100) || year.isMultiple(of: 400))
    }

    private static func days(ofMonth month: Int, year: Int) -> Int {
        switch month {
        case 2: isLeap(year) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    private static func days(before month: Int, of year: Int) -> Int {
        (1..<month).reduce(0) { $0 + days(ofMonth: $1, year: year) }
    }

    /// Days from 1970 to the first of January.
    private static func days(before year: Int) -> Int {
        func leapYears(_ year: Int) -> Int { year / 4 - year / 100 + year / 400 }
        let leap = year > 0 ? leapYears(year - 1) + 1 : 0
        return year * 365 + leap - (1970 * 365 + leapYears(1969) + 1)
    }

    /// Year, month, day, hours, minutes and seconds in UTC; years outside of 0 to 9999 come as these.
    package var components: (year: Int, month: Int, day: Int, hours: Int, minutes: Int, seconds: Int) {
        let earliest = Int64(WallTime.days(before: 0)) * 86_400
        let latest = Int64(WallTime.days(before: 10_000)) * 86_400 - 1
        let clamped = min(max(seconds, earliest), latest)
        var days = Int(clamped >= 0 ? clamped / 86_400 : (clamped - 86_399) / 86_400)
        let rest = Int(clamped - Int64(days) * 86_400)
        var year = min(max(1970 + days / 366, 0), 9999)
        while year < 9999, WallTime.days(before: year + 1) <= days { year += 1 }
        while year > 0, WallTime.days(before: year) > days { year -= 1 }
        days -= WallTime.days(before: year)
        var month = 1
        while days >= WallTime.days(ofMonth: month, year: year) {
            days -= WallTime.days(ofMonth: month, year: year)
            month += 1
        }
        return (year, month, days + 1, rest / 3600, rest / 60 % 60, rest % 60)
    }
}

extension WallTime: CustomStringConvertible {
    /// `2026-11-27T08:00:00Z`.
    package var description: String {
        func padded(_ value: Int, _ digits: Int = 2) -> String {
            String(repeating: "0", count: max(0, digits - String(value).count)) + String(value)
        }
        let (year, month, day, hours, minutes, seconds) = components
        return
            "\(padded(year, 4))-\(padded(month))-\(padded(day))T\(padded(hours)):\(padded(minutes)):\(padded(seconds))Z"
    }
}
