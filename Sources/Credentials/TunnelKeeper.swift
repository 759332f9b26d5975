package import Certificates
import Cryptography
package import IPsec
package import Primitives
package import TLS

/// The TLS connections of EAP's methods, one at most for each session. They are references, and so stand here beside the keys,
/// where no engine's value is copied with one. Used by one thread alone.
package final class TunnelKeeper {
    private var tunnels: [SessionID: Tunnel] = [:]
    /// The versions of TLS that are spoken.
    package var versions: ClosedRange<TLSConnection.Version> = .v12 ... .v13

    package init() {}

    /// Connections that begin from now on speak these.
    package func use(_ versions: ClosedRange<TLSVersion>) {
        func version(_ version: TLSVersion) -> TLSConnection.Version {
            switch version {
            case .v12: .v12
            case .v13: .v13
            }
        }
        self.versions = version(versions.lowerBound)...version(versions.upperBound)
    }

    /// Connections that are kept.
    package var count: Int { tunnels.count }

    /// Lets go of a session's connection: its user is known, or will not be.
    package func end(_ session: SessionID) { tunnels[session] = nil }

    /// Lets go of the connections of all other sessions.
    package func keep(_ sessions: Set<SessionID>) {
        tunnels = tunnels.filter { sessions.contains($0.key) }
    }

    /// Goes on with the connection of a session, as well as it can be judged from what is here.
    package func answer(_ request: TunnelRequest, _ store: CredentialStore, now: WallTime) -> Answer {
        judge(request, store, now: now).answer
    }

    /// Goes on with the connection of a session. Where somebody's word about revocation could change what becomes of it, what it has to
    /// say is held back, and the same request comes again with what was learned.
    ///
    /// - Parameter asked: inquiries that need not be made (again); with any, it is that second time.
    package func judge(
        _ request: TunnelRequest, _ store: CredentialStore, now: WallTime, fetched: RevocationStore = RevocationStore(),
        asked: Set<RevocationInquiry> = []
    ) -> CredentialStore.Judgement {
        if asked.isEmpty {
            let progress = progress(request, store, now, fetched)
            guard progress.fault == nil, let tunnel = tunnels[request.session],
                let (held, inquiries) = tunnel.hold(progress)
            else { return CredentialStore.Judgement(.tunnelled(progress)) }
            return CredentialStore.Judgement(.tunnelled(held), inquiries)
        }
        guard let (progress, inquiries) = tunnels[request.session]?.settle(store, now, fetched, asked) else {
            return CredentialStore.Judgement(.tunnelled(TunnelProgress(fault: .broken("nothing waits for a word"))))
        }
        return CredentialStore.Judgement(
            .tunnelled(inquiries.isEmpty ? finish(request, progress) : progress), inquiries)
    }

    private func progress(
        _ request: TunnelRequest, _ store: CredentialStore, _ now: WallTime, _ fetched: RevocationStore
    ) -> TunnelProgress {
        tunnels[request.session]?.learn(fetched)
        do throws(TLSFault) {
            switch request.input {
            case .open:
                guard let tunnel = try open(request, store, now, fetched) else {
                    return TunnelProgress(fault: .noCertificate)
                }
                return request.isServer ? TunnelProgress() : finish(request, tunnel.receive([]))
            case .records(let records):
                if let tunnel = tunnels[request.session] { return finish(request, tunnel.receive(records)) }
                guard request.isServer else { return TunnelProgress(fault: .broken("nothing has begun")) }
                guard let tunnel = try open(request, store, now, fetched) else {
                    return TunnelProgress(fault: .noCertificate)
                }
                return finish(request, tunnel.receive(records))
            case .plaintext(let plaintext):
                guard let tunnel = tunnels[request.session] else {
                    return TunnelProgress(fault: .broken("nothing has begun"))
                }
                return finish(request, tunnel.send(plaintext))
            }
        } catch {
            return TunnelProgress(fault: .broken(Tunnel.text(error)))
        }
    }

    /// What is broken is not kept.
    private func finish(_ request: TunnelRequest, _ progress: TunnelProgress) -> TunnelProgress {
        if progress.fault != nil { end(request.session) }
        return progress
    }

    private func open(
        _ request: TunnelRequest, _ store: CredentialStore, _ now: WallTime, _ fetched: RevocationStore
    ) throws(TLSFault) -> Tunnel? {
        tunnels[request.session] = nil
        let needsOwn = request.isServer || request.method == .tls
        let credential = needsOwn ? store.tunnelCredential(request.own, request.ownIdentity) : nil
        if needsOwn, credential == nil { return nil }
        let tunnel = try Tunnel(request, versions, credential, store, now, fetched)
        tunnels[request.session] = tunnel
        return tunnel
    }
}

