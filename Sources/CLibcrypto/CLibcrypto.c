#include "CLibcrypto.h"

#include <string.h>

/* Arithmetic on masks: all ones or all zeros. The empty assembly keeps the compiler from turning a mask back into a
 * condition, on which it could branch. */
static uint32_t opaque(uint32_t value) {
    __asm__("" : "+r"(value));
    return value;
}
static uint32_t mask_msb(uint32_t value) { return 0u - opaque(value >> 31); }
static uint32_t mask_zero(uint32_t value) { return mask_msb(~value & (value - 1)); }
static uint32_t mask_less(uint32_t left, uint32_t right) {
    return mask_msb(left ^ ((left ^ right) | ((left - right) ^ right)));
}
static uint32_t mask_not_above(uint32_t left, uint32_t right) { return ~mask_less(right, left); }
static uint32_t choose(uint32_t mask, uint32_t yes, uint32_t no) { return (opaque(mask) & yes) | (~opaque(mask) & no); }

uint32_t parley_pkcs1_unpad(
    const uint8_t *block, const uint8_t *synthetic, const uint8_t *candidates, uint32_t width, uint32_t shortest,
    uint32_t longest, uint32_t usable, uint8_t *output) {
    /* Where the message begins in the block: behind the first zero octet. */
    uint32_t found = 0, separator = 0;
    for (uint32_t index = 2; index < width; index++) {
        uint32_t zero = mask_zero(block[index]);
        separator = choose(~found & zero, index, separator);
        found |= zero;
    }
    uint32_t good = mask_zero(usable ^ 1);
    good &= mask_zero(block[0]);
    good &= mask_zero(block[1] ^ 2u);
    good &= found;
    /* Eight octets of padding at least. */
    good &= ~mask_less(separator, 10);
    uint32_t length = width - 1 - separator;
    good &= mask_not_above(shortest, length) & mask_not_above(length, longest);

    /* How long the synthetic message is: the last candidate that fits. */
    uint32_t bits = width - 10;
    bits |= bits >> 1;
    bits |= bits >> 2;
    bits |= bits >> 4;
    bits |= bits >> 8;
    uint32_t synthetic_length = shortest;
    for (uint32_t index = 0; index < PARLEY_PKCS1_CANDIDATES; index++) {
        uint32_t candidate = (((uint32_t)candidates[2 * index] << 8) | candidates[2 * index + 1]) & bits;
        uint32_t fits = mask_not_above(shortest, candidate) & mask_not_above(candidate, longest);
        synthetic_length = choose(fits, candidate, synthetic_length);
    }

    /* Both messages end where their blocks do, so the octets are taken from the end; the output's end is its last. */
    length = choose(good, length, synthetic_length);
    for (uint32_t index = 0; index < width; index++) {
        output[index] = (uint8_t)choose(good, block[index], synthetic[index]);
    }
    return length;
}

void parley_free_certificates(void *stack) { sk_X509_pop_free((STACK_OF(X509) *)stack, X509_free); }

void parley_md4(const void *octets, size_t count, void *digest) { MD4(octets, count, digest); }

void parley_des_block(const void *key, const uint8_t *input, uint8_t *output) {
    const uint8_t *octets = key;
    DES_cblock wide, block;
    DES_key_schedule schedule;
    /* Seven bits of key in each octet; the lowest one is parity, which counts for nothing. */
    for (int i = 0; i < 8; i++) {
        unsigned high = i > 0 ? (unsigned)octets[i - 1] << (8 - i) : 0;
        unsigned low = i < 7 ? (unsigned)octets[i] >> i : 0;
        wide[i] = (uint8_t)((high | low) & 0xFE);
    }
    memcpy(block, input, sizeof block);
    DES_set_key_unchecked(&wide, &schedule);
    DES_ecb_encrypt(&block, &block, &schedule, DES_ENCRYPT);
    memcpy(output, block, sizeof block);
    OPENSSL_cleanse(wide, sizeof wide);
    OPENSSL_cleanse(&schedule, sizeof schedule);
}
