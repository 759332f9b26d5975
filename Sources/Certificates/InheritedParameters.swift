internal import SwiftASN1

/// Keys of DSA that leave their parameters to the issuer's (RFC 3279 §2.3.2, RFC 5280 §6.1.4 (d) to (f)).
enum InheritedParameters {
    private static let dsa: [UInt8] = [0x06, 7, 0x2A, 0x86, 0x48, 0xCE, 0x38, 4, 1]

    /// A path each of whose keys has its parameters, where those above it have them.
    static func completed(_ path: [Certificate]) -> [Certificate] {
        var path = path
        for index in path.indices.dropLast().reversed() {
            guard let own = parts(path[index]), own.parameters == nil, let above = parts(path[index + 1]),
                let parameters = above.parameters
            else { continue }
            path[index] = path[index].with(
                subjectPublicKeyInfo: Encoding.sequence(Encoding.sequence(dsa, parameters), own.bits))
        }
        return path
    }

    /// The DER of a key's parameters, `nil` where it has none, and of its BIT STRING; `nil` for keys of another kind.
    private static func parts(_ certificate: Certificate) -> (parameters: [UInt8]?, bits: [UInt8])? {
        let what = "a key"
        guard let root = try? Reading.root(certificate.subjectPublicKeyInfo, maximum: Certificate.maximumOctets, what),
            var elements = try? Elements(root), let node = try? elements.next(what),
            var algorithm = try? Elements(node),
            let kind = try? algorithm.next(what), kind.encodedBytes.elementsEqual(dsa),
            let bits = try? elements.next(what)
        else { return nil }
        _ = algorithm.next(if: .null)
        return (algorithm.peek.map { Array($0.encodedBytes) }, Array(bits.encodedBytes))
    }
}
