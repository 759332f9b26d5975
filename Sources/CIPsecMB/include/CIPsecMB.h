// Bulk ciphers of ESP through Intel's multi-buffer library, which is loaded at run time where the machine has it: x86-64
// alone. Where it is missing, or was not there at build time, every `create` gives NULL and the caller takes another
// implementation. A key belongs to one thread at a time; managers of the library are one for each thread.
#ifndef PARLEY_CIPSECMB_H
#define PARLEY_CIPSECMB_H

#include <stddef.h>
#include <stdint.h>

#include "KeptMemory.h"

/// The library's version, such as "1.3.0"; NULL where it cannot be used. Static storage.
const char *parley_mb_version(void);
/// Whether the library works with AVX-512 on this processor.
int parley_mb_is_wide(void);

// AES-GCM, and ChaCha20-Poly1305: one packet a call.

struct parley_mb_aead;
enum parley_mb_aead_kind { PARLEY_MB_GCM = 0, PARLEY_MB_CHACHA20_POLY1305 = 1 };
/// `bits` are those of the cipher's key: 128, 192 or 256 (256 with ChaCha20).
struct parley_mb_aead *parley_mb_aead_create(
    enum parley_mb_aead_kind kind, const void *key, unsigned bits, size_t tag_count);
void parley_mb_aead_destroy(struct parley_mb_aead *aead);
/// Encrypts in place and writes the tag. `nonce` has 12 octets.
void parley_mb_aead_seal(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag);
/// Decrypts in place and writes the tag that the ciphertext should have had; the caller compares.
void parley_mb_aead_open(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag);

// AES-CBC with HMAC: a batch a call, since only several packets at once keep the machine busy.

struct parley_mb_chain;
enum parley_mb_hash { PARLEY_MB_SHA1 = 1, PARLEY_MB_SHA256 = 2, PARLEY_MB_SHA384 = 3, PARLEY_MB_SHA512 = 4 };
struct parley_mb_chain *parley_mb_chain_create(
    const void *cipher_key, unsigned cipher_bits, enum parley_mb_hash hash, const void *hash_key,
    size_t hash_key_count, size_t tag_count);
void parley_mb_chain_destroy(struct parley_mb_chain *chain);

/// One ESP packet: SPI, sequence number, IV of 16 octets, `text_count` octets, and room for the tag.
struct parley_mb_packet {
    uint8_t *start;
    size_t text_count;
    /// The high half of the extended sequence number, which is authenticated behind the text, in network order; read only
    /// where the batch is extended.
    uint32_t high;
    /// Set where the packet was sealed, or proved genuine and was opened.
    uint8_t is_done;
};
/// Encrypts each packet's IV block and text with a zero IV, so that the block of a number becomes the IV, and writes the
/// tags (RFC 3602 §3).
void parley_mb_chain_seal(
    const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended);
/// Verifies and decrypts each packet. Those that fail are left decrypted or not; their octets mean nothing.
void parley_mb_chain_open(
    const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended);

#endif
