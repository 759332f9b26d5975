import Capture
import Explain
import ISAKMP
import Primitives

/// libFuzzer's driver; it returns when its time is over.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ callback: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

/// The linker wants one by this name; the driver calls the closure below instead.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> Int32 { 0 }

/// One input: as a message, and as a capture.
private func decode(_ octets: [UInt8]) {
    let description = MessageDescription(octets)
    let lines = DescriptionText.lines(description)
    precondition(lines.count <= 64 + 8 * octets.count, "a description is bounded by its message")
    if let file = try? CaptureFile(octets) {
        for packet in PacketReader.packets(of: file) {
            if case .ike(let message) = packet.kind { _ = MessageDescription(message) }
        }
    }
}

@main enum DecoderFuzzer {
    static func main() {
        var count = CommandLine.argc
        // SAFETY: the process's own argument vector lives as long as the process.
        var arguments = CommandLine.unsafeArgv
        _ = runDriver(&count, &arguments) { data, size in
            // SAFETY: the fuzzer hands in `size` octets for the time of the call.
            decode(Array(UnsafeBufferPointer(start: data, count: size)))
            return 0
        }
    }
}