/// One connection, with what was found of the other end's certificate.
private final class Tunnel {
    /// What the judge found, where the connection's closure can put it.
    private final class Finding {
        var certificates: [[UInt8]] = []
        var judgement: CertificateStore.TunnelJudgement?
        /// What is known of revocation.
        var fetched = RevocationStore()
        /// The other end has been judged for good.
        var isSettled = false
    }

    private let connection: TLSConnection
    private let request: TunnelRequest
    private let finding: Finding
    private var hasTold = false
    /// What is said when the other end's certificate turns out to be good.
    private var held: TunnelProgress?

    init(
        _ request: TunnelRequest, _ versions: ClosedRange<TLSConnection.Version>,
        _ credential: TLSConnection.Credential?, _ store: CredentialStore, _ now: WallTime, _ fetched: RevocationStore
    ) throws(TLSFault) {
        let finding = Finding()
        finding.fetched = fetched
        self.finding = finding
        self.request = request
        let judge: TLSConnection.Judge = { certificates in
            let judgement = store.judge(
                tunnel: certificates, request.peer, request.peerIdentity, isServers: !request.isServer,
                now: now, fetched: finding.fetched, asked: [])
            finding.certificates = certificates
            finding.judgement = judgement
            // For now: what could still be asked is, before anything that follows from it is said.
            if judgement.path != nil { return .trusted }
            switch judgement.result {
            case .success: return .trusted
            case .failure(let report): return report.verdict
            }
        }
        // A client of EAP-TTLS and PEAP shows no certificate.
        let judges = !request.isServer || request.method == .tls
        connection = try TLSConnection(
            request.isServer ? .server : .client, versions: versions, credential: credential,
            judge: judges ? judge : nil)
    }

    func learn(_ fetched: RevocationStore) { finding.fetched = fetched }

    // MARK: Revocation

    /// Holds back what is said behind the other end's certificate.
    ///
    /// - Returns: the answer if nobody says more of it, and what to ask; `nil`: there is nothing to wait for.
    func hold(_ progress: TunnelProgress) -> (TunnelProgress, [RevocationInquiry])? {
        guard !finding.isSettled, let judgement = finding.judgement else { return nil }
        guard !judgement.inquiries.isEmpty else {
            finding.isSettled = true
            return nil
        }
        held = progress
        return (standing(judgement, progress), judgement.inquiries)
    }

    /// The judgement with what was learned meanwhile; `nil`: nothing is held back.
    func settle(
        _ store: CredentialStore, _ now: WallTime, _ fetched: RevocationStore, _ asked: Set<RevocationInquiry>
    ) -> (TunnelProgress, [RevocationInquiry])? {
        guard let held else { return nil }
        let judgement = store.judge(
            tunnel: finding.certificates, request.peer, request.peerIdentity, isServers: !request.isServer, now: now,
            fetched: fetched, asked: asked)
        finding.judgement = judgement
        finding.isSettled = judgement.inquiries.isEmpty
        if finding.isSettled { self.held = nil }
        return (standing(judgement, held), judgement.inquiries)
    }

    private func standing(
        _ judgement: CertificateStore.TunnelJudgement, _ progress: TunnelProgress
    ) -> TunnelProgress {
        if case .failure(let report) = judgement.result { return TunnelProgress(fault: .distrusted(report)) }
        var progress = progress
        if progress.facts != nil { progress.facts = facts }
        return progress
    }

    // MARK: Records

