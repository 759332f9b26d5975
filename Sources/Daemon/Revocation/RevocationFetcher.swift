import Certificates
import Cryptography
import Platform
import Primitives
import Synchronization

/// Fetches lists and responders' answers on a few threads of its own, and keeps them on disk. What comes is posted to the inbox.
final class RevocationFetcher: Sendable {
    private let inbox: Inbox
    private let patience: Duration
    private let files: RevocationFiles?
    private let queue = Mutex(Queue())

    private struct Queue {
        var inquiries: [RevocationInquiry] = []
        var threads = 0
    }

    private static let maximumThreads = 4
    /// RFC 9654 §2.1 wants 32 of those who write; responders that know only RFC 6960 take them as well.
    private static let nonceOctets = 32

    init(inbox: Inbox, directory: String?, patience: Duration) {
        self.inbox = inbox
        self.patience = patience
        files = directory.map { RevocationFiles("\($0)/revocation") }
        HTTPFetch.prepare()
    }

    /// Fetches; an `Inbox.Item.fetched` follows in any case.
    func fetch(_ inquiry: RevocationInquiry) {
        let startsThread = queue.withLock { queue in
            queue.inquiries.append(inquiry)
            guard queue.threads < Self.maximumThreads else { return false }
            queue.threads += 1
            return true
        }
        if startsThread { Threads.start { [self] in work() } }
    }

    private func work() {
        while true {
            let next = queue.withLock { queue -> RevocationInquiry? in
                if queue.inquiries.isEmpty {
                    queue.threads -= 1
                    return nil
                }
                return queue.inquiries.removeFirst()
            }
            guard let inquiry = next else { return }
            let result = perform(inquiry)
            if case .success(let finding) = result { files?.write(finding, for: inquiry) }
            inbox.insist(.fetched(inquiry, result))
        }
    }

    private func perform(_ inquiry: RevocationInquiry) -> Result<RevocationFinding, FetchFailure> {
        var request = FetchRequest(inquiry.uri, maximumOctets: inquiry.maximumOctets, patience: patience)
        var nonce: [UInt8] = []
        if case .status(let certificate) = inquiry.subject {
            var randomness = Randomness.system
            nonce = randomness.octets(Self.nonceOctets)
            request.body = OCSPRequest(certificate, nonce: nonce).octets
            request.contentType = "application/ocsp-request"
        }
        return HTTPFetch.perform(request).flatMap { octets in
            do throws(CertificateDefect) { return .success(try inquiry.read(octets, nonce: nonce)) } catch {
                return .failure(FetchFailure(description: error.description))
            }
        }
    }

    // MARK: On disk

    func load() -> [(RevocationInquiry, RevocationFinding)] { files?.load() ?? [] }
    func forget(_ inquiries: [RevocationInquiry]) { for inquiry in inquiries { files?.remove(inquiry) } }
    func forgetAll() { files?.removeAll() }
}
