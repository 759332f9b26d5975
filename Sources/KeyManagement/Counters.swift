/// Counters that key management keeps about messages which no SA accounts for.
package struct KeyManagerCounters: Hashable, Sendable {
    package var malformed: UInt64 = 0
    package var unknownSPI: UInt64 = 0
    package var notAdmitted: UInt64 = 0
    package var challenged: UInt64 = 0
}
