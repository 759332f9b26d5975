#include "CPacketAEAD.h"
#include <CIPsecMB.h>
#include <KeptMemory.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

// BoringSSL's interface (openssl/aead.h) under the names that swift-crypto gives it, which carries it along: its Swift calls
// make a new buffer for each message. Weak, so that a swift-crypto with other names costs speed only.
typedef struct evp_aead_st EVP_AEAD;
typedef struct evp_aead_ctx_st EVP_AEAD_CTX;
extern const EVP_AEAD *CCryptoBoringSSL_EVP_aead_aes_128_gcm(void);
extern const EVP_AEAD *CCryptoBoringSSL_EVP_aead_aes_192_gcm(void);
extern const EVP_AEAD *CCryptoBoringSSL_EVP_aead_aes_256_gcm(void);
extern const EVP_AEAD *CCryptoBoringSSL_EVP_aead_chacha20_poly1305(void);
extern EVP_AEAD_CTX *CCryptoBoringSSL_EVP_AEAD_CTX_new(const EVP_AEAD *, const uint8_t *key, size_t count, size_t tag_count);
extern void CCryptoBoringSSL_EVP_AEAD_CTX_free(EVP_AEAD_CTX *);
extern int CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
    const EVP_AEAD_CTX *, uint8_t *out, uint8_t *tag, size_t *tag_count, size_t tag_room, const uint8_t *nonce,
    size_t nonce_count, const uint8_t *in, size_t count, const uint8_t *further, size_t further_count,
    const uint8_t *additional, size_t additional_count);
extern int CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
    const EVP_AEAD_CTX *, uint8_t *out, const uint8_t *nonce, size_t nonce_count, const uint8_t *in, size_t count,
    const uint8_t *tag, size_t tag_count, const uint8_t *additional, size_t additional_count);
extern void CCryptoBoringSSL_ERR_clear_error(void);
#pragma weak CCryptoBoringSSL_EVP_aead_aes_128_gcm
#pragma weak CCryptoBoringSSL_EVP_aead_aes_192_gcm
#pragma weak CCryptoBoringSSL_EVP_aead_aes_256_gcm
#pragma weak CCryptoBoringSSL_EVP_aead_chacha20_poly1305
#pragma weak CCryptoBoringSSL_EVP_AEAD_CTX_new
#pragma weak CCryptoBoringSSL_EVP_AEAD_CTX_free
#pragma weak CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter
#pragma weak CCryptoBoringSSL_EVP_AEAD_CTX_open_gather
#pragma weak CCryptoBoringSSL_ERR_clear_error

struct parley_aead {
    // One of the two is there.
    struct parley_mb_aead *bulk;
    EVP_AEAD_CTX *boring;
    uint32_t salt;
    size_t tag_count;
};

// What was measured decides: with AVX-512 the multi-buffer library's calls are faster for either cipher; without it BoringSSL's
// ChaCha20-Poly1305, which interleaves the two, and its AES-GCM where the processor does AES in wide registers.
static enum parley_aead_library fastest(enum parley_aead_kind kind) {
#if defined(__x86_64__)
    if (parley_mb_is_wide()) return PARLEY_AEAD_MULTI_BUFFER;
    if (!__builtin_cpu_supports("avx2")) return PARLEY_AEAD_MULTI_BUFFER;
    if (kind == PARLEY_AEAD_GCM) {
        unsigned a, b, c, d;
        // VAES and VPCLMULQDQ.
        int has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & (1u << 9)) && (c & (1u << 10));
        return has ? PARLEY_AEAD_BORINGSSL : PARLEY_AEAD_MULTI_BUFFER;
    }
#endif
    return PARLEY_AEAD_BORINGSSL;
}

static EVP_AEAD_CTX *boring_context(enum parley_aead_kind kind, const void *key, unsigned bits, size_t tag_count) {
    const EVP_AEAD *(*algorithm)(void) = CCryptoBoringSSL_EVP_aead_chacha20_poly1305;
    if (kind == PARLEY_AEAD_GCM) {
        algorithm = bits == 128   ? CCryptoBoringSSL_EVP_aead_aes_128_gcm
                    : bits == 192 ? CCryptoBoringSSL_EVP_aead_aes_192_gcm
                                  : CCryptoBoringSSL_EVP_aead_aes_256_gcm;
    }
    if (!algorithm || !CCryptoBoringSSL_EVP_AEAD_CTX_new || !CCryptoBoringSSL_EVP_AEAD_CTX_free
        || !CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter || !CCryptoBoringSSL_EVP_AEAD_CTX_open_gather
        || !CCryptoBoringSSL_ERR_clear_error)
        return NULL;
    return CCryptoBoringSSL_EVP_AEAD_CTX_new(algorithm(), key, bits / 8, tag_count);
}

