#define _GNU_SOURCE
#include "CIPsecMB.h"
#include "KeptMemory.h"
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <pthread.h>

#define CHAIN_IV 16
#define MAXIMUM_TAG 32
#define BATCH 64

typedef IMB_MGR *(*alloc_function)(uint64_t);
typedef void (*free_function)(IMB_MGR *);
typedef void (*init_function)(IMB_MGR *, IMB_ARCH *);
typedef unsigned (*version_function)(void);

static alloc_function allocate;
static free_function release;
static init_function initialize;
static int is_usable;
static pthread_once_t loading = PTHREAD_ONCE_INIT;
static pthread_key_t manager_key;

static void drop_manager(void *manager) { release(manager); }

// Only these are symbols; all else is in the manager's table, whose layout belongs to one version.
static void load(void) {
    void *library = dlopen("libIPSec_MB.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return;
    allocate = (alloc_function)dlsym(library, "alloc_mb_mgr");
    release = (free_function)dlsym(library, "free_mb_mgr");
    initialize = (init_function)dlsym(library, "init_mb_mgr_auto");
    version_function version = (version_function)dlsym(library, "imb_get_version");
    if (!allocate || !release || !initialize || !version || version() != IMB_VERSION_NUM) return;
    if (pthread_key_create(&manager_key, drop_manager) != 0) return;
    is_usable = 1;
}

static IMB_MGR *manager(void) {
    pthread_once(&loading, load);
    if (!is_usable) return NULL;
    static _Thread_local IMB_MGR *current;
    if (current) return current;
    IMB_MGR *made = allocate(0);
    if (!made) return NULL;
    IMB_ARCH architecture = IMB_ARCH_NONE;
    initialize(made, &architecture);
    if (architecture == IMB_ARCH_NONE || made->imb_errno != 0 || pthread_setspecific(manager_key, made) != 0) {
        release(made);
        return NULL;
    }
    current = made;
    return made;
}

const char *parley_mb_version(void) { return manager() ? IMB_VERSION_STR : NULL; }

int parley_mb_is_wide(void) {
    const IMB_MGR *m = manager();
    return m && m->used_arch >= IMB_ARCH_AVX512;
}

struct parley_mb_aead {
    struct gcm_key_data gcm;
    uint8_t key[32];
    size_t tag_count;
    enum parley_mb_aead_kind kind;
    aes_gcm_enc_dec_t seal;
    aes_gcm_enc_dec_t open;
    chacha_poly_init_t begin;
    chacha_poly_enc_dec_update_t encrypt;
    chacha_poly_enc_dec_update_t decrypt;
    chacha_poly_finalize_t finish;
};

static void *aligned(size_t count) {
    size_t rounded = (count + 63) / 64 * 64;
    void *memory = aligned_alloc(64, rounded);
    if (memory) memset(memory, 0, rounded);
    return memory;
}

struct parley_mb_aead *parley_mb_aead_create(
    enum parley_mb_aead_kind kind, const void *key, unsigned bits, size_t tag_count) {
    IMB_MGR *m = manager();
    if (!m || tag_count > 16 || (bits != 128 && bits != 192 && bits != 256)) return NULL;
    struct parley_mb_aead *aead = aligned(sizeof *aead);
    if (!aead) return NULL;
    aead->kind = kind;
    aead->tag_count = tag_count;
    if (kind == PARLEY_MB_CHACHA20_POLY1305) {
        memcpy(aead->key, key, 32);
        aead->begin = m->chacha20_poly1305_init;
        aead->encrypt = m->chacha20_poly1305_enc_update;
        aead->decrypt = m->chacha20_poly1305_dec_update;
        aead->finish = m->chacha20_poly1305_finalize;
    } else if (bits == 128) {
        m->gcm128_pre(key, &aead->gcm);
        aead->seal = m->gcm128_enc;
        aead->open = m->gcm128_dec;
    } else if (bits == 192) {
        m->gcm192_pre(key, &aead->gcm);
        aead->seal = m->gcm192_enc;
        aead->open = m->gcm192_dec;
    } else {
        m->gcm256_pre(key, &aead->gcm);
        aead->seal = m->gcm256_enc;
        aead->open = m->gcm256_dec;
    }
    return aead;
}

void parley_mb_aead_destroy(struct parley_mb_aead *aead) {
    if (!aead) return;
    parley_wipe(aead, sizeof *aead);
    free(aead);
}

// A job has the keystream's first blocks made together with the authenticator's key, which three calls do not. Work of this kind
// is done when it has been submitted. False where the thread has no manager.
static int run_job(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag, int seals) {
    IMB_MGR *m = manager();
    if (!m) return 0;
    IMB_JOB *job = m->get_next_job(m);
    memset(job, 0, sizeof *job);
    job->enc_keys = job->dec_keys = aead->key;
    job->key_len_in_bytes = 32;
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->cipher_direction = seals ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    job->chain_order = seals ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->src = job->dst = text;
    job->iv = nonce;
    job->iv_len_in_bytes = 12;
    job->msg_len_to_cipher_in_bytes = job->msg_len_to_hash_in_bytes = count;
    job->u.CHACHA20_POLY1305.aad = additional;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = additional_count;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = aead->tag_count;
    if (!m->submit_job_nocheck(m)) m->flush_job(m);
    return 1;
}

void parley_mb_aead_seal(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag) {
    if (aead->kind == PARLEY_MB_CHACHA20_POLY1305) {
        if (run_job(aead, text, count, nonce, additional, additional_count, tag, 1)) return;
        struct chacha20_poly1305_context_data context;
        aead->begin(aead->key, &context, nonce, additional, additional_count);
        aead->encrypt(aead->key, &context, text, text, count);
        aead->finish(&context, tag, aead->tag_count);
        return;
    }
    struct gcm_context_data context;
    aead->seal(&aead->gcm, &context, text, text, count, nonce, additional, additional_count, tag, aead->tag_count);
}

void parley_mb_aead_open(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag) {
    if (aead->kind == PARLEY_MB_CHACHA20_POLY1305) {
        if (run_job(aead, text, count, nonce, additional, additional_count, tag, 0)) return;
        struct chacha20_poly1305_context_data context;
        aead->begin(aead->key, &context, nonce, additional, additional_count);
        aead->decrypt(aead->key, &context, text, text, count);
        aead->finish(&context, tag, aead->tag_count);
        return;
    }
    struct gcm_context_data context;
    aead->open(&aead->gcm, &context, text, text, count, nonce, additional, additional_count, tag, aead->tag_count);
}

struct parley_mb_chain {
    _Alignas(64) uint32_t encryption[15 * 4];
    _Alignas(64) uint32_t decryption[15 * 4];
    // Each hash's state after the block of the padded key (RFC 2104 §2).
    _Alignas(64) uint8_t inner[64];
    _Alignas(64) uint8_t outer[64];
    _Alignas(16) uint8_t zeros[CHAIN_IV];
    unsigned key_octets;
    IMB_HASH_ALG hash;
    size_t tag_count;
};

struct parley_mb_chain *parley_mb_chain_create(
    const void *cipher_key, unsigned cipher_bits, enum parley_mb_hash hash, const void *hash_key,
    size_t hash_key_count, size_t tag_count) {
    IMB_MGR *m = manager();
    size_t block = hash == PARLEY_MB_SHA384 || hash == PARLEY_MB_SHA512 ? 128 : 64;
    if (!m || hash_key_count > block || tag_count > MAXIMUM_TAG) return NULL;
    struct parley_mb_chain *chain = aligned(sizeof *chain);
    if (!chain) return NULL;
    switch (cipher_bits) {
    case 128: m->keyexp_128(cipher_key, chain->encryption, chain->decryption); break;
    case 192: m->keyexp_192(cipher_key, chain->encryption, chain->decryption); break;
    case 256: m->keyexp_256(cipher_key, chain->encryption, chain->decryption); break;
    default: free(chain); return NULL;
    }
    chain->key_octets = cipher_bits / 8;
    chain->tag_count = tag_count;
    hash_one_block_t compress;
    switch (hash) {
    case PARLEY_MB_SHA1: compress = m->sha1_one_block, chain->hash = IMB_AUTH_HMAC_SHA_1; break;
    case PARLEY_MB_SHA256: compress = m->sha256_one_block, chain->hash = IMB_AUTH_HMAC_SHA_256; break;
    case PARLEY_MB_SHA384: compress = m->sha384_one_block, chain->hash = IMB_AUTH_HMAC_SHA_384; break;
    case PARLEY_MB_SHA512: compress = m->sha512_one_block, chain->hash = IMB_AUTH_HMAC_SHA_512; break;
    default: free(chain); return NULL;
    }
    uint8_t padded[128];
    for (size_t index = 0; index < block; index++)
        padded[index] = 0x36 ^ (index < hash_key_count ? ((const uint8_t *)hash_key)[index] : 0);
    compress(padded, chain->inner);
    for (size_t index = 0; index < block; index++) padded[index] ^= 0x36 ^ 0x5C;
    compress(padded, chain->outer);
    parley_wipe(padded, sizeof padded);
    return chain;
}

void parley_mb_chain_destroy(struct parley_mb_chain *chain) {
    if (!chain) return;
    parley_wipe(chain, sizeof *chain);
    free(chain);
}

static void submit_all(
    IMB_MGR *m, const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended,
    int seals, uint8_t (*tags)[MAXIMUM_TAG]) {
    for (size_t index = 0; index < count; index++) {
        struct parley_mb_packet *packet = &packets[index];
        uint8_t *iv = packet->start + 8;
        uint8_t *tag = iv + CHAIN_IV + packet->text_count;
        IMB_JOB *job = m->get_next_job(m);
        memset(job, 0, sizeof *job);
        job->enc_keys = chain->encryption;
        job->dec_keys = chain->decryption;
        job->key_len_in_bytes = chain->key_octets;
        job->cipher_mode = IMB_CIPHER_CBC;
        job->cipher_direction = seals ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
        job->chain_order = seals ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
        job->src = packet->start;
        job->dst = seals ? iv : iv + CHAIN_IV;
        job->iv = seals ? chain->zeros : iv;
        job->iv_len_in_bytes = CHAIN_IV;
        job->cipher_start_src_offset_in_bytes = seals ? 8 : 8 + CHAIN_IV;
        job->msg_len_to_cipher_in_bytes = packet->text_count + (seals ? CHAIN_IV : 0);
        job->hash_alg = chain->hash;
        job->hash_start_src_offset_in_bytes = 0;
        job->msg_len_to_hash_in_bytes = 8 + CHAIN_IV + packet->text_count;
        if (is_extended) {
            // The number's high half stands where the tag will be, or was.
            memcpy(tag, &packet->high, 4);
            job->msg_len_to_hash_in_bytes += 4;
        }
        job->auth_tag_output = tags[index];
        job->auth_tag_output_len_in_bytes = chain->tag_count;
        job->u.HMAC._hashed_auth_key_xor_ipad = chain->inner;
        job->u.HMAC._hashed_auth_key_xor_opad = chain->outer;
        job->user_data = packet;
        packet->is_done = 0;
        for (job = m->submit_job(m); job; job = m->get_completed_job(m))
            ((struct parley_mb_packet *)job->user_data)->is_done = job->status == IMB_STATUS_COMPLETED;
    }
    IMB_JOB *job;
    while ((job = m->flush_job(m)))
        ((struct parley_mb_packet *)job->user_data)->is_done = job->status == IMB_STATUS_COMPLETED;
}

void parley_mb_chain_seal(
    const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended) {
    IMB_MGR *m = manager();
    uint8_t tags[BATCH][MAXIMUM_TAG];
    for (size_t start = 0; start < count; start += BATCH) {
        size_t part = count - start < BATCH ? count - start : BATCH;
        struct parley_mb_packet *batch = packets + start;
        if (m) submit_all(m, chain, batch, part, is_extended, 1, tags);
        for (size_t index = 0; index < part; index++)
            memcpy(batch[index].start + 8 + CHAIN_IV + batch[index].text_count, tags[index], chain->tag_count);
    }
}

void parley_mb_chain_open(
    const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended) {
    IMB_MGR *m = manager();
    uint8_t tags[BATCH][MAXIMUM_TAG];
    uint8_t received[BATCH][MAXIMUM_TAG];
    for (size_t start = 0; start < count; start += BATCH) {
        size_t part = count - start < BATCH ? count - start : BATCH;
        struct parley_mb_packet *batch = packets + start;
        for (size_t index = 0; index < part; index++) {
            batch[index].is_done = 0;
            memcpy(
                received[index], batch[index].start + 8 + CHAIN_IV + batch[index].text_count, chain->tag_count);
        }
        if (m) submit_all(m, chain, batch, part, is_extended, 0, tags);
        for (size_t index = 0; index < part; index++)
            if (parley_differ(tags[index], received[index], chain->tag_count)) batch[index].is_done = 0;
    }
}

#else

const char *parley_mb_version(void) { return NULL; }
int parley_mb_is_wide(void) { return 0; }
struct parley_mb_aead *parley_mb_aead_create(
    enum parley_mb_aead_kind kind, const void *key, unsigned bits, size_t tag_count) {
    return NULL;
}
void parley_mb_aead_destroy(struct parley_mb_aead *aead) {}
void parley_mb_aead_seal(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag) {}
void parley_mb_aead_open(
    const struct parley_mb_aead *aead, void *text, size_t count, const void *nonce, const void *additional,
    size_t additional_count, void *tag) {}
struct parley_mb_chain *parley_mb_chain_create(
    const void *cipher_key, unsigned cipher_bits, enum parley_mb_hash hash, const void *hash_key,
    size_t hash_key_count, size_t tag_count) {
    return NULL;
}
void parley_mb_chain_destroy(struct parley_mb_chain *chain) {}
void parley_mb_chain_seal(
    const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended) {
    for (size_t index = 0; index < count; index++) packets[index].is_done = 0;
}
void parley_mb_chain_open(
    const struct parley_mb_chain *chain, struct parley_mb_packet *packets, size_t count, int is_extended) {
    for (size_t index = 0; index < count; index++) packets[index].is_done = 0;
}

#endif
