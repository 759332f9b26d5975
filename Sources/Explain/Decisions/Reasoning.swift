import Configuration
import Cryptography
import IPsec
import Primitives

/// From a refusal to what explains it and what would help.
struct Reasoning {
    let refusal: Refusal
    let scene: DecisionRecord.Scene
    let policies: PolicyDatabase
    let secrets: [SecretOwners]

    private var connection: Connection? { policies.connection(scene.connection) }
    /// The connection's name in paths of keys, also where none was found.
    private var path: String { "connections.\(scene.connection.isEmpty ? "NAME" : scene.connection)" }
    private var childPath: String { "\(path).children.\(scene.child ?? closestChild ?? "NAME")" }

    private func texts(_ values: [some CustomStringConvertible]) -> String {
        values.isEmpty ? "nothing" : values.map(\.description).joined(separator: ", ")
    }

    // MARK: Facts

    var facts: [String] {
        switch refusal {
        case .noProposal(_, let mismatch):
            let table = ProposalDifference.closest(mismatch).map { ["the closest pair:"] + $0.lines.map { "  \($0)" } }
            return RefusalText.lines(refusal) + (table ?? [])
        case .selectors: return RefusalText.lines(refusal) + childLines
        case .peer(let number, _): return RefusalText.lines(refusal) + offerLines(number)
        default: return RefusalText.lines(refusal)
        }
    }

    /// What we asked for, where the peer refused that: it does not say what it would take.
    private func offerLines(_ number: UInt16) -> [String] {
        let child = scene.child.flatMap { connection?.child($0) } ?? connection?.children.first
        let isOfSelectors = scene.version == 2 ? number == 38 || number == 39 : number == 18 && scene.isEstablished
        if isOfSelectors, let child {
            let local = texts(child.localSelectors.map { $0.resolved(scene.local.address) })
            let remote = texts(child.remoteSelectors.map { $0.resolved(scene.remote.address) })
            return ["we offered \(local) === \(remote)  (our side first)"]
        }
        guard number == 14, let connection else { return [] }
        let proposals = scene.isEstablished ? child?.proposals ?? [] : connection.proposals
        return proposals.map { "we offered \($0)" }
    }

    // MARK: Candidates

    /// A responder chooses among connections; an initiator was told which.
    var candidates: [Candidate] {
        guard !scene.isInitiator, !scene.isEstablished else { return [] }
        var approach = Approach(local: scene.local.address, remote: scene.remote.address, version: scene.version)
        switch refusal {
        case .noConnection: break
        case .noProposal(.ike, let mismatch): approach.offered = mismatch.offered
        case .identity(_, let seen): approach.identity = seen
        case .authentication(let peer), .method(let peer, _, _), .noCredential(_, let peer):
            // Main Mode has no more than the address where the secret is wrong (RFC 2409 §5.4).
            if peer != Identity(scene.remote.address) { approach.identity = peer }
        default: return []
        }
        return approach.judge(policies)
    }

    // MARK: Children

    private struct SelectorLists {
        var offeredLocal: [TrafficSelector]
        var offeredRemote: [TrafficSelector]
    }

    private var offers: SelectorLists? {
        guard case .selectors(let local, let remote, _, _) = refusal else { return nil }
        return SelectorLists(offeredLocal: local, offeredRemote: remote)
    }

    /// The children of the connection with how many of their two sides fit the offer, the closest first.
    private var rankedChildren: [(child: ChildPolicy, localFits: Bool, remoteFits: Bool)] {
        guard let offers, let connection else { return [] }
        let ranked = connection.children.enumerated().map { index, child in
            let local = child.localSelectors.map { $0.resolved(scene.local.address) }
            let remote = child.remoteSelectors.map { $0.resolved(scene.remote.address) }
            return (
                index: index, child: child,
                localFits: !TrafficSelector.narrow(offers.offeredLocal, to: local).isEmpty,
                remoteFits: !TrafficSelector.narrow(offers.offeredRemote, to: remote).isEmpty
            )
        }
        func score(_ entry: (index: Int, child: ChildPolicy, localFits: Bool, remoteFits: Bool)) -> Int {
            (entry.localFits ? 1 : 0) + (entry.remoteFits ? 1 : 0)
        }
        return ranked.sorted { (score($0), -$0.index) > (score($1), -$1.index) }
            .map { (child: $0.child, localFits: $0.localFits, remoteFits: $0.remoteFits) }
    }

