import Capture
import Control
import Platform
import Primitives

/// IKE messages as the daemon hands them out: opened.
enum OpenedCapture {
    static func run(_ socket: ControlSocketOption, ike: String?, into sink: inout CaptureSink) throws {
        sink.begin(CaptureWriter.beginning)
        try sink.flush()
        var file = sink
        try socket.withClient { client in
            try client.register("ike-message")
            ConsoleError.print("capturing into \(file.path)")
            while !file.isDone {
                for event in client.takeEvents() { add(event.message, ike, &file) }
                if !Poller.wait([Poller.Interest(client.descriptor)], milliseconds: 200).isEmpty {
                    for event in try client.readEvents() { add(event.message, ike, &file) }
                }
                try file.flush()
            }
        }
        sink = file
    }

    private static func add(_ message: ViciMessage, _ ike: String?, _ sink: inout CaptureSink) {
        if let ike, message.text("connection") != ike { return }
        if let packet = packet(message, time: Machine.nanoseconds()) { sink.add(packet) }
    }

    /// An event as a packet block; `nil` where it lacks something.
    static func packet(_ message: ViciMessage, time: UInt64) -> [UInt8]? {
        func endpoint(_ side: String) -> Endpoint? {
            guard let address = message.text("\(side)-host").flatMap({ IPAddress($0) }),
                let port = message.text("\(side)-port").flatMap({ UInt16($0) })
            else { return nil }
            return Endpoint(address, port: port)
        }
        guard let local = endpoint("local"), let remote = endpoint("remote"),
            var octets = message.text("octets").flatMap({ [UInt8](hex: $0) })
        else { return nil }
        // Between NAT ports four zero octets tell IKE from ESP (RFC 3948 §2.2).
        if local.port != 500 { octets = [0, 0, 0, 0] + octets }
        let isOutgoing = message.flag("outgoing")
        let note = message.flag("protected") ? "travelled encrypted" : "travelled in the clear"
        return CaptureWriter.packet(
            from: isOutgoing ? local : remote, to: isOutgoing ? remote : local, octets, time: time, comment: note)
    }
}