    func receive(_ records: [UInt8]) -> TunnelProgress {
        do throws(TLSFault) {
            let plaintext = try connection.receive(records)
            return progress(plaintext)
        } catch {
            return failed(error)
        }
    }

    func send(_ plaintext: Secret) -> TunnelProgress {
        do throws(TLSFault) {
            try connection.send(plaintext)
            return progress(Secret([]))
        } catch {
            return failed(error)
        }
    }

    private func progress(_ plaintext: Secret) -> TunnelProgress {
        var progress = TunnelProgress(records: connection.takeRecords(), plaintext: plaintext)
        guard connection.isEstablished, !hasTold else { return progress }
        guard let facts else {
            progress.fault = .broken("no keys can be made")
            return progress
        }
        hasTold = true
        progress.facts = facts
        return progress
    }

    private func failed(_ fault: TLSFault) -> TunnelProgress {
        let records = connection.takeRecords()
        if let judgement = finding.judgement, judgement.path == nil, case .failure(let report) = judgement.result {
            return TunnelProgress(records: records, fault: .distrusted(report))
        }
        if case .peerAlert(let alert) = fault {
            return TunnelProgress(records: records, fault: .refused(alert: alert.description))
        }
        return TunnelProgress(records: records, fault: .broken(Tunnel.text(fault)))
    }

    static func text(_ fault: TLSFault) -> String {
        switch fault {
        case .unusable(let text): "our own certificate cannot be used: \(text)"
        case .peerAlert(let alert): "the peer's alert is \(alert)"
        case .alert(let alert, let text): "\(alert): \(text)"
        case .broken(let text): text
        }
    }

    /// RFC 5216 §2.3, RFC 5281 §8 and PEAP's keys with TLS 1.2; RFC 9190 §2.3 and RFC 9427 §2.1 with TLS 1.3.
    private var facts: TunnelFacts? {
        let isVersion13 = connection.version == .v13
        let method = request.method
        let octets = 128
        let keys: Secret?
        if isVersion13 {
            let type: UInt8 = method == .tls ? 13 : method == .ttls ? 21 : 25
            keys = connection.export(
                label: "EXPORTER_EAP_TLS_Key_Material", context: [type], count: octets)
        } else {
            keys = connection.export(
                label: method == .ttls ? "ttls keying material" : "client EAP encryption", context: nil,
                count: octets)
        }
        let challenge =
            method == .ttls
            ? connection.export(label: "ttls challenge", context: nil, count: 17) : Secret([])
        guard let keys, let challenge else { return nil }
        var facts = TunnelFacts(isVersion13: isVersion13, keys: keys, challenge: challenge)
        if let path = finding.judgement?.path {
            facts.report = path.report
            facts.peerNames = path.certificates.first?.tunnelIdentities ?? []
        }
        return facts
    }
}

extension ChainReport {
    /// The alert that says it best.
    fileprivate var verdict: TLSConnection.Verdict {
        let checks = problems.map(\.check)
        if checks.contains(.trust) || checks.contains(.issuer) { return .unknownAuthority }
        if checks.contains(.validity) { return .expired }
        if problems.contains(where: { if case .revoked = $0.problem { true } else { false } }) {
            return .revoked
        }
        if checks.contains(.purpose) || checks.contains(.keyUsage) { return .wrongPurpose }
        return .badCertificate
    }
}

extension Certificate {
    /// The identities that it proves of a user: its other names, its subject, and last the subject's common name alone, as which
    /// users come (RFC 5216 §5.2).
    fileprivate var tunnelIdentities: [Identity] {
        let others = extensions.subjectAlternativeNames.compactMap { name -> Identity? in
            switch name {
            case .dns(let text): Identity(.fqdn, octets: Array(text.utf8))
            case .email(let text): Identity(.emailAddress, octets: Array(text.utf8))
            case .address(let address): Identity(address)
            case .directory(let name): Identity(name)
            case .uri, .other: nil
            }
        }
        let commonName: [UInt8] = [0x55, 4, 3]
        let common = subject.relativeNames.flatMap { $0 }.filter { $0.type == commonName }.map(\.value)
        return others + (subject.isEmpty ? [] : [identity]) + common.map { Identity(user: $0) }
    }
}
