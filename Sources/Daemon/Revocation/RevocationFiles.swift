import Certificates
import Cryptography
import Glibc
import Platform
import Primitives

/// A directory of what was learned about revocation: a file a finding, which begins with the inquiry. Whoever can write there can
/// make us forget, and no more: what is read is judged by its signature like everything else.
struct RevocationFiles: Sendable {
    private let directory: String
    private static let magic = Array("parley revocation 1\n".utf8)
    private static let maximumFiles = 1024
    /// Octets in all that are read at the start.
    private static let maximumOctets = 64 * 1024 * 1024
    private static let maximumURI = 2048

    init(_ directory: String) { self.directory = directory }

    /// Named by a hash, since a URI has characters that mean something to a file system.
    private func path(_ inquiry: RevocationInquiry) -> String? {
        guard let name = try? Digest.compute(.sha256, [.open(RevocationFiles.key(inquiry))]) else { return nil }
        let digits = Array("0123456789abcdef")
        return "\(directory)/" + String(name.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }

    /// The inquiry in octets: what is asked about, each part behind its length.
    private static func key(_ inquiry: RevocationInquiry) -> [UInt8] {
        var octets: [UInt8] = []
        func add(_ part: [UInt8]) {
            octets.append(bigEndian: UInt16(clamping: part.count))
            octets += part
        }
        add(Array(inquiry.uri.utf8))
        if case .status(let id) = inquiry.subject { add(OCSPRequest(id).octets) } else { add([]) }
        return octets
    }

    /// Writes a finding, as well as it goes: a full disk costs a fetch at the next start, and nothing else.
    func write(_ finding: RevocationFinding, for inquiry: RevocationInquiry) {
        // A peer's certificates are as quickly had again, and nobody shall fill the disk.
        if case .certificates = finding { return }
        guard let path = path(inquiry) else { return }
        do throws(PlatformError) {
            if !NewFile.exists(directory) { try NewFile.makeDirectory(directory, isPrivate: true) }
            try NewFile.write(
                RevocationFiles.magic + RevocationFiles.key(inquiry) + finding.octets, to: path, isPrivate: true)
        } catch {}
    }

    func remove(_ inquiry: RevocationInquiry) {
        if let path = path(inquiry) { unlink(path) }
    }

    func removeAll() {
        for name in NewFile.names(in: directory) where name.utf8.count == 64 { unlink("\(directory)/\(name)") }
    }

    /// What is there and can be read; a file that has another's name, or none of ours, is passed over.
    func load() -> [(RevocationInquiry, RevocationFinding)] {
        var found: [(RevocationInquiry, RevocationFinding)] = []
        var total = 0
        for name in NewFile.names(in: directory).prefix(RevocationFiles.maximumFiles) {
            let path = "\(directory)/\(name)"
            guard let octets = try? FileContents.read(path, maximum: RevocationFiles.maximumOctets - total),
                let (inquiry, finding) = RevocationFiles.parse(octets), self.path(inquiry) == path
            else { continue }
            total += octets.count
            found.append((inquiry, finding))
        }
        return found
    }

    static func parse(_ octets: [UInt8]) -> (RevocationInquiry, RevocationFinding)? {
        do {
            var reader = ByteReader(octets[...])
            guard Array(try reader.read(magic.count)) == magic else { return nil }
            let uri = Array(try reader.read(Int(try reader.readUInt16())))
            let request = Array(try reader.read(Int(try reader.readUInt16())))
            guard uri.count <= maximumURI, let text = String(validating: uri, as: UTF8.self) else { return nil }
            let rest = Array(reader.readRest())
            if request.isEmpty {
                let inquiry = RevocationInquiry(text, .list)
                return (inquiry, try inquiry.read(rest))
            }
            // The certificate's ID is the answer's own: the file's name holds it to what was asked.
            for single in try OCSPResponse(parsing: rest).singles
            where OCSPRequest(single.certificate).octets == request {
                let inquiry = RevocationInquiry(text, .status(single.certificate))
                return (inquiry, try inquiry.read(rest))
            }
            return nil
        } catch {
            return nil
        }
    }
}
