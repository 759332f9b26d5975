package import IPsec

/// Refusals in words: what was wanted, what was there, and the smallest edit that would help.
package enum RefusalText {
    /// One line.
    package static func explain(_ refusal: Refusal) -> String {
        switch refusal {
        case .noConnection(let local, let remote):
            "no connection is configured for a peer at \(remote) that speaks to \(local)"
        case .noProposal(let securityProtocol, let mismatch):
            "no proposal chosen for \(name(securityProtocol)): \(clashSummary(mismatch))"
        case .selectors: "the traffic selectors have nothing in common"
        case .identity(let wanted, let seen):
            "the peer says it is '\(seen)', and \(wanted.map { "'\($0)'" }.joined(separator: " or ")) was wanted"
        case .authentication(let peer):
            "authentication of '\(peer)' failed: the pre-shared keys most likely differ, or it signed with another key"
        case .method(let peer, let wanted, let seen):
            "'\(peer)' proves itself by \(methods(seen)), and \(methods(wanted)) was wanted"
        case .noCredential(let local, let remote):
            "no pre-shared key is configured for '\(local)' and '\(remote)', nor a key pair that would do"
        case .userAuthentication(let user?): "'\(user)' did not authenticate: nobody has that name and that password"
        case .userAuthentication(nil): "the peer has no user name and password to give"
        case .groups(let user, let wanted, let has):
            "'\(user)' is in none of the groups \(quoted(wanted)): "
                + (has.isEmpty ? "the authentication server names none" : "it is in \(quoted(has))")
        case .userRefused(let user):
            "the peer does not accept the proof of our user" + (user.map { " '\($0)'" } ?? "")
        case .certificate(let report): ChainReportText.summary(report)
        case .rounds(let fault): explain(fault)
        case .peer(let number, let name): "the peer refused with \(name) (\(number))\(peerHint(number))"
        case .peerWithKey(let number, let name):
            "the peer refused with \(name) (\(number)), by keys that it has because its pre-shared key is the same"
        case .protocolViolation(let rule): "the peer broke the protocol: \(rule)"
        case .timeout: "the peer did not finish in time"
        case .policy(let reason): reason
        }
    }

    /// The facts behind it, for a person who looks for the cause; may be empty.
    package static func lines(_ refusal: Refusal) -> [String] {
        switch refusal {
        case .noProposal(let securityProtocol, let mismatch): proposalLines(securityProtocol, mismatch)
        case .selectors(let offeredLocal, let offeredRemote, let configuredLocal, let configuredRemote):
            selectorLines(offeredLocal, offeredRemote, configuredLocal, configuredRemote)
        case .authentication(let peer):
            ["compare the secret for '\(peer)' in secrets.ike* on both sides, spaces and quotes included"]
        case .method(_, let wanted, let seen):
            [
                "set remote.auth = \(seen.joined(separator: " or ")) here, or local.auth = "
                    + "\(wanted.joined(separator: " or ")) on the peer; in version 1 one method is for both ends"
            ]
        case .peerWithKey:
            ["the pre-shared key is not to blame; look in the peer's log for what it did not like of our message"]
        case .noCredential(_, let remote):
            ["add a section secrets.ike-NAME with 'id = \(remote)' and the secret"]
        case .identity(_, let seen): ["set remote.id = \(seen), or change local.id on the peer"]
        case .noConnection(let local, let remote):
            [
                "add a connection with remote_addrs = \(remote) and local_addrs = \(local) (or %any), in the version it speaks"
            ]
        case .userAuthentication(let user?):
            ["compare the secret of '\(user)' in secrets.xauth* with what the user types"]
        case .groups(let user, let wanted, _):
            [
                "let the server's Access-Accept for '\(user)' name \(quoted(wanted)), in Class (class_group = yes) or in "
                    + "Filter-Id beside Tunnel-Type = ESP (filter_id = yes)",
                "or change remote.groups",
            ]
        case .userRefused(let user):
            [
                "see that secrets.xauth* or secrets.eap* has a section with 'id = \(user.map { "\($0)" } ?? "USER")' and the "
                    + "password, and that 'xauth_id' or 'eap_id' names the user",
                "where a certificate is the proof (auth = eap-tls), see that the peer trusts its authority; the log has TLS's reason",
            ]
        case .certificate(let report): ChainReportText.lines(report)
        case .rounds(let fault): lines(fault)
        case .userAuthentication(nil), .peer, .protocolViolation, .timeout, .policy: []
        }
    }

    // MARK: Methods

    private static func methods(_ keywords: [String]) -> String {
        keywords.isEmpty ? "no method that is known here" : keywords.map(method).joined(separator: " or ")
    }

    private static func method(_ keyword: String) -> String {
        let words: String? =
            switch keyword {
            case "psk": "a pre-shared key"
            case "pubkey": "a signature"
            case "null": "nothing"
            default: keyword.hasPrefix("eap") ? "EAP" : nil
            }
        return words.map { "\($0) (auth = \(keyword))" } ?? "auth = \(keyword)"
    }

    // MARK: Rounds

    private static func explain(_ fault: RoundFault) -> String {
        let method = fault.method.map { " (auth = \($0))" } ?? ""
        return switch fault.kind {
        case .unaware:
            "the peer proves itself once only, it sends no MULTIPLE_AUTH_SUPPORTED, and the connection has \(fault.section)"
                + method
        case .missing:
            "the peer ends with its round \(fault.number - 1), it sends no ANOTHER_AUTH_FOLLOWS, and \(fault.section)\(method) "
                + "is still wanted"
        case .surplus:
            "the peer announces round \(fault.number) by ANOTHER_AUTH_FOLLOWS, and the connection has no \(fault.section)"
        case .notAlone:
            "\(fault.section)\(method) lets EAP alone prove this end, and the peer sends no EAP_ONLY_AUTHENTICATION"
        case .oneSided:
            "EAP is to prove \(fault.section)\(method), and a method was asked for that proves one end only, or makes no key"
        }
    }

    private static func lines(_ fault: RoundFault) -> [String] {
        switch fault.kind {
        case .unaware, .missing:
            [
                "let the peer have a section \(fault.isOurs ? "remote" : "local")-\(fault.number) too, or take away "
                    + "\(fault.section) here"
            ]
        case .surplus:
            ["add a section \(fault.section) here, or take local-\(fault.number) away on the peer"]
        case .notAlone:
            ["let the peer have auth = eap in its remote section, or prove this end by a key: auth = pubkey"]
        case .oneSided: ["use eap-tls, eap-ttls or eap-peap (RFC 5998 §4), or prove the gateway by a key besides"]
        }
    }

    private static func quoted(_ names: [String]) -> String { names.map { "'\($0)'" }.joined(separator: ", ") }

    private static func name(_ securityProtocol: SecurityProtocol) -> String {
        switch securityProtocol {
        case .ike: "IKE"
        case .ah: "AH"
        case .esp: "ESP"
        default: "protocol \(securityProtocol.rawValue)"
        }
    }

    /// What a peer's notification most often stands for.
    private static func peerHint(_ number: UInt16) -> String {
        switch number {
        case 14: ": it accepts none of our proposals"
        case 24: ": it does not accept our identity or our proof; most often the pre-shared keys or identities differ"
        case 38: ": its traffic selectors and ours have nothing in common"
        case 18: ": it has no SA for the traffic that we named"
        case 7: ": it could not read our message; with IKEv1 this is what a wrong pre-shared key looks like"
        default: ""
        }
    }

    // MARK: Proposals

    private static func kindName(_ kind: TransformKind) -> String {
        switch kind {
        case .encryption: "encryption"
        case .prf: "PRF"
        case .integrity: "integrity"
        case .keyExchange: "key exchange group"
        case .extendedSequenceNumbers: "extended sequence numbers"
        case .additionalKeyExchange: "additional key exchanges"
        }
    }

    private static func alternatives(_ kind: TransformKind, of proposal: Proposal) -> String {
        let names: [String] =
            switch kind {
            case .encryption: proposal.encryption.map(\.name.keyword)
            case .prf: proposal.prf.map(\.name.keyword)
            case .integrity: proposal.integrity.map(\.name.keyword)
            case .keyExchange: proposal.keyExchange.map(\.name.keyword)
            case .extendedSequenceNumbers: proposal.extendedSequenceNumbers.map { $0 ? "esn" : "noesn" }
            case .additionalKeyExchange:
                proposal.additionalKeyExchanges.enumerated().flatMap { index, groups in
                    groups.map { "ke\(index + 1)_\($0.name.keyword)" }
                }
            }
        return names.isEmpty ? "none" : names.joined(separator: ", ")
    }

    /// The pair of proposals that came furthest before it clashed.
    private static func closest(_ mismatch: Mismatch) -> Mismatch.Clash? {
        let order: [TransformKind] = [
            .encryption, .integrity, .prf, .keyExchange, .additionalKeyExchange, .extendedSequenceNumbers,
        ]
        func rank(_ clash: Mismatch.Clash) -> Int { order.firstIndex(of: clash.kind) ?? 0 }
        return mismatch.clashes.filter {
            mismatch.configured.indices.contains($0.configured) && mismatch.offered.indices.contains($0.offered)
        }
        .max { rank($0) < rank($1) }
    }

    private static func clashSummary(_ mismatch: Mismatch) -> String {
        guard let clash = closest(mismatch) else { return "one side names no proposal at all" }
        return "nothing in common in \(kindName(clash.kind))"
    }

    private static func proposalLines(_ securityProtocol: SecurityProtocol, _ mismatch: Mismatch) -> [String] {
        let title = "we configured"
        let width = max(title.count, mismatch.configured.map(\.description.count).max() ?? 0)
        func pad(_ text: String) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
        var lines = ["\(pad(title)) | the peer offered"]
        for index in 0..<max(mismatch.configured.count, mismatch.offered.count) {
            let own = index < mismatch.configured.count ? mismatch.configured[index].description : ""
            let other = index < mismatch.offered.count ? mismatch.offered[index].description : ""
            lines.append("\(pad(own)) | \(other)")
        }
        guard let clash = closest(mismatch) else { return lines }
        let own = alternatives(clash.kind, of: mismatch.configured[clash.configured])
        let other = alternatives(clash.kind, of: mismatch.offered[clash.offered])
        lines.append("first clash of the closest pair: \(kindName(clash.kind)): \(own) here, \(other) there")
        let key = securityProtocol == .ike ? "proposals" : "esp_proposals"
        lines.append("smallest edit: let \(key) name the same \(kindName(clash.kind)) on both sides, such as \(other)")
        return lines
    }

    // MARK: Selectors

    private static func selectorLines(
        _ offeredLocal: [TrafficSelector], _ offeredRemote: [TrafficSelector], _ configuredLocal: [TrafficSelector],
        _ configuredRemote: [TrafficSelector]
    ) -> [String] {
        func text(_ selectors: [TrafficSelector]) -> String {
            selectors.isEmpty ? "nothing" : selectors.map(\.description).joined(separator: " ")
        }
        var lines = [
            "offered:    \(text(offeredLocal)) === \(text(offeredRemote))  (our side first)",
            "configured: \(text(configuredLocal)) === \(text(configuredRemote))",
        ]
        if TrafficSelector.narrow(offeredLocal, to: configuredLocal).isEmpty {
            lines.append("our side differs: local_ts here, remote_ts on the peer")
        }
        if TrafficSelector.narrow(offeredRemote, to: configuredRemote).isEmpty {
            lines.append("the peer's side differs: remote_ts here, local_ts on the peer")
        }
        return lines
    }
}
