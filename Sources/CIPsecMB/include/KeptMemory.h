// Memory that holds keys, and what an attacker may time.
#ifndef PARLEY_KEPTMEMORY_H
#define PARLEY_KEPTMEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/// Writes zeros that no compiler leaves out.
static inline void parley_wipe(void *octets, size_t count) {
    memset(octets, 0, count);
    __asm__ volatile("" : : "r"(octets) : "memory");
}

/// Not 0 where the two are not the same; in constant time.
static inline int parley_differ(const uint8_t *left, const uint8_t *right, size_t count) {
    uint8_t difference = 0;
    for (size_t index = 0; index < count; index++) difference |= left[index] ^ right[index];
    return difference;
}

#endif
