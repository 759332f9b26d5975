import Control
import IPsec
import KeyManagement
import Primitives

/// `clone`: another IKE SA between the same two peers, without authenticating anew (RFC 7791).
enum CloneCommand {
    static func clone(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping ViciCommands.Reply) {
        var target = AssociationCommands.target(message)
        (target.child, target.childID) = (nil, nil)
        guard !target.isEmpty else { return reply(answer("missing clone selector: 'ike' or 'ike-id'")) }
        var local: IPAddress?
        if let text = message.text("local-host") {
            guard let address = IPAddress(text) else { return reply(answer("'local-host' is no address")) }
            local = address
        }
        let command = Command.clone(target, local: local, child: message.text("child"))
        AssociationCommands.perform(command, message, loop, reply) { response in
            switch response {
            case .done: answer(nil)
            case .failed(.nothingMatches, _): answer("no matching IKE SA to clone found")
            case .failed(let failure, _): answer(EventLines.text(failure))
            }
        }
    }

    private static func answer(_ problem: String?) -> ViciMessage {
        AssociationCommands.answer(problem: problem, matches: nil)
    }
}