struct parley_aead *parley_aead_create(
    enum parley_aead_kind kind, enum parley_aead_library library, const void *key, unsigned bits, const void *salt,
    size_t tag_count) {
    if (tag_count > 16 || (bits != 128 && bits != 192 && bits != 256)) return NULL;
    if (kind == PARLEY_AEAD_CHACHA20_POLY1305 && bits != 256) return NULL;
    struct parley_aead *aead = calloc(1, sizeof *aead);
    if (!aead) return NULL;
    memcpy(&aead->salt, salt, 4);
    aead->tag_count = tag_count;
    int takes_any = library == PARLEY_AEAD_FASTEST;
    if (takes_any) library = fastest(kind);
    // The other one where the first is missing.
    for (int attempt = 0; attempt < (takes_any ? 2 : 1) && !aead->bulk && !aead->boring; attempt++) {
        int takes_boring = (library == PARLEY_AEAD_BORINGSSL) != (attempt == 1);
        if (takes_boring) aead->boring = boring_context(kind, key, bits, tag_count);
        else
            aead->bulk = parley_mb_aead_create(
                kind == PARLEY_AEAD_GCM ? PARLEY_MB_GCM : PARLEY_MB_CHACHA20_POLY1305, key, bits, tag_count);
    }
    if (aead->bulk || aead->boring) return aead;
    parley_aead_destroy(aead);
    return NULL;
}

void parley_aead_destroy(struct parley_aead *aead) {
    if (!aead) return;
    parley_mb_aead_destroy(aead->bulk);
    // Which wipes what it frees.
    if (aead->boring) CCryptoBoringSSL_EVP_AEAD_CTX_free(aead->boring);
    parley_wipe(aead, sizeof *aead);
    free(aead);
}

enum parley_aead_library parley_aead_library_of(const struct parley_aead *aead) {
    return aead->boring ? PARLEY_AEAD_BORINGSSL : PARLEY_AEAD_MULTI_BUFFER;
}

int parley_aead_seal(
    const struct parley_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag) {
    if (!aead->boring) {
        parley_mb_aead_seal(aead->bulk, text, count, nonce, additional, additional_count, tag);
        return 1;
    }
    size_t written = 0;
    return CCryptoBoringSSL_EVP_AEAD_CTX_seal_scatter(
               aead->boring, text, tag, &written, aead->tag_count, nonce, 12, text, count, NULL, 0, additional,
               additional_count)
           && written == aead->tag_count;
}

int parley_aead_open(
    const struct parley_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, const void *tag) {
    if (aead->boring) {
        if (CCryptoBoringSSL_EVP_AEAD_CTX_open_gather(
                aead->boring, text, nonce, 12, text, count, tag, aead->tag_count, additional, additional_count))
            return 1;
        CCryptoBoringSSL_ERR_clear_error();
        return 0;
    }
    uint8_t expected[16];
    parley_mb_aead_open(aead->bulk, text, count, nonce, additional, additional_count, expected);
    if (!parley_differ(expected, tag, aead->tag_count)) return 1;
    parley_wipe(text, count);
    return 0;
}

// Four words in one register: the libraries read nonce and additional data in pieces of 4, 8 and 12 octets, and a processor
// hands on what was stored a moment ago only where one store covers all that is read.
typedef uint32_t words __attribute__((vector_size(16)));

static inline words nonce_of(const struct parley_aead *aead, uint64_t iv) {
    return (words){aead->salt, (uint32_t)iv, (uint32_t)(iv >> 32), 0};
}

// SPI and sequence number as they stand in the packet, or SPI and the extended number (RFC 4106 §5).
static inline words additional_of(const uint8_t *packet, uint64_t sequence, int is_extended) {
    uint32_t spi, number;
    memcpy(&spi, packet, 4);
    if (!is_extended) {
        memcpy(&number, packet + 4, 4);
        return (words){spi, number, 0, 0};
    }
    uint64_t whole = __builtin_bswap64(sequence);
    return (words){spi, (uint32_t)whole, (uint32_t)(whole >> 32), 0};
}

int parley_aead_seal_packet(
    const struct parley_aead *aead, void *packet, size_t iv_octets, size_t text_count, uint64_t sequence,
    int is_extended) {
    uint8_t *start = packet;
    uint64_t iv = __builtin_bswap64(sequence);
    if (iv_octets) memcpy(start + 8, &iv, 8);
    _Alignas(16) words nonce = nonce_of(aead, iv), additional = additional_of(start, sequence, is_extended);
    uint8_t *text = start + 8 + iv_octets;
    return parley_aead_seal(aead, text, text_count, &nonce, &additional, is_extended ? 12 : 8, text + text_count);
}

int parley_aead_open_packet(
    const struct parley_aead *aead, void *packet, size_t iv_octets, size_t text_count, uint64_t sequence,
    int is_extended) {
    uint8_t *start = packet;
    uint64_t iv = __builtin_bswap64(sequence);
    if (iv_octets) memcpy(&iv, start + 8, 8);
    _Alignas(16) words nonce = nonce_of(aead, iv), additional = additional_of(start, sequence, is_extended);
    uint8_t *text = start + 8 + iv_octets;
    return parley_aead_open(aead, text, text_count, &nonce, &additional, is_extended ? 12 : 8, text + text_count);
}