    private var closestChild: String? { rankedChildren.first?.child.name ?? connection?.children.first?.name }

    private var childLines: [String] {
        let ranked = rankedChildren
        guard let first = ranked.first else { return [] }
        func verdict(_ fits: Bool) -> String { fits ? "fits" : "does not fit" }
        let lines = ranked.map { entry in
            "child \(entry.child.name): local_ts \(verdict(entry.localFits)), remote_ts \(verdict(entry.remoteFits))"
        }
        return lines + ["closest child: \(first.child.name)"]
    }

    // MARK: Remedies

    var remedies: [Remedy] {
        switch refusal {
        case .noConnection: connectionRemedies
        case .noProposal(let securityProtocol, let mismatch): proposalRemedies(securityProtocol, mismatch)
        case .selectors(let offeredLocal, let offeredRemote, _, _): selectorRemedies(offeredLocal, offeredRemote)
        case .identity(let wanted, let seen):
            identityRemedies(wanted, seen)
        case .authentication(let peer): secretRemedies(peer)
        case .method(_, let wanted, let seen): methodRemedies(wanted, seen)
        case .noCredential(let local, let remote): credentialRemedies(local, remote)
        case .peerWithKey(let number, _): number == 18 ? identityRemediesOfBoth : []
        case .peer(let number, _): scene.version == 1 ? peerRemediesV1(number) : peerRemediesV2(number)
        case .timeout:
            [Remedy(.either, "\(path).remote_addrs", current: connection.map { texts($0.remoteAddresses) })]
        case .userAuthentication(let user):
            [
                Remedy(
                    .either, "secrets.xauth-NAME.secret",
                    wanted: "the password of \(user.map { "\($0)" } ?? "the user")")
            ]
        case .groups(_, let wanted, let has):
            [
                Remedy(.here, "\(path).remote.groups", current: texts(wanted), wanted: has.isEmpty ? nil : texts(has))
            ]
        case .userRefused(let user):
            [
                Remedy(.either, "secrets.xauth-NAME.secret", wanted: "the same on both sides"),
                Remedy(.here, "\(path).local.xauth_id", current: user.map { "\($0)" }, wanted: "the user's name"),
            ]
        case .certificate(let report): certificateRemedies(report)
        case .rounds(let fault): roundRemedies(fault)
        case .policy(let words): policyRemedies(words)
        case .protocolViolation: []
        }
    }

    /// Each end's section that the other lacks.
    private func roundRemedies(_ fault: RoundFault) -> [Remedy] {
        let other = "\(fault.isOurs ? "remote" : "local")-\(fault.number)"
        let here = "\(path).\(fault.section)"
        return switch fault.kind {
        case .unaware, .missing:
            [
                Remedy(.peer, "\(other).auth", wanted: fault.method),
                Remedy(.here, "\(here).auth", current: fault.method, wanted: "no such section"),
            ]
        case .surplus:
            [
                Remedy(.here, "\(here).auth", wanted: "the method of the peer's \(other)"),
                Remedy(.peer, "\(other).auth", wanted: "no such section"),
            ]
        case .notAlone:
            [
                Remedy(.peer, "remote.auth", wanted: "eap"),
                Remedy(.here, "\(path).local.auth", current: fault.method, wanted: "pubkey"),
            ]
        case .oneSided:
            [
                Remedy(
                    .either, "\(path).\(fault.isOurs ? "remote" : "local").auth",
                    wanted: "eap-tls, eap-ttls or eap-peap")
            ]
        }
    }

    /// A refusal by policy names the setting that would allow it, as `connection 'NAME' … 'KEY = VALUE'`.
    private func policyRemedies(_ words: String) -> [Remedy] {
        let quoted = words.split(separator: "'", omittingEmptySubsequences: false).enumerated()
            .filter { $0.offset % 2 == 1 }.map { String($0.element) }
        return quoted.compactMap { text in
            guard let middle = text.firstRange(of: " = ") else { return nil }
            let owner = quoted.first { policies.connection($0) != nil } ?? scene.connection
            let key = "connections.\(owner.isEmpty ? "NAME" : owner).\(text[..<middle.lowerBound])"
            return Remedy(.here, key, wanted: String(text[middle.upperBound...]))
        }
    }

