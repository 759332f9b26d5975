import IKEv2
import IPsec
import KeyManagement
import Primitives
import Testing

@Suite struct AdmissionTests {
    private let source = IPAddress(v4: 0xC000_0201)

    private func judge(
        _ admission: Admission, shown: StatelessCookie.Shown = .nothing, canProve: Bool = true, isLucky: Bool = false
    ) -> Admission.Verdict {
        admission.judge(source: source, sessions: 0, shown: shown, canProve: canProve, isLucky: isLucky)
    }

    @Test func oneSourceIsChallengedBeforeOthers() {
        var admission = Admission()
        for _ in 0..<3 {
            #expect(judge(admission) == .admit)
            admission.opened(from: source)
        }
        #expect(judge(admission) == .challenge)
        #expect(judge(admission, shown: .address) == .admit)
        let other = admission.judge(
            source: IPAddress(v4: 1), sessions: 0, shown: .nothing, canProve: true)
        #expect(other == .admit)
        admission.settled(from: source)
        #expect(judge(admission) == .admit)
    }

    @Test func aCookieAloneIsNotEnoughForEver() {
        var admission = Admission()
        admission.limits.puzzleThreshold = 10
        for number in 0..<10 { admission.opened(from: IPAddress(v4: UInt32(number))) }
        #expect(judge(admission) == .puzzle && judge(admission, shown: .address) == .puzzle)
        #expect(judge(admission, shown: .address, isLucky: true) == .admit)
        #expect(judge(admission, isLucky: true) == .puzzle && judge(admission, shown: .work) == .admit)
        admission.settled(from: IPAddress(v4: 0))
        #expect(judge(admission, shown: .address) == .admit)
    }

    @Test func versionOneIsBoundedPerSource() {
        var admission = Admission()
        for _ in 0..<5 {
            #expect(judge(admission, canProve: false) == .admit)
            admission.opened(from: source)
        }
        #expect(judge(admission, canProve: false) != .admit)
    }

    @Test func theSettingsLimitWhoBegins() {
        func limits(_ change: (inout EngineSettings) -> Void) -> AdmissionLimits {
            var settings = EngineSettings()
            change(&settings)
            return KeyManager(now: Instant(nanoseconds: 0), randomness: .seeded(1), settings: settings).admissionLimits
        }
        var admission = Admission()
        admission.limits = limits { $0.halfOpenLimit = 2 }
        for number in 1...2 { admission.opened(from: IPAddress(v4: UInt32(number))) }
        #expect(judge(admission, shown: .address) == .drop("the limit of half-open SAs is reached"))
        admission = Admission()
        admission.limits = limits { $0.sessionLimit = 3 }
        func with(_ sessions: Int) -> Admission.Verdict {
            admission.judge(source: source, sessions: sessions, shown: .address, canProve: true)
        }
        #expect(with(2) == .admit && with(3) == .drop("the limit of SAs is reached"))
        admission.limits = limits { $0.initiatesOnly = true }
        #expect(with(0) == .drop("this end alone begins (initiator_only)"))
        admission.limits = limits { _ in }
        #expect(with(100_000) == .admit, "without settings there is no such limit")
    }

    @Test func retransmissionsWaitNoLongerThanTheLimit() {
        var settings = EngineSettings()
        settings.retransmitTimeout = .seconds(1)
        settings.retransmitBase = 2
        settings.retransmitTries = 4
        #expect((0...4).map { settings.retransmitDelay(attempt: $0) } == [1, 2, 4, 8, 16].map { .seconds($0) })
        settings.retransmitLimit = .seconds(5)
        #expect((0...4).map { settings.retransmitDelay(attempt: $0) } == [1, 2, 4, 5, 5].map { .seconds($0) })
        #expect(settings.retransmissionSchedule == .seconds(17))
    }

    @Test func theTotalIsBounded() {
        var admission = Admission()
        admission.limits.halfOpenMaximum = 10
        for number in 0..<10 { admission.opened(from: IPAddress(v4: UInt32(number))) }
        #expect(judge(admission, shown: .work) == .drop("the limit of half-open SAs is reached"))
        for number in 0..<10 { admission.settled(from: IPAddress(v4: UInt32(number))) }
        #expect(admission.halfOpen == 0)
        #expect(judge(admission) == .admit)
    }
}
