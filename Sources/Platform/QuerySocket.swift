import CPlatform
import Glibc
package import Primitives

/// A UDP socket for small questions and answers, beside IKE's: it never waits. Used from one thread.
package final class QuerySocket {
    /// Messages that one call takes.
    private static let messages: UInt32 = 8
    private static let messageOctets = 65_536

    package struct Message: Sendable {
        package var octets: [UInt8]
        package var source: Endpoint
        /// The address that it came to.
        package var target: IPAddress
    }

    package let descriptor: Int32
    private var local: parley_address
    private let receiver: OpaquePointer

    /// Binds to `address` (unspecified for all of its family) and `port` (0 for any).
    package init(_ address: IPAddress, port: UInt16 = 0) throws(PlatformError) {
        var local = parley_address(address, port: port)
        let descriptor = try PlatformError.check(
            parley_datagram_socket(&local, 0, 0), "socket on \(address)[\(port)]")
        guard let receiver = parley_receiver_create(Self.messages, Self.messageOctets) else {
            _ = close(descriptor)
            throw PlatformError("buffers of a socket", code: ENOMEM)
        }
        self.descriptor = descriptor
        self.local = local
        self.receiver = receiver
    }

    deinit {
        _ = close(descriptor)
        parley_receiver_destroy(receiver)
    }

    /// False where the kernel does not take it.
    @discardableResult
    package func send(_ octets: [UInt8], to remote: Endpoint, from source: IPAddress? = nil) -> Bool {
        var from = parley_address(source ?? .any(remote.address.family))
        var to = parley_address(remote)
        return octets.withUnsafeBytes { parley_send(descriptor, &from, &to, $0.baseAddress, $0.count, 0, 0, 0) == 0 }
    }

    /// What has come, up to a few messages.
    package func receive() -> [Message] {
        var incoming = [parley_incoming](repeating: parley_incoming(), count: Int(Self.messages))
        let count = Int(parley_receive(descriptor, receiver, 0, &local, &incoming))
        guard count > 0 else { return [] }
        var messages: [Message] = []
        for index in 0..<count {
            let message = incoming[index]
            guard let source = message.from.endpoint, let target = message.to.address, message.count > 0,
                let buffer = parley_receiver_buffer(receiver, UInt32(index))
            else { continue }
            // SAFETY: the receiver's buffer holds `message.count` octets of this message until the next call.
            let all = Array(UnsafeRawBufferPointer(start: buffer, count: min(message.count, Self.messageOctets)))
            let size = message.segment == 0 ? all.count : message.segment
            for start in stride(from: 0, to: all.count, by: size) {
                messages.append(
                    Message(octets: Array(all[start..<min(start + size, all.count)]), source: source, target: target))
            }
        }
        return messages
    }
}