    /// The connections that nearly fitted: by the one key that each lost by.
    private var connectionRemedies: [Remedy] {
        let approach = Approach(local: scene.local.address, remote: scene.remote.address, version: scene.version)
        let losers = approach.judge(policies)
        // One that only its version, or its own address, keeps out was meant most likely.
        let order = ["version", "aggressive", "local_addrs", "remote_addrs"]
        let ranked = losers.sorted {
            (order.firstIndex(of: $0.lostBy ?? "") ?? 9) < (order.firstIndex(of: $1.lostBy ?? "") ?? 9)
        }
        let remedies = ranked.prefix(3).compactMap { candidate -> Remedy? in
            guard let key = candidate.lostBy else { return nil }
            let wanted = key == "version" ? "0 or \(candidate.seen)" : candidate.seen
            return Remedy(
                .here, "connections.\(candidate.connection).\(key)", current: candidate.wanted, wanted: wanted)
        }
        return remedies.isEmpty
            ? [Remedy(.here, "connections.NAME.remote_addrs", wanted: "\(scene.remote.address)")] : remedies
    }

    private func proposalRemedies(_ securityProtocol: SecurityProtocol, _ mismatch: Mismatch) -> [Remedy] {
        let key =
            switch securityProtocol {
            case .ike: "proposals"
            case .ah: "ah_proposals"
            default: "esp_proposals"
            }
        let owner = securityProtocol == .ike ? ikeOwner(mismatch) : childPath
        guard let pair = ProposalDifference.closest(mismatch) else {
            return [Remedy(.either, "\(owner).\(key)", current: texts(mismatch.configured))]
        }
        return [
            Remedy(.here, "\(owner).\(key)", current: "\(pair.configured)", wanted: "\(pair.repaired)"),
            Remedy(
                .peer, key, current: "\(pair.offered)",
                wanted: "\(ProposalDifference(configured: pair.offered, offered: pair.configured).repaired)"),
        ]
    }

    /// The connection whose proposals came closest: a responder has none of its own yet.
    private func ikeOwner(_ mismatch: Mismatch) -> String {
        if !scene.connection.isEmpty { return path }
        let approach = Approach(
            local: scene.local.address, remote: scene.remote.address, version: scene.version, offered: mismatch.offered)
        let closest = ProposalDifference.closest(mismatch)?.configured
        let named = approach.judge(policies).first { candidate in
            closest.map { policies.connection(candidate.connection)?.proposals.contains($0) == true } ?? true
        }
        return "connections.\(named?.connection ?? "NAME")"
    }

    private func selectorRemedies(_ offeredLocal: [TrafficSelector], _ offeredRemote: [TrafficSelector]) -> [Remedy] {
        var remedies: [Remedy] = []
        guard let best = rankedChildren.first else {
            return [
                Remedy(.here, "\(childPath).local_ts", wanted: texts(offeredLocal)),
                Remedy(.here, "\(childPath).remote_ts", wanted: texts(offeredRemote)),
            ]
        }
        if !best.localFits {
            let current = texts(best.child.localSelectors)
            remedies.append(Remedy(.here, "\(childPath).local_ts", current: current, wanted: texts(offeredLocal)))
            remedies.append(Remedy(.peer, "remote_ts", current: texts(offeredLocal), wanted: current))
        }
        if !best.remoteFits {
            let current = texts(best.child.remoteSelectors)
            remedies.append(Remedy(.here, "\(childPath).remote_ts", current: current, wanted: texts(offeredRemote)))
            remedies.append(Remedy(.peer, "local_ts", current: texts(offeredRemote), wanted: current))
        }
        return remedies
    }

    private func identityRemedies(_ wanted: [IdentityPattern], _ seen: Identity) -> [Remedy] {
        let owner =
            scene.connection.isEmpty ? candidates.first { $0.lostBy == "remote.id" }?.connection : scene.connection
        return [
            Remedy(.here, "connections.\(owner ?? "NAME").remote.id", current: texts(wanted), wanted: "\(seen)"),
            Remedy(.peer, "local.id", current: "\(seen)", wanted: wanted.first.map { "\($0)" }),
        ]
    }

