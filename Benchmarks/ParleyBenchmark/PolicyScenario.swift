import Cryptography
import DataPlane
import IPsec
import Primitives

/// How long it takes to find a packet's SA, by the number of SAs: outbound in the ordered policy, past its cache, and
/// inbound by SPI.
struct PolicyScenario {
    let repetitions: Int
    let counts: [Int]

    func run() throws -> Report {
        var report = Report(
            scenario: "Lookups",
            explanation: """
                Processor time to find the SA of one packet, each packet another SA's. "outbound" asks the ordered policy \
                with flows that its cache does not hold, over SAs with selectors of four shapes; "inbound" the SAs by SPI.
                """)
        for count in counts { report.rows.append(try row(count)) }
        return report
    }

    /// An SA that no packet needs to be sealed with: its algorithm is one that nobody has.
    private func association(_ index: UInt32, _ direction: SecurityAssociation.Direction) throws -> SecurityAssociation
    {
        // Hosts, and networks of three sizes.
        let bits = [32, 28, 24, 22][Int(index % 4)]
        let base = UInt32(0x1000_0000) + index << 12
        guard let prefix = Prefix(IPAddress(v4: base), length: bits), let own = Prefix("10.0.0.0/8") else {
            throw BenchmarkError("a prefix")
        }
        let end = Endpoint(IPAddress(v4: 0xC000_0201), port: 4500)
        return SecurityAssociation(
            direction: direction, child: ChildID(index + 1), name: "net", requestID: index + 1, spi: SPI(0x100 + index),
            local: end, remote: end, udpEncapsulation: true,
            suite: Suite(encryption: Encryption(EncryptionID(rawValue: 1))),
            keys: KeyMaterial(encryption: Secret([]), integrity: nil), localSelectors: [TrafficSelector(own)],
            remoteSelectors: [TrafficSelector(prefix)], replayWindowPackets: 32)
    }

    /// What the policy looks at in a UDP packet.
    private func flow(from source: UInt32, to destination: UInt32, port: UInt16) -> Flow? {
        var packet: [UInt8] = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]
        packet.append(bigEndian: source)
        packet.append(bigEndian: destination)
        packet.append(bigEndian: port)
        packet += [0, 53, 0, 8, 0, 0]
        return packet.withUnsafeBytes { octets in
            octets.baseAddress.flatMap { PacketView($0, count: octets.count)?.flow }
        }
    }

    private func row(_ count: Int) throws -> Report.Row {
        let counters = AssociationCounters()
        let outbound = OutboundPlane(drops: DropCounters()) { _ in }
        let inbound = InboundPlane(drops: DropCounters()) { _ in }
        for index in 0..<UInt32(count) {
            outbound.insert(OutboundAssociation(try association(index, .outbound), counters: counters))
            inbound.insert(InboundAssociation(try association(index, .inbound), counters: counters))
        }
        let operations = 20_000
        var random = SeededGenerator(seed: 5)
        let flows = (0..<operations).compactMap { _ in
            let index = UInt32(random.next() % UInt64(count))
            return flow(
                from: 0x0A00_0000 + UInt32(random.next() % 65_536), to: UInt32(0x1000_0000) + index << 12,
                port: UInt16(truncatingIfNeeded: random.next()))
        }
        guard flows.count == operations else { throw BenchmarkError("a packet") }
        let spis = (0..<operations).map { _ in SPI(0x100 + UInt32(random.next() % UInt64(count))) }
        var missing = 0
        let readings = try Stopwatch.interleaved(
            operations: operations, repetitions: repetitions,
            [
                { for flow in flows where outbound.association(for: flow) == nil { missing += 1 } },
                { for spi in spis where !inbound.contains(spi) { missing += 1 } },
            ])
        guard missing == 0 else { throw BenchmarkError("\(missing) SAs not found") }
        return Report.Row(
            name: "\(count) SAs",
            figures: [.init("outbound", "ns", readings[0]), .init("inbound", "ns", readings[1])])
    }
}
