// The Internet checksum's sum (RFC 1071) in the widest registers that the processor has, which Swift's vectors leave to the
// oldest processor of its kind.
#ifndef PARLEY_CCHECKSUM_H
#define PARLEY_CCHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/// Adds `count` octets in native byte order to an unfolded sum, an odd last one as the first half of a word. `initial` has to
/// be below 2^48, `count` below 2^31.
uint64_t parley_sum(const void *octets, size_t count, uint64_t initial);
/// The same of what is copied from `source` to `target`, which do not overlap.
uint64_t parley_copy_sum(void *target, const void *source, size_t count, uint64_t initial);

#endif