    private func methodRemedies(_ wanted: [String], _ seen: [String]) -> [Remedy] {
        let owner = scene.connection.isEmpty ? candidates.first?.connection ?? "NAME" : scene.connection
        let (ours, theirs) = (wanted.joined(separator: " or "), seen.joined(separator: " or "))
        return [
            Remedy(.here, "connections.\(owner).remote.auth", current: ours, wanted: theirs),
            Remedy(.peer, "local.auth", current: theirs, wanted: ours),
        ]
    }

    /// One for each kind of problem in a chain, with the name, file or date that would do.
    private func certificateRemedies(_ report: ChainReport) -> [Remedy] {
        var remedies: [Remedy] = []
        if let message = report.message {
            remedies.append(
                authRemedy(message.wanted, widened: message.wanted.widened(by: message.algorithm, isForMessages: true)))
        }
        for (_, check, problem) in report.problems {
            switch problem {
            case .identityAbsent:
                remedies.append(
                    Remedy(
                        .here, "\(path).remote.id", current: report.wanted?.description,
                        wanted: report.present.first.map { "\($0)" } ?? "the certificate's subject"))
            case .keyNotAdmitted(let key, let wanted):
                remedies.append(authRemedy(wanted, widened: "a kind of keys that takes \(key)"))
            case .algorithmNotAdmitted(let algorithm, let wanted):
                remedies.append(authRemedy(wanted, widened: wanted.widened(by: algorithm, isForMessages: false)))
            case .issuerMissing(let name):
                remedies.append(Remedy(.either, "x509ca", wanted: "the certificate of '\(name)'"))
            case .untrusted:
                remedies.append(Remedy(.here, "x509ca", wanted: "the root of the peer's chain"))
            case .authorityNotNamed:
                remedies.append(Remedy(.here, "\(path).remote.cacerts", wanted: "an authority of the peer's chain"))
            case .authorityIdentityAbsent(let wanted):
                remedies.append(
                    Remedy(
                        .here, "\(path).remote.ca_id", current: "\(wanted)",
                        wanted: report.links.last.map { "\($0.subject)" } ?? "an authority of the peer's chain"))
            case .policiesAbsent(let policies):
                remedies.append(
                    Remedy(
                        .peer, "x509", wanted: "a chain issued under \(policies.joined(separator: ", ")) below its root"
                    ))
                remedies.append(Remedy(.here, "\(path).remote.cert_policy", current: texts(policies), wanted: "none"))
            case .revocationUnknown:
                remedies.append(Remedy(.here, "x509crl", wanted: "the issuer's list, not older than it says"))
                remedies.append(Remedy(.here, "\(path).remote.revocation", wanted: "relaxed"))
            default:
                remedies.append(
                    Remedy(
                        .peer, "x509",
                        wanted: "a certificate whose \(ChainReportText.name(check)) is good"))
            }
        }
        return remedies
    }

    /// The round that demands what the peer does not have.
    private func authRemedy(_ wanted: KeyConstraint, widened: String) -> Remedy {
        Remedy(.here, "\(path).remote.auth", current: "\(wanted)", wanted: widened)
    }

    /// Whether the peer proves itself with a key pair.
    private var provesWithKeyPair: Bool { connection?.remote.first?.method.usesPublicKeys == true }

    private func secretRemedies(_ peer: Identity) -> [Remedy] {
        if provesWithKeyPair {
            return [
                Remedy(.here, "\(path).remote.pubkeys or certs", wanted: "the key with which \(peer) signs"),
                Remedy(.peer, "\(path).local.pubkeys or certs", wanted: "a key that the other side trusts"),
            ]
        }
        return [
            Remedy(
                .either, "secrets.\(scene.secret ?? "ike-NAME").secret", wanted: "the same on both sides, for \(peer)"),
            Remedy(.peer, "secrets.ike-NAME.id", wanted: "the identities of both sides, so that this secret is chosen"),
        ]
    }

    private func credentialRemedies(_ local: Identity, _ remote: Identity) -> [Remedy] {
        if provesWithKeyPair {
            return [
                Remedy(.here, "private", wanted: "the private key of \(local), with its certificate in x509"),
                Remedy(.here, "x509ca", wanted: "the root of \(remote)'s chain"),
            ]
        }
        var remedies: [Remedy] = []
        // A secret whose owner is nearly the one that was looked for.
        for secret in secrets {
            let names = secret.identities.map(\.description)
            guard let near = NearestName.find("\(remote)", in: names) else { continue }
            remedies.append(Remedy(.here, "secrets.\(secret.name).id", current: near, wanted: "\(remote)"))
        }
        return remedies + [
            Remedy(.here, "secrets.ike-NAME.id", wanted: "\(remote), with the secret for \(local) and it")
        ]
    }

