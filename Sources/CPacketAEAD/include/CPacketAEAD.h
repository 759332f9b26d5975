// An AEAD over ESP packets, one packet a call, in the library that is fastest on this processor: Intel's multi-buffer library
// or BoringSSL. A key belongs to one thread at a time.
#ifndef PARLEY_CPACKETAEAD_H
#define PARLEY_CPACKETAEAD_H

#include <stddef.h>
#include <stdint.h>

struct parley_aead;
enum parley_aead_kind { PARLEY_AEAD_GCM = 0, PARLEY_AEAD_CHACHA20_POLY1305 = 1 };
enum parley_aead_library { PARLEY_AEAD_FASTEST = 0, PARLEY_AEAD_MULTI_BUFFER = 1, PARLEY_AEAD_BORINGSSL = 2 };

/// `bits` are those of the cipher's key: 128, 192 or 256 (256 with ChaCha20). `salt` has the 4 octets that begin each nonce
/// (RFC 4106 §4, RFC 7634 §2), `tag_count` is at most 16. NULL where the library is missing.
struct parley_aead *parley_aead_create(
    enum parley_aead_kind kind, enum parley_aead_library library, const void *key, unsigned bits, const void *salt,
    size_t tag_count);
void parley_aead_destroy(struct parley_aead *aead);
/// Which library works for it.
enum parley_aead_library parley_aead_library_of(const struct parley_aead *aead);

/// The library's own call: encrypts in place and writes the tag. `nonce` has 12 octets. 0 where that fails.
int parley_aead_seal(
    const struct parley_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag);
/// The same for opening in place. 0 where the tag is another; the octets then mean nothing.
int parley_aead_open(
    const struct parley_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, const void *tag);

/// Seals an ESP packet in place, whose SPI and sequence number are written: `sequence` becomes its IV of `iv_octets`, 8 or
/// none (RFC 4106 §3.1, RFC 8750), and is authenticated whole where it `is_extended`. `text_count` octets follow the IV, and
/// then there is room for the tag. 0 where that fails.
int parley_aead_seal_packet(
    const struct parley_aead *aead, void *packet, size_t iv_octets, size_t text_count, uint64_t sequence,
    int is_extended);
/// Opens such a packet in place. 0 where it is not genuine; its octets then mean nothing.
int parley_aead_open_packet(
    const struct parley_aead *aead, void *packet, size_t iv_octets, size_t text_count, uint64_t sequence,
    int is_extended);

#endif
