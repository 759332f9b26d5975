#include "CChecksum.h"
#include <string.h>

typedef uint64_t lanes __attribute__((vector_size(64)));

// Words of 32 bits go into sums of 64, which do not run over in any packet. One body for each set of registers.
static inline __attribute__((always_inline)) uint64_t body(
    uint8_t *target, const uint8_t *source, size_t count, uint64_t sum) {
    if (count >= sizeof(lanes)) {
        lanes low = {0}, high = {0};
        for (; count >= sizeof(lanes); count -= sizeof(lanes), source += sizeof(lanes)) {
            lanes words;
            memcpy(&words, source, sizeof words);
            if (target) {
                memcpy(target, &words, sizeof words);
                target += sizeof words;
            }
            low += words & 0xFFFFFFFF;
            high += words >> 32;
        }
        low += high;
        for (int lane = 0; lane < 8; lane++) sum += low[lane];
    }
    for (; count >= 4; count -= 4, source += 4) {
        uint32_t word;
        memcpy(&word, source, sizeof word);
        if (target) {
            memcpy(target, &word, sizeof word);
            target += sizeof word;
        }
        sum += word;
    }
    if (count) {
        uint8_t rest[4] = {0};
        memcpy(rest, source, count);
        if (target) memcpy(target, source, count);
        uint32_t word;
        memcpy(&word, rest, sizeof word);
        sum += word;
    }
    return sum;
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t sum_wide(const void *octets, size_t count, uint64_t initial) {
    return body(NULL, octets, count, initial);
}

__attribute__((target("avx2"))) static uint64_t copy_sum_wide(
    void *target, const void *source, size_t count, uint64_t initial) {
    return body(target, source, count, initial);
}

static int is_wide(void) { return __builtin_cpu_supports("avx2"); }
#endif

uint64_t parley_sum(const void *octets, size_t count, uint64_t initial) {
#if defined(__x86_64__)
    if (is_wide()) return sum_wide(octets, count, initial);
#endif
    return body(NULL, octets, count, initial);
}

uint64_t parley_copy_sum(void *target, const void *source, size_t count, uint64_t initial) {
#if defined(__x86_64__)
    if (is_wide()) return copy_sum_wide(target, source, count, initial);
#endif
    return body(target, source, count, initial);
}