    // MARK: What a peer's notification stands for

    private func peerRemediesV2(_ number: UInt16) -> [Remedy] {
        switch number {
        case 14 where scene.isEstablished: return [espRemedy]
        case 14:
            return [
                Remedy(
                    .either, "\(path).proposals", current: connection.map { texts($0.proposals) },
                    wanted: "what the peer has, too"),
                Remedy(.peer, "remote_addrs", wanted: "\(scene.local.address), so that a connection fits"),
                Remedy(.peer, "version", wanted: "0 or 2"),
            ]
        case 17:
            return [
                Remedy(
                    .either, "\(path).proposals", current: connection.map { texts($0.proposals) },
                    wanted: "one group of both sides")
            ]
        case 24, 46: return authenticationRemedies
        case 38, 39: return ownSelectorRemedies
        case 34, 35: return [Remedy(.peer, "children", wanted: "room for another child")]
        case 36, 37: return [Remedy(.peer, "pools", wanted: "an address for us")]
        default: return []
        }
    }

    /// RFC 2408 §3.14.1. A wrong pre-shared key makes Main Mode's fifth message unreadable, so that the peer complains of
    /// its form.
    private func peerRemediesV1(_ number: UInt16) -> [Remedy] {
        switch number {
        case 14 where scene.isEstablished: return [espRemedy]
        case 14:
            return [
                Remedy(
                    .either, "\(path).proposals", current: connection.map { texts($0.proposals) },
                    wanted: "what the peer has, too"),
                Remedy(.peer, "remote_addrs", wanted: "\(scene.local.address), so that a connection fits"),
                Remedy(.either, "\(path).aggressive", wanted: "the same on both sides"),
            ]
        case 18 where scene.isEstablished: return ownSelectorRemedies
        case 18: return authenticationRemedies
        case 1, 7, 16, 23, 24, 30: return authenticationRemedies
        case 29: return [Remedy(.either, "\(path).aggressive", wanted: "the same on both sides")]
        default: return []
        }
    }

    private var espRemedy: Remedy {
        let child = scene.child.flatMap { connection?.child($0) } ?? connection?.children.first
        return Remedy(
            .either, "\(childPath).esp_proposals", current: child.map { texts($0.proposals) },
            wanted: "what the peer has, too")
    }

    private var authenticationRemedies: [Remedy] {
        [
            Remedy(.either, "secrets.\(scene.secret ?? "ike-NAME").secret", wanted: "the same on both sides")
        ] + identityRemediesOfBoth
    }

    private var identityRemediesOfBoth: [Remedy] {
        [
            Remedy(
                .either, "\(path).local.id",
                current: connection?.localIdentity.map { "\($0)" } ?? "\(scene.local.address)",
                wanted: "what the peer has as remote.id"),
            Remedy(
                .either, "\(path).remote.id", current: connection.map { "\($0.remoteIdentity)" },
                wanted: "what the peer has as local.id"),
        ]
    }

    private var ownSelectorRemedies: [Remedy] {
        let child = scene.child.flatMap { connection?.child($0) } ?? connection?.children.first
        return [
            Remedy(
                .either, "\(childPath).local_ts", current: child.map { texts($0.localSelectors) },
                wanted: "what fits remote_ts on the peer"),
            Remedy(
                .either, "\(childPath).remote_ts", current: child.map { texts($0.remoteSelectors) },
                wanted: "what fits local_ts on the peer"),
        ]
    }
}

extension KeyConstraint {
    /// The value of `auth` that lets a signature of the kind pass besides.
    fileprivate func widened(by algorithm: SignatureAlgorithm, isForMessages: Bool) -> String {
        guard let hash = SignatureHash(algorithm) else { return "pubkey" }
        let family: Family =
            switch algorithm {
            case .rsa: .rsa
            case .rsaPSS: .pss
            case .ecdsa: .ecdsa
            case .dsa: .dss
            case .ed25519: .ed25519
            case .ed448: .ed448
            }
        let hasOwn = clauses.contains { $0.isForMessages && !$0.hashes.isEmpty }
        return "\(self)-\(Clause(family, hashes: [hash], isForMessages: isForMessages && hasOwn))"
    }
}
