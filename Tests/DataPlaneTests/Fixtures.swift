import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

/// The suites that the daemon offers for ESP, and those without an IV in the packet.
let suites: [Suite] = {
    var suites = [
        Suite(encryption: Encryption(.aesGCM16, keyBits: 128)), Suite(encryption: Encryption(.aesGCM16, keyBits: 256)),
        Suite(encryption: Encryption(.chacha20Poly1305)),
        Suite(encryption: Encryption(.aesGCM16ImplicitIV, keyBits: 256)),
        Suite(encryption: Encryption(.aesCCM8ImplicitIV, keyBits: 128)),
        Suite(encryption: Encryption(.chacha20Poly1305ImplicitIV)),
    ]
    for bits in [128, 256] {
        for integrity in [IntegrityID.hmacSHA1_96, .hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256] {
            suites.append(Suite(encryption: Encryption(.aesCBC, keyBits: bits), integrity: integrity))
        }
    }
    return suites
}()

let westEndpoint = Endpoint(IPAddress(v4: 0xC000_0201), port: 4500)
let eastEndpoint = Endpoint(IPAddress(v4: 0xC000_0202), port: 4500)

func selector(_ text: String) -> TrafficSelector { TrafficSelector(Prefix(text)!) }

func extended(_ suite: Suite) -> Suite {
    var suite = suite
    suite.extendedSequenceNumbers = true
    return suite
}

/// One SA in its two views: outbound in the west, inbound in the east.
struct AssociationPair {
    var west: SecurityAssociation
    var east: SecurityAssociation

    init(
        _ suite: Suite = suites[0], child: UInt32 = 1, requestID: UInt32 = 1, spi: UInt32 = 0xC0FF_EE01,
        westSelectors: [TrafficSelector] = [selector("10.1.0.0/16"), selector("fd01::/16")],
        eastSelectors: [TrafficSelector] = [selector("10.2.0.0/16"), selector("fd02::/16")], window: Int = 64,
        encapsulated: Bool = true
    ) {
        var random = Randomness.seeded(UInt64(spi))
        let keys = KeyMaterial(
            encryption: Secret(random.octets(suite.encryption.keyMaterialOctets)),
            integrity: suite.integrity.map { Secret(random.octets($0.keyOctets)) })
        west = SecurityAssociation(
            direction: .outbound, child: ChildID(child), name: "net", requestID: requestID, spi: SPI(spi),
            local: westEndpoint, remote: eastEndpoint, udpEncapsulation: encapsulated, suite: suite, keys: keys,
            localSelectors: westSelectors, remoteSelectors: eastSelectors, replayWindowPackets: window)
        east = SecurityAssociation(
            direction: .inbound, child: ChildID(child), name: "net", requestID: requestID, spi: SPI(spi),
            local: eastEndpoint, remote: westEndpoint, udpEncapsulation: encapsulated, suite: suite, keys: keys,
            localSelectors: eastSelectors, remoteSelectors: westSelectors, replayWindowPackets: window)
    }
}

extension AssociationPair {
    /// The same pair in transport mode between its ends.
    func inTransportMode() -> AssociationPair { changed { $0.mode = .transport } }

    /// AH alone.
    func headerOnly(_ integrity: IntegrityID = .hmacSHA256_128, esn: Bool = false) -> AssociationPair {
        changed {
            $0.securityProtocol = .ah
            $0.suite = Suite(encryption: Encryption(.null), integrity: integrity, extendedSequenceNumbers: esn)
            $0.keys = KeyMaterial(
                encryption: Secret([]), integrity: Secret((0..<integrity.keyOctets).map { UInt8($0) }))
            $0.udpEncapsulation = false
        }
    }

    /// AH around ESP.
    func withHeader(_ integrity: IntegrityID = .hmacSHA1_96) -> AssociationPair {
        changed {
            $0.authenticationHeader = AuthenticationHeader(
                spi: SPI(0xA0A0_A0A0), integrity: integrity, key: Secret((0..<integrity.keyOctets).map { UInt8($0) }))
            $0.udpEncapsulation = false
        }
    }

    func compressed(_ index: UInt16 = 0x1234) -> AssociationPair {
        changed { $0.compression = Compression(index: index) }
    }

    /// Both views with the same change.
    func changed(_ change: (inout SecurityAssociation) -> Void) -> AssociationPair {
        var pair = self
        change(&pair.west)
        change(&pair.east)
        return pair
    }
}

/// The two ends' own addresses as selectors, for transport mode.
let westHost = selector("192.0.2.1/32")
let eastHost = selector("192.0.2.2/32")

/// The ends with addresses of IPv6.
let westEndpointV6 = Endpoint(IPAddress("2001:db8::1")!, port: 4500)
let eastEndpointV6 = Endpoint(IPAddress("2001:db8::2")!, port: 4500)

extension AssociationPair {
    func overV6() -> AssociationPair {
        var pair = self
        (pair.west.local, pair.west.remote) = (westEndpointV6, eastEndpointV6)
        (pair.east.local, pair.east.remote) = (eastEndpointV6, westEndpointV6)
        return pair
    }
}

/// An inner UDP packet with `payload` octets of payload.
func packet(
    from: String = "10.1.0.1", to: String = "10.2.0.1", ipProtocol: UInt8 = 17, sourcePort: UInt16 = 4000,
    destinationPort: UInt16 = 53, payload: Int = 20, fragmentOffset: UInt16 = 0
) -> [UInt8] {
    let source = IPAddress(from)!
    let destination = IPAddress(to)!
    var octets: [UInt8] = []
    if source.family == .v4 {
        octets = [0x45, 0]
        octets.append(bigEndian: UInt16(28 + payload))
        octets += [0, 1]
        octets.append(bigEndian: fragmentOffset)
        octets += [64, ipProtocol, 0, 0]
    } else {
        octets = [0x60, 0, 0, 0]
        octets.append(bigEndian: UInt16(8 + payload))
        octets += [ipProtocol, 64]
    }
    octets += source.octets + destination.octets
    octets.append(bigEndian: sourcePort)
    octets.append(bigEndian: destinationPort)
    octets.append(bigEndian: UInt16(8 + payload))
    octets += [0, 0]
    octets += (0..<payload).map { UInt8(truncatingIfNeeded: $0) }
    return octets
}

let start = Instant(nanoseconds: 1_000_000_000)

extension InlineEngine.SealResult {
    var octets: [UInt8]? {
        if case .sealed(let octets, _, _, _, _) = self { octets } else { nil }
    }
    var spi: SPI? {
        if case .sealed(_, _, let spi, _, _) = self { spi } else { nil }
    }
}

extension InlineEngine.OpenResult {
    var packet: [UInt8]? {
        if case .opened(let packet, _, _) = self { packet } else { nil }
    }
}

/// The ESP octets, or the IP packet with AH, that must have come of a packet.
func octets(_ result: InlineEngine.SealResult) throws -> [UInt8] { try #require(result.octets) }

/// A west engine that seals and an east one that opens, with the pairs installed.
func engines(_ pairs: AssociationPair...) -> (west: InlineEngine, east: InlineEngine) {
    let west = InlineEngine()
    let east = InlineEngine()
    for pair in pairs {
        west.install(pair.west)
        east.install(pair.east)
    }
    return (west, east)
}

extension InlineEngine {
    func open(_ esp: [UInt8]) -> OpenResult { open(esp, from: westEndpoint, to: eastEndpoint, now: start) }
    func seal(_ packet: [UInt8]) -> SealResult { seal(packet, now: start) }
}
