internal import Cryptography
package import IPsec
package import Primitives

/// Where an authority's lists and responders are, besides what its certificates say.
package struct RevocationLocations: Hashable, Sendable {
    /// URIs.
    package var lists: [String]
    package var responders: [String]

    package init(lists: [String] = [], responders: [String] = []) {
        self.lists = lists
        self.responders = responders
    }
}

/// A question about revocation that somebody else can answer: what to fetch, and from where.
package struct RevocationInquiry: Hashable, Sendable {
    package enum Subject: Hashable, Sendable {
        /// A list, base or delta: an HTTP GET (RFC 5280 §4.2.1.13).
        case list
        /// What a responder says of one certificate: an HTTP POST (RFC 6960 Appendix A.1).
        case status(OCSPCertificateID)
        /// Certificates of a peer's that are there, and whose hash it said: an HTTP GET (RFC 7296 §3.6).
        case certificate(hash: [UInt8], isBundle: Bool)
    }

    package var uri: String
    package var subject: Subject

    package init(_ uri: String, _ subject: Subject) {
        self.uri = uri
        self.subject = subject
    }

    /// What a peer says instead of a certificate; `nil` for anything but HTTP.
    package init?(_ location: CertificateLocation) {
        guard location.uri.lowercased().hasPrefix("http://") else { return nil }
        self.init(location.uri, .certificate(hash: location.hash, isBundle: location.isBundle))
    }

    package var maximumOctets: Int {
        switch subject {
        case .certificate: Certificate.maximumOctets
        case .list: RevocationList.maximumOctets
        case .status: OCSPResponse.maximumOctets
        }
    }

    /// Reads what came back.
    ///
    /// - Parameter nonce: what the request had; an answer need not repeat it, but has no other.
    package func read(_ octets: [UInt8], nonce: [UInt8] = []) throws(CertificateDefect) -> RevocationFinding {
        switch subject {
        case .list:
            guard let list = try RevocationList.read(file: octets).first else { throw .malformed("there is no list") }
            return .list(list)
        case .status(let id):
            let response = try OCSPResponse(parsing: octets)
            if let other = response.nonce, !nonce.isEmpty, other != nonce {
                throw .malformed("the answer is to another question: its nonce differs")
            }
            guard response.singles.contains(where: { $0.certificate == id }) else {
                throw .malformed("the answer is about other certificates")
            }
            return .response(response)
        case .certificate(let hash, let isBundle):
            // SHA-1 only tells what was meant: what is trusted of it, the signature and the path say.
            guard let found = try? Digest.compute(.sha1, [.open(octets)]), found == hash else {
                throw .malformed("its hash is not what the peer said")
            }
            return .certificates(isBundle ? try CertificateBundle.read(octets) : [try Certificate(parsing: octets)])
        }
    }
}

/// What came of an inquiry; nobody has judged it yet.
package enum RevocationFinding: Hashable, Sendable {
    case list(RevocationList)
    case response(OCSPResponse)
    case certificates([Certificate])

    /// DER.
    package var octets: [UInt8] {
        switch self {
        case .list(let list): list.octets
        case .response(let response): response.octets
        case .certificates(let certificates): certificates.flatMap(\.octets)
        }
    }

    /// Until when it may be held to be true; `nil`: it does not say.
    package var nextUpdate: WallTime? {
        switch self {
        case .list(let list): list.nextUpdate
        case .response(let response): response.singles.compactMap(\.nextUpdate).min()
        case .certificates: nil
        }
    }
}

extension RevocationStore {
    /// Locations of one kind that are looked at, in a certificate and of its authority.
    private static let maximumLocations = 4

    /// Whether a certificate, or the configuration for its authority, says where to ask.
    func saysWhere(_ certificate: Certificate, issuer: Certificate) -> Bool {
        let extensions = certificate.extensions
        let known = locations[issuer.keyHash] ?? RevocationLocations()
        return !extensions.revocationListLocations.isEmpty || !extensions.ocspLocations.isEmpty || !known.lists.isEmpty
            || !known.responders.isEmpty
    }

    /// What may be asked next about a certificate: a responder, where that leads nowhere the lists, and where a list has
    /// changes (RFC 5280 §5.2.6) these.
    ///
    /// - Parameters:
    ///   - signers: as for ``status(of:issuer:signers:now:)``.
    ///   - asked: what has been asked already, whatever came of it.
    package func inquiries(
        about certificate: Certificate, issuer: Certificate, signers: [Certificate] = [],
        asked: Set<RevocationInquiry>, now: WallTime
    ) -> [RevocationInquiry] {
        let extensions = certificate.extensions
        let known = locations[issuer.keyHash] ?? RevocationLocations()
        switch status(of: certificate, issuer: issuer, signers: signers, now: now) {
        case .revoked: return []
        case .unknown:
            let responders = responderInquiries(about: certificate, issuer: issuer, asked: asked)
            if !responders.isEmpty { return responders }
            return RevocationStore.inquiries(known.lists + extensions.revocationListLocations, .list, asked)
        case .good:
            guard let base = listWithoutChanges(for: certificate, issuer, now) else { return [] }
            return RevocationStore.inquiries(extensions.freshestListLocations + base.freshestLocations, .list, asked)
        }
    }

    /// The responders that may be asked about a certificate.
    package func responderInquiries(
        about certificate: Certificate, issuer: Certificate, asked: Set<RevocationInquiry>
    ) -> [RevocationInquiry] {
        guard let id = OCSPCertificateID(certificate, issuer: issuer) else { return [] }
        let known = locations[issuer.keyHash]?.responders ?? []
        return RevocationStore.inquiries(known + certificate.extensions.ocspLocations, .status(id), asked)
    }

    private static func inquiries(
        _ uris: [String], _ subject: RevocationInquiry.Subject, _ asked: Set<RevocationInquiry>
    ) -> [RevocationInquiry] {
        uris.filter { $0.lowercased().hasPrefix("http://") && $0.utf8.count <= 2048 }.prefix(maximumLocations)
            .map { RevocationInquiry($0, subject) }.filter { !asked.contains($0) }
    }
}
