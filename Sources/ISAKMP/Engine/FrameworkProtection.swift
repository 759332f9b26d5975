import Primitives

/// Messages under an ISAKMP SA. Behind the header stands a number of 64 bits, which the sender never uses twice, then the
/// payloads, encrypted and authenticated together with header and number. RFC 2408 leaves the form to the key exchange.
extension FrameworkSession {
    static var numberOctets: Int { 8 }

    /// The protection of an exchange's own messages in the first phase is made when the first of them passes.
    mutating func prepareProtection(_ run: inout Run) throws(Run.Fault) {
        guard protection == nil else { return }
        guard let suite = run.suite else { throw .refused(.unprepared("no suite")) }
        protection = Protection(key: try run.protectionKey(), suite: suite)
    }

    mutating func seal(_ payloads: [Payload], header: Header) throws(Run.Fault) -> [UInt8] {
        guard var current = protection else { throw .refused(.unprepared("no protection")) }
        let number = current.next
        current.next += 1
        var plaintext: [UInt8] = []
        PayloadChain.write(payloads, to: &plaintext)
        var header = header
        header.flags.insert(.encryption)
        header.nextPayload = payloads.first?.type ?? .none
        header.length = UInt32(
            Header.octetCount + Self.numberOctets + plaintext.count + functions.sealingOctets(current.suite))
        var octets: [UInt8] = []
        header.write(to: &octets)
        octets.append(bigEndian: number)
        do throws(FunctionFailure) {
            octets += try functions.seal(
                current.suite, key: current.key, sender: role, number: number, header: octets, plaintext)
        } catch { throw .refused(.unprepared("seal")) }
        protection = current
        return octets
    }

    /// Opens a message, and remembers its number only in ``noteNumber(_:)``.
    func open(_ octets: [UInt8], _ header: Header) -> (payloads: [Payload], number: UInt64)? {
        guard let protection else { return nil }
        var reader = ByteReader(octets[Header.octetCount...])
        guard let number = try? reader.readUInt64() else { return nil }
        let aad = Array(octets[..<(Header.octetCount + Self.numberOctets)])
        guard
            let plaintext = try? functions.open(
                protection.suite, key: protection.key, sender: role.other, number: number, header: aad,
                Array(reader.readRest()))
        else { return nil }
        var inner = ByteReader(plaintext)
        guard let payloads = try? PayloadChain.read(first: header.nextPayload, from: &inner).payloads,
            inner.isAtEnd
        else { return nil }
        return (payloads, number)
    }

    /// Whether a number has not been seen, and is not so old that this is unknown.
    func isFresh(_ number: UInt64) -> Bool {
        guard let protection, number > 0 else { return false }
        if number > protection.highest { return true }
        let age = protection.highest - number
        return age < 64 && protection.seen & (1 << age) == 0
    }

    mutating func noteNumber(_ number: UInt64) {
        guard var current = protection, isFresh(number) else { return }
        if number > current.highest {
            let step = number - current.highest
            current.seen = step < 64 ? current.seen << step | 1 : 1
            current.highest = number
        } else {
            current.seen |= 1 << (current.highest - number)
        }
        protection = current
    }
}
