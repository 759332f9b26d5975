import Cryptography
import IKEv1
import IPsec
import IPsecDOI
import ISAKMP

/// What a connection would put on the wire: asked of the same functions that write its offers.
struct ConnectionUse {
    let connection: Connection
    /// Phase 1's attributes in what it offers in version 1: type and value.
    private let phaseOne: Set<Pair>
    private let phaseTwo: Set<Pair>
    private let espTransforms: Set<UInt16>

    private struct Pair: Hashable {
        let type: UInt16
        let value: UInt64
    }

    init(_ connection: Connection) {
        self.connection = connection
        let isVersion1 = connection.version != .v2
        phaseOne =
            isVersion1
            ? ConnectionUse.pairs(
                PhaseOneProposal.payload(
                    connection.proposals, lifeSeconds: 0,
                    methods: PhaseOneMethod.methods(of: connection, as: .initiator))) : []
        let offers = isVersion1 ? connection.children.flatMap(ConnectionUse.offers) : []
        phaseTwo = offers.reduce(into: []) { $0.formUnion(ConnectionUse.pairs($1)) }
        espTransforms = Set(
            offers.flatMap(\.proposals).flatMap(\.transforms).map { UInt16($0.identifier) })
    }

    /// A child's offers, with every group that it may choose.
    private static func offers(_ child: ChildPolicy) -> [SecurityAssociationPayload] {
        let groups = Set(child.proposals.flatMap(\.keyExchange)).subtracting([.none])
        return ([nil] + groups.map(Optional.some)).map { group in
            PhaseTwoProposal.payload(
                PhaseTwoProposal.expressible(child.proposals, group: group), spi: [0, 0, 0, 0],
                encapsulation: PhaseTwoProposal.Encapsulation(child.mode, inUDP: true), life: PhaseTwoLife())
        }
    }

    private static func pairs(_ payload: SecurityAssociationPayload) -> Set<Pair> {
        Set(
            payload.proposals.flatMap(\.transforms).flatMap(\.attributes).compactMap { attribute in
                attribute.number.map { Pair(type: attribute.type, value: $0) }
            })
    }

    var speaksVersion1: Bool { connection.version != .v2 }
    var speaksVersion2: Bool { connection.version != .v1 }

    func offersPhaseOne(_ type: UInt16, _ value: UInt16) -> Bool {
        phaseOne.contains(Pair(type: type, value: UInt64(value)))
    }

    func offersPhaseTwo(_ type: UInt16, _ value: UInt16) -> Bool {
        phaseTwo.contains(Pair(type: type, value: UInt64(value)))
    }

    func offersESP(_ identifier: UInt16) -> Bool { espTransforms.contains(identifier) }

    /// Phase 1's "Authentication Method" attribute.
    func uses(method: UInt16) -> Bool { offersPhaseOne(3, method) }

    func uses(group: KeyExchangeID) -> Bool {
        (connection.proposals + connection.children.flatMap(\.proposals)).contains {
            $0.keyExchange.contains(group) || $0.additionalKeyExchanges.contains { $0.contains(group) }
        }
    }

    func uses(_ exchange: ComposedExchange) -> Bool { speaksVersion1 && exchange.isUsed(connection) }

    func uses(_ payload: PayloadType) -> Bool {
        ExchangeCatalogue.all.contains { uses($0) && $0.description.holds(payload) }
    }

    /// The line that says what the marks mean.
    var note: String {
        let versions =
            switch connection.version {
            case .v1: "version 1 of IKE"
            case .v2: "version 2 of IKE"
            case .any: "both versions of IKE"
            }
        return "* marks what connection '\(connection.name)' uses, which speaks \(versions)."
    }
}

extension ExchangeDescription {
    /// Whether a payload of the type may stand in one of the messages. Proposals and transforms stand inside the SA.
    func holds(_ type: PayloadType) -> Bool {
        let outer = type == .proposal || type == .transform ? .securityAssociation : type
        return messages.contains {
            $0.required.contains(outer) || $0.optional.contains(outer) || MessageRule.universal.contains(outer)
        }
    }
}
