internal import CZlib
import Primitives

/// IP payload compression with DEFLATE (RFC 3173, RFC 2394): each packet by itself, so that none depends on another's
/// arrival. Opened once, reset for each packet; a packet allocates nothing.
///
///     +---------------+---------------+-------------------------------+
///     |  Next Header  |     Flags     | Compression Parameter Index   |
///     +---------------+---------------+-------------------------------+
enum PayloadCompression {
    static let headerOctets = 4
    /// The IP protocol number.
    static let ipProtocol: UInt8 = 108
    /// Shorter payloads hardly ever shrink (RFC 3173 §2.2 leaves the threshold to us; RFC 2394 §3 names 90).
    static let threshold = 90
    /// 2 KiB of history: the kernel's decompressor has no more.
    fileprivate static let windowBits: Int32 = -11
}

/// The compressing half, for one outbound SA.
final class PayloadCompressor {
    // SAFETY: allocated and opened in init, closed and freed in deinit, never handed out.
    private let stream: UnsafeMutablePointer<z_stream>
    /// After packets that do not shrink, some are sent as they are without trying (RFC 3173 §2.2).
    private var failures = 0
    private var skips = 0

    init?() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard parley_deflate_open(stream, 6, PayloadCompression.windowBits) == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// Compresses `count` octets; the octets written, or `nil` where they would not become fewer than `count` less the
    /// header's four: then the packet goes as it is (RFC 3173 §2.2).
    ///
    /// SAFETY: the caller vouches for `count` readable and writable octets, which do not overlap.
    func compress(_ source: UnsafeRawPointer, _ count: Int, into target: UnsafeMutableRawPointer) -> Int? {
        guard count >= PayloadCompression.threshold else { return nil }
        if skips > 0 {
            skips -= 1
            return nil
        }
        deflateReset(stream)
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: source.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = uInt(count)
        stream.pointee.next_out = target.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = uInt(count - PayloadCompression.headerOctets - 1)
        guard deflate(stream, Z_FINISH) == Z_STREAM_END else {
            failures = min(failures + 1, 10)
            skips = 1 << failures
            return nil
        }
        failures = 0
        return Int(stream.pointee.total_out)
    }
}

/// The decompressing half, for one inbound SA.
final class PayloadDecompressor {
    // SAFETY: allocated and opened in init, closed and freed in deinit, never handed out.
    private let stream: UnsafeMutablePointer<z_stream>

    init?() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard parley_inflate_open(stream, -15) == Z_OK else {
            stream.deallocate()
            return nil
        }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Decompresses `count` octets into at most `room`; the octets written, or `nil` where they are not one whole DEFLATE
    /// stream or do not fit.
    ///
    /// SAFETY: the caller vouches for `count` readable and `room` writable octets, which do not overlap.
    func decompress(
        _ source: UnsafeRawPointer, _ count: Int, into target: UnsafeMutableRawPointer, room: Int
    ) -> Int? {
        guard inflateReset(stream) == Z_OK else { return nil }
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: source.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = uInt(count)
        stream.pointee.next_out = target.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = uInt(room)
        guard inflate(stream, Z_FINISH) == Z_STREAM_END else { return nil }
        return Int(stream.pointee.total_out)
    }
}
