import IPsec
import Primitives
import Testing

@testable import IKEv1

/// A session beside another between the same two hosts, whichever end began it, has the same virtual address: with another one,
/// the children of the older could not pass over.
@Suite struct SharedAddressTests {
    private static let given = IPAddress("10.3.0.77")!

    @Test(arguments: [true, false], Pair.Side.allCases)
    func theAddressOfTheSessionBefore(isPulling: Bool, beginner: Pair.Side) throws {
        let hostBegins = beginner == .initiator
        var pair = RemoteAccess.pair(isPulling: isPulling, hostBegins: hostBegins)
        let (host, gateway): (Pair.Side, Pair.Side) =
            hostBegins ? (.initiator, .responder) : (.responder, .initiator)
        // As the nodes' own books have it after the session before.
        let before = SessionID(900)
        let hostSession = pair[host].session
        for port: UInt16 in [500, 4500] {
            let (theirs, ours) = (hostSession.local.address, hostSession.remote.address)
            let id = SessionID(900 + UInt32(port))
            pair[gateway].environment.virtualAddresses.note(
                id, connection: hostBegins ? "right" : "left", remote: Endpoint(theirs, port: port), ours: [],
                theirs: [Self.given])
            pair[host].environment.virtualAddresses.note(
                id, connection: hostBegins ? "left" : "right", remote: Endpoint(ours, port: port), ours: [Self.given],
                theirs: [])
        }
        let pool = RemoteAccess.pool
        #expect(
            pair[gateway].environment.leases.take(
                from: pool, requested: Self.given, for: RemoteAccess.user, holder: before) == Self.given)
        pair.establish()
        #expect(pair[host].session.snapshot.localVirtualAddresses == [Self.given])
        #expect(pair[gateway].session.snapshot.remoteVirtualAddresses == [Self.given])
        #expect(pair[gateway].environment.leases.counts(of: "pool").online == 1)
    }

    /// The address is its user's: another one at the same endpoint gets its own.
    @Test func anotherUserGetsAnotherAddress() {
        var pair = RemoteAccess.pair(isPulling: false)
        for port: UInt16 in [500, 4500] {
            pair[.responder].environment.virtualAddresses.note(
                SessionID(900 + UInt32(port)), connection: "right",
                remote: Endpoint(pair.initiator.session.local.address, port: port), ours: [], theirs: [Self.given])
        }
        _ = pair[.responder].environment.leases.take(
            from: RemoteAccess.pool, requested: Self.given, for: Identity("ann")!, holder: SessionID(900))
        pair.establish()
        #expect(pair.initiator.session.snapshot.localVirtualAddresses == [IPAddress("10.3.0.1")!])
        #expect(pair.responder.environment.leases.counts(of: "pool").online == 2)
    }

    @Test func theBookForgetsWithItsSessions() {
        var book = VirtualAddressBook()
        let (one, other) = (Endpoint(Pair.left, port: 500), Endpoint(Pair.left, port: 4500))
        book.note(SessionID(1), connection: "a", remote: one, ours: [Self.given], theirs: [])
        book.note(SessionID(2), connection: "a", remote: one, ours: [], theirs: [Pair.right])
        #expect(book.ours("a", one) == [Self.given] && book.theirs("a", one) == [Pair.right])
        #expect(book.ours("a", other).isEmpty && book.ours("b", one).isEmpty)
        // A peer behind another mapping.
        book.note(SessionID(1), connection: "a", remote: other, ours: [Self.given], theirs: [])
        #expect(book.ours("a", one).isEmpty && book.ours("a", other) == [Self.given])
        book.forget(SessionID(1))
        book.forget(SessionID(2))
        #expect(book.isEmpty)
    }
}
